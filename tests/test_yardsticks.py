"""n-gram models and compressors against slow dictionaries, arithmetic by hand, and the compressors' own files."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from charrnn.errors import ConfigError, CorpusError
from charrnn.inference import compressors, ngram
from charrnn.inference.compressors import compressed
from charrnn.inference.ngram import best, log_probabilities, witten_bell
from charrnn.inference.scoring import evaluate
from charrnn.inference.yardsticks import yardsticks
from charrnn.network.parameters import Architecture, Parameters
from charrnn.text.tokenizer import Tokenizer

ORDERS = range(1, 9)


class SlowWittenBell:
    """The recursion as it is written down, on dictionaries."""

    def __init__(self, train: Sequence[int], symbols: int, order: int) -> None:
        self.symbols = symbols
        self.after: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for i, c in enumerate(train):
            for length in range(min(order - 1, i) + 1):
                self.after[tuple(train[i - length : i])][c] += 1

    def probability(self, c: int, h: tuple[int, ...]) -> float:
        shorter = self.probability(c, h[1:]) if h else 1 / self.symbols
        counts = self.after.get(h)
        if not counts:
            return shorter
        return (counts[c] + len(counts) * shorter) / (counts.total() + len(counts))

    def log_probabilities(self, test: Sequence[int], order: int) -> list[float]:
        return [
            math.log(self.probability(test[i], tuple(test[max(i - order + 1, 0) : i]))) for i in range(1, len(test))
        ]

    def sizes(self, order: int) -> tuple[int, int]:
        tables = [counts for h, counts in self.after.items() if len(h) == order - 1]
        return len(tables), sum(map(len, tables))


def markov_text(seed: int, length: int, symbols: int) -> list[int]:
    """Characters that mostly follow from the two before them, so that contexts of all lengths come again."""
    draw = random.Random(seed)
    text = [0, 0]
    while len(text) < length:
        text.append((3 * text[-1] + text[-2] + draw.choice((0, 0, 0, 1, 2))) % symbols)
    return text


@pytest.mark.parametrize(
    ("train", "test", "symbols"),
    [
        (markov_text(0, 2000, 7), markov_text(1, 500, 7), 7),
        (markov_text(2, 300, 5), markov_text(3, 200, 9), 9),  # characters that training has not seen
        (markov_text(4, 300, 5), markov_text(5, 200, 5), 2**52),  # a key and its place do not fit in 64 bits
        (random.Random(6).choices(range(100_000), k=3000), [7, 99_999, 7, 0] * 20, 100_000),
        ([1, 0, 1], [1, 0, 1, 1], 2),  # shorter than the highest order
        ([0], [0, 1], 2),
        ([], [0, 1, 0], 3),
    ],
)
def test_every_order_agrees_with_dictionaries(train: list[int], test: list[int], symbols: int) -> None:
    slow = SlowWittenBell(train, symbols, max(ORDERS))
    scores = witten_bell(np.array(train, np.int64), np.array(test), symbols, ORDERS)
    assert [score.order for score in scores] == list(ORDERS)
    for score in scores:
        expected = slow.log_probabilities(test, score.order)
        found = log_probabilities(np.array(train, np.int64), np.array(test), symbols, score.order)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        np.testing.assert_allclose(score.nats_per_char, -np.mean(expected), rtol=1e-12)
        assert (score.contexts, score.entries) == slow.sizes(score.order)
        assert (score.characters, score.train_characters) == (len(test) - 1, len(train))


def test_a_text_of_three_characters_by_hand() -> None:
    # aab: P(a) = (2 + 2·½)/(3 + 2), P(b) = (1 + 2·½)/(3 + 2); a is followed by a and by b, aa by b.
    a, b = (2 + 2 / 2) / 5, (1 + 2 / 2) / 5
    aab = np.array([0, 0, 1], np.uint8)
    for order, expected in {
        1: [a, b],
        2: [(1 + 2 * a) / 4, (1 + 2 * b) / 4],
        3: [(1 + 2 * a) / 4, (1 + (1 + 2 * b) / 4) / 2],
    }.items():
        np.testing.assert_allclose(log_probabilities(aab, aab, 2, order), np.log(expected), rtol=1e-14)
    scores = witten_bell(aab, aab, 2, [3, 2, 1])
    assert [(score.order, score.contexts, score.entries) for score in scores] == [(3, 1, 1), (2, 1, 2), (1, 1, 2)]


@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_probabilities_of_all_next_characters_add_up_to_one(order: int) -> None:
    train = np.array(markov_text(0, 400, 6))
    for context in ([1], [2, 5, 1, 3, 3], [7, 7, 7]):  # 6 and 7 are never seen
        P = [math.exp(log_probabilities(train, np.array([*context, c]), 8, order)[-1]) for c in range(8)]
        assert min(P) > 0
        np.testing.assert_allclose(sum(P), 1, rtol=1e-12)


@pytest.mark.parametrize("piece", [1, 3, 64, 499])
def test_the_pieces_in_which_a_text_is_scored_change_nothing(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    train, test = np.array(markov_text(0, 2000, 7), np.uint8), np.array(markov_text(1, 500, 7), np.uint8)
    expected = [log_probabilities(train, test, 7, order) for order in ORDERS]
    monkeypatch.setattr(ngram, "PIECE", piece)
    for order in ORDERS:
        np.testing.assert_array_equal(log_probabilities(train, test, 7, order), expected[order - 1])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_any_integer_type_counts_the_same(dtype: Any) -> None:
    train, test = markov_text(0, 300, 250), markov_text(1, 100, 250)
    expected = witten_bell(np.array(train), np.array(test), 250)
    assert witten_bell(np.array(train, dtype), np.array(test, dtype), 250) == expected


def test_of_a_long_training_text_the_end_is_counted_and_the_score_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = np.array(markov_text(0, 2000, 7)), np.array(markov_text(1, 500, 7))
    expected = witten_bell(train[-600:], test, 7)
    monkeypatch.setattr(ngram, "TRAIN_CHARACTERS", 600)
    assert witten_bell(train, test, 7) == expected
    assert {score.train_characters for score in expected} == {600}


def test_an_ngram_model_is_scored_on_the_characters_that_a_network_is_scored_on() -> None:
    # A network of zeros guesses uniformly, and so does a model that has counted nothing: same mean over the same count.
    ids = np.array(markov_text(1, 500, 7))
    network = evaluate(Parameters(Architecture(7, (4,)), np.float64, np.zeros(7 * 4 + 4 * 4 + 4 + 4 * 7 + 7)), ids)
    (nothing,) = witten_bell(ids[:0], ids, 7, [1])
    assert network.characters == nothing.characters == len(log_probabilities(ids[:0], ids, 7, 3)) == 499
    np.testing.assert_allclose(nothing.nats_per_char, network.nats_per_char, rtol=1e-12)


def test_the_best_model_has_the_lowest_loss_and_of_equals_the_lowest_order() -> None:
    train, test = np.array(markov_text(0, 2000, 7)), np.array(markov_text(1, 500, 7))
    scores = witten_bell(train, test, 7)
    assert best(scores).nats_per_char == min(score.nats_per_char for score in scores)
    independent = np.array(random.Random(0).choices(range(7), k=20_000))
    assert best(witten_bell(independent[:-500], independent[-500:], 7)).order == 1  # no character tells of the next
    nothing = witten_bell(train[:0], test, 7)
    assert best(reversed(nothing)).order == 1


@pytest.mark.parametrize(
    ("train", "test", "orders", "error", "message"),
    [
        ([0, 1], [0], [1], CorpusError, "a text of length 1 cannot be scored"),
        ([0, 1], [], [1], CorpusError, "a text of length 0 cannot be scored"),
        ([0, 3], [0, 1], [1], CorpusError, "from 0 to 3, and the vocabulary has 3 symbols"),
        ([0, 1], [0, 3], [1], CorpusError, "from 0 to 3, and the vocabulary has 3 symbols"),
        ([0, 1], [-1, 1], [1], CorpusError, "from -1 to 1, and the vocabulary has 3 symbols"),
        ([0, 1], [0, 1], [2, 0], ConfigError, "order 0 does not exist"),
    ],
)
def test_what_cannot_be_scored_is_said(
    train: list[int], test: list[int], orders: list[int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        witten_bell(np.array(train), np.array(test, int), 3, orders)


ENGLISH = "".join(
    random.Random(0).choices(["the ", "king ", "and ", "queen ", "of ", "old ", "England, ", "\n"], k=4000)
)


def scored(text: str, given: str | None = None) -> dict[str, float]:
    return {score.name: score.bits_per_char for score in compressed(text, given)}


def test_sizes_are_those_of_the_compressors_files_without_what_the_format_adds() -> None:
    text = "".join(random.Random(1).choices(ENGLISH.split("\n"), k=5000))  # longer than one block of bzip2 -1
    data, bits = text.encode(), scored(text)
    assert list(bits) == ["gzip", "bzip2", "xz"]
    # gzip: 10 bytes before and 8 behind; bzip2: 4 and 10; xz: 12 + 12 before, and index, checksum and footer behind.
    files = {"gzip": len(gzip.compress(data, 9)), "bzip2": len(bz2.compress(data, 9))}
    assert bits["gzip"] == 8 * (files["gzip"] - 18 - 2) / len(text)  # 2: the empty last block of an empty text
    assert bits["bzip2"] == 8 * (files["bzip2"] - 14) / len(text)
    xz = len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    assert 48 <= xz - bits["xz"] * len(text) / 8 <= 80


def test_no_compressor_beats_the_entropy_of_chance() -> None:
    noise = "".join(random.Random(1).choices("acgt", k=20_000))
    for given in (None, ENGLISH):
        for name, bits in scored(noise, given).items():
            assert 2 <= bits < 2.6, name


def test_bits_are_counted_per_character_and_not_per_byte() -> None:
    greek = ENGLISH.translate({ord(c): 0x3B1 + ord(c) - 97 for c in map(chr, range(97, 123))})
    (deflated,) = [score for score in compressed(greek) if score.name == "gzip"]
    assert deflated.characters == len(greek) < len(greek.encode())
    assert deflated.bits_per_char * len(greek) / 8 == len(gzip.compress(greek.encode(), 9)) - 20
    assert scored("\ud800 a lone surrogate") == pytest.approx(scored("\ud801 a lone surrogate"))


def test_a_passage_that_stands_in_the_training_text_costs_almost_nothing_after_it() -> None:
    noise = "".join(random.Random(2).choices("0123456789abcdef", k=60_000))
    bits = scored(noise[100:5100], noise)  # 55,000 characters back: a small dictionary would not reach it
    assert bits["xz"] > 4
    assert bits["xz given the training text"] < 0.05
    unlike = "".join(random.Random(3).choices("0123456789abcdef", k=5000))
    assert scored(unlike, noise)["xz given the training text"] > 4


def test_long_texts_are_cut_and_the_scores_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = compressed(ENGLISH[:3000], ENGLISH[-7000:])
    assert [(s.characters, s.given_characters) for s in expected] == [(3000, 0)] * 3 + [(3000, 7000)]
    monkeypatch.setattr(compressors, "CHARACTERS", 3000)
    monkeypatch.setattr(compressors, "GIVEN_CHARACTERS", 7000)
    assert compressed(ENGLISH, ENGLISH) == expected


def test_a_python_without_a_compressor_leaves_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressors, "bz2", None)
    monkeypatch.setattr(compressors, "lzma", None)
    assert list(scored(ENGLISH, ENGLISH)) == ["gzip"]


def test_an_empty_text_has_no_compressor_scores_and_an_empty_training_text_gives_nothing() -> None:
    assert compressed("", ENGLISH) == []
    assert compressed(ENGLISH, "") == compressed(ENGLISH)


def test_yardsticks_are_the_parts_of_one_text_as_json() -> None:
    text = ENGLISH + "Größe 🙂 ἀρχῇ\n" + ENGLISH[:1000]
    tokenizer = Tokenizer.from_text(text)
    ids = tokenizer.encode(text)
    found = yardsticks(ids[:-3000], ids[-3000:], tokenizer)
    assert found.uniform == math.log(len(set(text)))
    assert found.ngrams == witten_bell(ids[:-3000], ids[-3000:], tokenizer.size)
    assert found.compressors == compressed(text[-3000:], text[:-3000])
    assert found.unigram.order == 1
    assert found.best_ngram == min(found.ngrams, key=lambda score: score.nats_per_char)
    values = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert values == found.as_dict()
    assert values["uniform"]["bits_per_char"] == pytest.approx(math.log2(len(set(text))))
    assert values["best_ngram"] == values["ngrams"][found.best_ngram.order - 1]
    assert values["best_ngram"]["bits_per_char"] == pytest.approx(found.best_ngram.nats_per_char / math.log(2))
    assert [score["name"] for score in values["compressors"]][-1] == "xz given the training text"


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_of_pieces_an_n_gram_knows_what_a_dictionary_of_each_alone_knows(order: int) -> None:
    draw, symbols = random.Random(order), 4
    train, test = ([[0, *draw.choices([1, 2, 3], k=draw.randint(1, 5)), 0] for _ in range(60)] for _ in range(2))
    slow = SlowWittenBell([0], symbols, order)  # the end before the first piece
    for piece in train:
        for i in range(1, len(piece)):
            for length in range(min(order - 1, i) + 1):
                slow.after[tuple(piece[i - length : i])][piece[i]] += 1
    expected = [nats for piece in test for nats in slow.log_probabilities(piece, order)]
    ids = [np.array([0, *(c for piece in text for c in piece[1:])]) for text in (train, test)]
    score = witten_bell(*ids, symbols, [order], end=0)[0]
    np.testing.assert_allclose(score.nats_per_char, -np.mean(expected), rtol=1e-12)
    assert (score.contexts, score.entries) == slow.sizes(order)
