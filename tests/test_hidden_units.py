"""Hidden units that follow a feature of the text: what is known of a text, and which unit is found."""

from __future__ import annotations

import random

import numpy as np
import pytest

from charrnn.inference.hidden_units import PASSAGE, features, following
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import Stack
from charrnn.text.tokenizer import Tokenizer

SYMBOLS = sorted('\n "()ABCDabcdefg.')
KNOWN = Tokenizer(SYMBOLS)
LINES = ['A bad "face" (deaf)\n', "    bead fed a cab.\n", "\n", 'Dead (beef\ngaff) "Ba\ngag" D.\n']
TEXT = "".join(random.Random(3).choices(LINES, k=700))


def ids(text: str) -> np.ndarray:
    return np.array([SYMBOLS.index(c) for c in text])


def network(cell: str = "rnn", hidden: tuple[int, ...] = (6, 5), seed: int = 1) -> Parameters:
    a = Architecture(len(SYMBOLS), hidden, "tanh", cell)
    made = Parameters(a, np.float64)
    initial(a, np.random.default_rng(seed), "float64", "orthogonal", made.vector)
    return made


def reacting(letters: str) -> Parameters:
    """A network whose unit 3 of layer 1 is high at some letters, and low at others."""
    made = network()
    layer = made.layer(1)
    layer["W_hh"][:, 2], layer["b"][2], layer["W_x"][:, 2] = 0, -3, 0
    layer["W_x"][[SYMBOLS.index(c) for c in letters], 2] = 6
    return made


def test_features_know_quotes_brackets_lines_words_and_capitals() -> None:
    found = {name: values.astype(int).tolist() for name, values in features('  (A "b\nc)"\n\n"“d”e').items()}
    assert found == {
        #                        _  _  (  A  _  "  b  ⏎  c  )  "  ⏎  ⏎  "  “  d  ”  e
        "inside quotes":        [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0],
        "position in the line": [1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 0, 0, 1, 2, 3, 4, 5],
        "inside brackets":      [0, 0, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "indentation":          [1, 2, 2, 2, 2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        "in a word":            [0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 1],
        "capital letter":       [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    }  # fmt: skip


@pytest.mark.parametrize("end", ["\n\n", "\x1e"])
def test_an_empty_line_or_the_end_of_a_piece_closes_what_was_left_open(end: str) -> None:
    found = features(f'"(a{end}b')
    assert found["inside quotes"].tolist()[-1] == found["inside brackets"].tolist()[-1] == 0
    assert features('"(a\nb')["inside quotes"].tolist()[-1] == 1


def test_the_unit_that_reacts_to_capitals_is_found() -> None:
    (unit,) = (unit for unit in following(reacting("ABCD"), ids(TEXT), KNOWN).found if unit.feature == "capital letter")
    assert (unit.layer, unit.unit) == (1, 3)
    assert unit.chosen == pytest.approx(1) and unit.correlation == pytest.approx(1)


def test_a_unit_is_chosen_on_the_first_half_and_its_correlation_is_that_of_the_second() -> None:
    half = "A bad face. " * 200
    text = half + half.replace("A", "D")
    (unit,) = (unit for unit in following(reacting("A"), ids(text), KNOWN).found if unit.feature == "capital letter")
    assert unit.chosen == pytest.approx(1) and unit.correlation == 0


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_correlations_and_values_are_those_of_the_hidden_states_of_the_whole_text(cell: str) -> None:
    parameters, text = network(cell), TEXT[:9001]
    made = following(parameters, ids(text), KNOWN)
    tape = Stack(parameters.architecture, np.float64).forward(parameters, ids(text)[:, None])
    half, at = len(text) // 2, text.index("".join(made.passage), len(text) // 2)
    assert len(made.found) == 6 and made.characters == 9001 and len(made.passage) == PASSAGE
    for unit in made.found:
        H, feature = tape.layers[unit.layer - 1].H_after[:, unit.unit - 1], features(text)[unit.feature]
        assert unit.chosen == pytest.approx(np.corrcoef(H[:half], feature[:half])[0, 1], abs=1e-9)
        assert unit.correlation == pytest.approx(np.corrcoef(H[half:], feature[half:])[0, 1], abs=1e-9)
        np.testing.assert_allclose(unit.values, H[at : at + PASSAGE], atol=1e-12)
        others = np.corrcoef(np.c_[np.concatenate([t.H_after for t in tape.layers], 1)[:half], feature[:half]].T)
        assert abs(unit.chosen) == pytest.approx(np.abs(others[-1, :-1]).max(), abs=1e-9)


def test_pieces_begin_with_a_fresh_state() -> None:
    text = "A bad face\nDead beef\n" * 150
    parameters, end = network(), SYMBOLS.index("\n")
    made = following(parameters, ids(text), KNOWN, end)
    inputs = ids(text)[:, None]
    tape = Stack(parameters.architecture, np.float64).forward(parameters, inputs, fresh=inputs == end)
    unit, half = made.found[0], len(text) // 2
    H = tape.layers[unit.layer - 1].H_after[half:, unit.unit - 1]
    at = text.index("".join(made.passage), half) - half
    np.testing.assert_allclose(unit.values, H[at : at + len(unit.values)], atol=1e-12)


@pytest.mark.parametrize("text", ["", "a", "abcd", "a" * 500])
def test_a_text_without_features_has_no_units(text: str) -> None:
    assert following(network(), ids(text).astype(int), KNOWN).found == []


@pytest.mark.parametrize("unit", ["byte", "grapheme"])
def test_the_features_of_a_byte_or_grapheme_are_those_of_its_character(unit: str) -> None:
    text = "".join(random.Random(4).choices(["«É» b. ", "e\u0301(a 🇩🇪)\n", "Öl\n"], k=300))
    known = Tokenizer.from_text(text, unit)
    characters = [c for c in text for _ in c.encode()] if unit == "byte" else [symbol[0] for symbol in known.cut(text)]
    a = Architecture(known.size, (4,), "tanh", "rnn")
    parameters = Parameters(a, np.float64)
    initial(a, np.random.default_rng(1), "float64", "orthogonal", parameters.vector)
    read = known.encode(text)
    made = following(parameters, read, known)
    H, half = Stack(a, np.float64).forward(parameters, read[:, None].astype(int)).layers[0].H_after, len(read) // 2
    assert {one.feature for one in made.found} >= {"inside quotes", "inside brackets", "in a word", "capital letter"}
    for one in made.found:
        expected = np.corrcoef(H[half:, one.unit - 1], features(characters)[one.feature][half:])[0, 1]
        assert one.correlation == pytest.approx(expected, abs=1e-9)
    assert "".join(made.passage) in "".join(known.names[i] for i in read.tolist())
