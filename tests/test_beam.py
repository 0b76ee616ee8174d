"""Beam search against all continuations there are, one by one."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from oracle import probabilities

import charrnn
from charrnn.errors import ConfigError, DivergedError
from charrnn.network.parameters import Architecture, initial

SYMBOLS = "abcd"


def made(cell: str = "rnn", seed: int = 0, scale: float = 1.0, **settings: Any) -> charrnn.Model:
    parameters = initial(Architecture(len(SYMBOLS), (6, 5), cell=cell), np.random.default_rng(seed), np.float64)
    parameters.vector[:] *= scale
    return charrnn.Model(parameters, SYMBOLS, settings)


def log_probability(model: charrnn.Model, prompt: str, text: str) -> float:
    ids = model.encode(prompt + text).tolist()
    A = probabilities(model.parameters, ids)
    return float(sum(np.log(A[t, ids[t + 1]]) for t in range(len(prompt) - 1, len(ids) - 1)))


def every(model: charrnn.Model, prompt: str, length: int, stop: str | None = None) -> list[tuple[str, float]]:
    texts = {"".join(text) for text in product(SYMBOLS, repeat=length)}
    if stop:
        texts = {text[: text.find(stop) + len(stop)] if stop in text else text for text in texts}
    return sorted(((text, log_probability(model, prompt, text)) for text in texts), key=lambda found: -found[1])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("stop", [None, "b", "ca"])
def test_a_beam_wide_enough_finds_all_continuations_in_their_order(cell: str, stop: str | None) -> None:
    model = made(cell, scale=2.0)
    expected = every(model, "ab", 4, stop)
    found = model.beam(len(SYMBOLS) ** 4, 4, "ab", stop=stop)
    assert [text for text, _ in found] == [text for text, _ in expected]
    np.testing.assert_allclose([p for _, p in found], [p for _, p in expected], rtol=1e-9)
    if stop is None:
        assert sum(np.exp(p) for _, p in found) == pytest.approx(1)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_best_is_never_less_probable_than_the_greedy_one(count: int) -> None:
    for seed in range(130):  # of which six would lose it, if it were not carried along beside two beams
        model = made(seed=seed, scale=1.5)
        greedy = model.sample(8, "a", greedy=True)
        found = model.beam(count, 8, "a")
        assert len(found) == count and found == sorted(found, key=lambda one: -one[1])
        assert found[0][1] >= log_probability(model, "a", greedy) - 1e-9
        assert count > 1 or found[0][0] == greedy
        for text, p in found:
            assert p == pytest.approx(log_probability(model, "a", text), rel=1e-9)


def test_a_wider_beam_finds_what_greed_passes_by() -> None:
    better = 0
    for seed in range(40):
        model = made(seed=seed, scale=3.0)
        better += model.beam(8, 12, "a")[0][1] > model.beam(1, 12, "a")[0][1] + 1e-9
    assert better > 3


def test_a_beam_goes_on_from_a_state_and_refuses_what_cannot_be() -> None:
    model = made("lstm")
    stream = model.stream("ab", length=5, seed=1)
    text = "".join(stream)
    ours, theirs = model.beam(3, 6, state=stream.state), model.beam(3, 6, "ab" + text)
    assert [found[0] for found in ours] == [found[0] for found in theirs]
    assert model.beam(2, 0, "a") == [("", 0.0)]
    for wrong in ({"count": 0}, {"count": 10**5}, {"length": -1}, {"stop": "x"}, {"stop": ""}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            model.beam(**{"count": 2, **wrong})  # type: ignore[arg-type]
    model.parameters.vector[0] = np.nan
    with pytest.raises(DivergedError):
        model.beam(2, 3, "a")


BROKEN = "a\xe2 "  # of bytes: a letter, the first byte of a longer character, and a space, which no such character has


@pytest.mark.parametrize(
    ("settings", "unit", "ids", "stop", "written"),
    [
        ({"pieces": "blank"}, "codepoint", "abc\x1e", "c\n", "abc\n"),
        ({"pieces": "blank"}, "codepoint", "abc\x1e", "c\n\n", "abc\n\n"),
        ({"pieces": "files"}, "byte", "ab\x1e", "\n", "ab\n"),
        ({}, "byte", BROKEN, "\ufffd", "a\ufffd"),
        ({}, "byte", BROKEN, "\ufffd ", "a\ufffd "),
        ({}, "byte", "x\xc3\xa9z", "xéz", "xéz"),
    ],
)
def test_a_stop_that_ends_within_what_one_symbol_writes_is_found(
    settings: dict[str, Any], unit: str, ids: str, stop: str, written: str
) -> None:
    symbols = "".join(map(chr, range(256))) if unit == "byte" else "".join(sorted({*ids}))
    model = cycling([symbols.index(c) for c in ids], symbols, unit, settings)
    prompt = ids[-1].removesuffix("\x1e")  # with which each piece begins anyway
    assert model.sample(20, prompt, greedy=True, stop=stop) == written
    ((found, p),) = model.beam(1, 20, prompt, stop=stop)
    assert (found, p) == (written, model.beam(1, len(ids), prompt)[0][1])


def cycling(ids: list[int], symbols: str, unit: str, settings: dict[str, Any]) -> charrnn.Model:
    """A model that writes these different ids in turn: the hidden unit i, which only ids[i] sets, makes the next one
    probable."""
    parameters = initial(Architecture(len(symbols), (len(ids),)), np.random.default_rng(0), np.float64)
    parameters.vector[:] = 0
    for unit_of, symbol in enumerate(ids):
        parameters["W_xh1"][symbol, unit_of] = 5
        parameters["W_h1a"][unit_of, ids[(unit_of + 1) % len(ids)]] = 10
    return charrnn.Model(parameters, symbols, settings, unit)


def test_a_stop_that_a_model_of_pieces_never_writes_is_refused() -> None:
    model = cycling([1, 2, 0], "\x1eab", "codepoint", {"pieces": "blank"})
    with pytest.raises(ConfigError, match="never writes it"):
        model.sample(5, stop="\x1e")


def test_in_pieces_each_begins_with_a_fresh_state() -> None:
    parameters = initial(Architecture(3, (6,)), np.random.default_rng(1), np.float64)
    parameters.vector[:] *= 3
    model = charrnn.Model(parameters, "\nab", {"pieces": "lines"})
    found = model.beam(3**4, 4)
    assert len(found) == 3**4
    for text, p in found:
        expected = 0.0
        for piece in text.splitlines(keepends=True):
            ids = model.encode("\n" + piece).tolist()
            A = probabilities(parameters, ids)
            expected += sum(np.log(A[t, ids[t + 1]]) for t in range(len(ids) - 1))
        assert p == pytest.approx(expected, rel=1e-9)


def test_a_search_ends_when_all_have_ended() -> None:
    model, pairs = made(), ["".join(pair) for pair in product(SYMBOLS, repeat=2)]
    found = model.beam(20, 50, "a", stop=pairs)
    assert len(found) == len(pairs) and found == model.beam(20, 2, "a")
