"""A verdict says what the figures say, case by case."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from charrnn.inference.compressors import CompressorScore
from charrnn.inference.ngram import NgramScore
from charrnn.inference.verdict import learnt_by_heart, verdict
from charrnn.inference.yardsticks import Yardsticks, yardsticks
from charrnn.report.yardsticks import growth_lines, lines
from charrnn.text.tokenizer import Tokenizer
from charrnn.training.settings import Settings


def ngram(order: int, nats: float) -> NgramScore:
    return NgramScore(order, nats, 10**order, 20**order, 1000, 9000)


def given(bits: float) -> list[CompressorScore]:
    return [CompressorScore("gzip", 4.0, 1000, 0), CompressorScore("xz given the training text", bits, 1000, 9000)]


BESIDE = Yardsticks(math.log(65), [ngram(1, 3.3), ngram(2, 2.5), ngram(5, 1.7)], given(2.6))


@pytest.mark.parametrize(
    "loss, words",
    [
        (4.5, "No better than a uniform guess"),
        (3.5, "does not yet know how often"),
        (2.7, "Not yet as good as a table of which character follows which, by 0.29 bits"),
        (2.0, "Not yet as good as counting 5 characters at a time, by 0.43 bits"),
        (1.701, "As good as counting 5 characters at a time"),
        (1.699, "As good as counting 5 characters at a time"),
        (1.5, "Better than any counting of character sequences, by 0.29 bits"),
    ],
)
def test_a_loss_is_set_beside_the_yardsticks(loss: float, words: str) -> None:
    (sentence,) = verdict(loss, None, [], BESIDE)
    assert words in sentence


def test_bits_are_told_per_code_point_where_symbols_are_others() -> None:
    of_bytes = replace(BESIDE, per_code_point=2.0)
    assert "by 0.58 bits" in verdict(1.5, None, [], of_bytes)[0]  # twice (1.7 − 1.5) / ln 2
    assert "by 0.29 bits" in verdict(1.5, None, [], BESIDE)[0]
    assert "counting 5 symbols at a time" in verdict(1.8, None, [], of_bytes)[0]
    assert len(verdict(1.5, None, [], of_bytes)) == 2  # 2.6 bits are less than twice 1.5 nats
    assert len(verdict(1.5, None, [], BESIDE)) == 1


def test_a_validation_text_that_repeats_the_training_text_is_told() -> None:
    sentences = verdict(1.5, None, [], Yardsticks(BESIDE.uniform, BESIDE.ngrams, given(1.4)))
    assert any("repeats passages" in sentence for sentence in sentences)


def test_the_course_of_a_run_is_told_from_its_losses() -> None:
    assert "by heart after its best evaluation" in verdict(2.0, 1.2, [2.5, 2.0, 2.1, 2.4])[0]
    assert "by heart after step 1,000" in verdict(2.0, 1.2, [2.5, 2.0, 2.1, 2.4], None, [500, 1000, 1500, 2000])[0]
    assert "still learning" in verdict(1.7, 1.7, [2.5, 2.1, 1.9, 1.7])[0]
    assert verdict(1.7, 1.65, [2.5, 1.8, 1.702, 1.7]) == verdict(1.7, None, []) == []


@pytest.mark.parametrize(
    "validation, train, losses, expected",
    [
        (2.0, 1.2, [2.5, 2.0, 2.4], True),
        (2.0, 1.8, [2.5, 2.0, 2.4], False),  # training is hardly better than validation
        (2.0, 1.2, [2.5, 2.0, 2.01], False),  # validation has hardly risen
        (2.0, 1.2, [2.4], False),
        (2.0, None, [2.5, 2.0, 2.4], False),
    ],
)
def test_a_text_is_learnt_by_heart_where_training_falls_away_from_a_rising_validation(
    validation: float, train: float | None, losses: list[float], expected: bool
) -> None:
    assert learnt_by_heart(validation, train, losses) == expected


def test_the_tables_of_n_grams_grow_with_their_order_and_the_network_does_not() -> None:
    head, *rows = growth_lines(1.5, 12345, BESIDE)
    assert head.split() == ["n-gram", "bits", "numbers", "kept", "contexts"]
    assert [row.split()[0] for row in rows] == ["1", "2", "5", "network"]
    assert rows[2].split() == ["5", f"{1.7 / math.log(2):.3f}", "3,200,000", "100,000"]
    assert rows[-1].split() == ["network", f"{1.5 / math.log(2):.3f}", "12,345"]


def test_the_network_stands_among_its_yardsticks_from_the_worst_to_the_best() -> None:
    shown = lines(1.5, 12345, BESIDE)
    bits = [float(line.split()[0]) for line in shown]
    assert bits == sorted(bits, reverse=True) and len(bits) == 6
    assert "this network (12,345 weights)" in shown[-1] and max(map(len, shown)) <= 80


def test_yardsticks_of_a_text_are_in_order() -> None:
    words = np.random.default_rng(3).choice(["the ", "cat ", "sat ", "on ", "a ", "mat. "], 500)
    text = "".join(words)
    symbols = "".join(sorted(set(text)))
    ids = np.array([symbols.index(c) for c in text])
    found = yardsticks(ids[:1600], ids[1600:], Tokenizer(symbols))
    assert found.uniform > found.unigram.nats_per_char > found.best_ngram.nats_per_char
    assert verdict(0.001, None, [], found)[0].startswith("Better than any counting")


def test_settings_left_out_fit_the_text_and_those_given_stay() -> None:
    usual = Settings().fitted(245)
    assert (usual.max_steps, usual.warmup_steps, usual.eval_every, usual.patience) == (2000, 66, 400, None)
    short = Settings(epochs=15).fitted(4)  # 60 updates
    assert (short.warmup_steps, short.eval_every, short.patience) == (2, 10, None)
    lengths = [Settings().fitted(steps).max_steps for steps in (1, 22, 60, 81, 250, 251, 749, 751, 10**6)]
    assert lengths == [100, 550, 1500, 2000, 2000, 2008, 5992, 6000, 6000]  # 25 epochs, or 100 steps; 8, or 6,000
    assert Settings(epochs=2).fitted(1).max_steps is None and Settings(max_minutes=1).fitted(1).max_steps is None
    poem = Settings(max_steps=3000).fitted(1)
    assert (poem.eval_every, poem.patience) == (10, 10)
    given = Settings(max_steps=90, warmup_steps=7, eval_every=3, patience=9).fitted(1)
    assert (given.max_steps, given.warmup_steps, given.eval_every, given.patience) == (90, 7, 3, 9)
    assert poem.fitted(500) == poem  # what was chosen is a setting like any other when the run is resumed
