"""The penalty on repetition against its definition, word for word."""

from __future__ import annotations

from itertools import islice
from math import log

import numpy as np
import pytest
from calls import charrnn as command
from oracle import probabilities

from charrnn.errors import ConfigError
from charrnn.inference import repetition
from charrnn.inference.repetition import FREE, Repetition
from charrnn.inference.sampling import Choice, Sampler
from charrnn.network.parameters import Architecture, Parameters, initial

PENALTY = 1.3


def repeated(text: list[int], c: int, recent: int = repetition.RECENT) -> int:
    """The length of the longest end of the text that stands elsewhere in it, followed by a recent c."""
    longest = 0
    for j in range(max(len(text) - recent, 0), len(text)):
        if text[j] == c:
            length = 0
            while length < j and text[j - 1 - length] == text[len(text) - 1 - length]:
                length += 1
            longest = max(longest, length)
    return longest


def network(dtype: type = np.float64) -> Parameters:
    return initial(Architecture(7, (8, 6)), np.random.default_rng(0), dtype)


@pytest.mark.parametrize("n", [1, 3])
def test_logits_are_lowered_by_what_the_definition_says(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "RECENT", 40)
    monkeypatch.setattr(repetition, "FREE", 2)
    rng = np.random.default_rng(3)
    prompt = rng.integers(0, 2, 50)
    texts = [prompt.tolist() for _ in range(n)]
    ours = Repetition(PENALTY, prompt, n)
    lowered = 0
    for _ in range(100):
        logits = np.zeros((n, 3))
        ours.penalise(logits)
        expected = [[-log(PENALTY) * max(repeated(text, c, 40) - 2, 0) for c in range(3)] for text in texts]
        np.testing.assert_allclose(logits, expected, rtol=1e-12)
        lowered += int((logits < 0).sum())
        ids = rng.integers(0, 2, n)
        ours.append(ids)
        for text, i in zip(texts, ids.tolist(), strict=True):
            text.append(i)
    assert lowered > 50


@pytest.mark.parametrize("n", [1, 2])
def test_greedy_takes_the_symbol_that_is_most_probable_after_the_penalty(n: int) -> None:
    prompt = [3, 1]
    drawn = islice(Sampler(network(), np.array(prompt), 5, Choice(greedy=True, repetition_penalty=PENALTY), n), 120)
    columns = np.array(list(drawn))
    plain = [int(i[0]) for i in islice(Sampler(network(), np.array(prompt), 5, Choice(greedy=True)), 120)]
    A = probabilities(network(), prompt + columns[:, 0].tolist())
    text = list(prompt)
    for step, ids in enumerate(columns, 1):
        scores = np.log(A[step]) - [log(PENALTY) * max(repeated(text, c) - FREE, 0) for c in range(7)]
        assert (ids == scores.argmax()).all()
        text.append(int(ids[0]))
    assert text[2:] != plain  # which goes round in a loop


def test_a_penalty_of_one_changes_no_bit() -> None:
    def draw(choice: Choice) -> list[int]:
        return [int(i[0]) for i in islice(Sampler(network(np.float32), np.array([3, 1]), 5, choice), 300)]

    assert draw(Choice(0.1)) == draw(Choice(0.1, repetition_penalty=1.0)) != draw(Choice(0.1, repetition_penalty=1.5))


@pytest.mark.parametrize("wrong", [0.9, 0, -1, 1e5, float("nan"), "2", None])
def test_a_penalty_that_cannot_be_is_named(wrong: object) -> None:
    with pytest.raises(ConfigError, match="repetition_penalty"):
        Choice(repetition_penalty=wrong)  # type: ignore[arg-type]


def test_the_command_refuses_such_a_penalty_by_its_flag() -> None:
    refused = command("sample", "--repetition-penalty", "0.5")
    assert refused.code == 2 and refused.err.startswith("error: --repetition-penalty 0.5: must be from 1")
