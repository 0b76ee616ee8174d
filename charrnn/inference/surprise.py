"""Predictions of a text, character by character."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.errors import CorpusError
from charrnn.inference.scoring import ROWS, Score, begins
from charrnn.network.buffers import Array
from charrnn.network.output import block_rows
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack, State

ALTERNATIVES = 3


@dataclass(frozen=True)
class Prediction:
    """What a model thought of one symbol of a text before it came.

    symbol: as in the vocabulary, of a byte its name. log_probability: in nats, of the symbol that came. rank: 1 where
    no other was more probable. alternatives: the most probable symbols, with their probabilities. text: what the symbol
    adds to the text, "" for a byte that does not end a character.
    """

    symbol: str
    log_probability: float
    rank: int
    alternatives: list[tuple[str, float]]
    text: str = ""

    @property
    def probability(self) -> float:
        """From 0 to 1."""
        return math.exp(self.log_probability)

    @property
    def bits(self) -> float:
        """The surprise −log₂ of the probability."""
        return -self.log_probability / math.log(2)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; null stands for the infinite surprise of what had the probability 0."""
        finite = math.isfinite(self.log_probability)
        return {
            "character": self.symbol,
            "probability": float(f"{self.probability:.6g}"),
            "log_probability": round(self.log_probability, 6) if finite else None,
            "bits": round(self.bits, 6) if finite else None,
            "rank": self.rank,
            "alternatives": [[symbol, round(p, 6)] for symbol, p in self.alternatives],
        }


@dataclass(frozen=True)
class Surprise:
    """Some predictions that follow one another, the first of the character ids[start].

    log_probabilities: (n,) in nats, of the characters that came.
    ranks: (n,) 1 where no other character was more probable.
    alternatives, probabilities: (n, k) the ids of the k most probable characters, and how probable they were.
    """

    start: int
    targets: Array
    log_probabilities: Array
    ranks: Array
    alternatives: Array
    probabilities: Array

    def predictions(self, names: Sequence[str]) -> Iterator[Prediction]:
        """Each of them, with the names of the symbols."""
        columns = zip(
            self.targets.tolist(),
            self.log_probabilities.tolist(),
            self.ranks.tolist(),
            self.alternatives.tolist(),
            self.probabilities.tolist(),
            strict=True,
        )
        for target, nats, rank, alternatives, probabilities in columns:
            others = [(names[i], p) for i, p in zip(alternatives, probabilities, strict=True)]
            yield Prediction(names[target], nats, rank, others)


@dataclass
class Tally:
    """The score of all predictions that were counted."""

    nats: list[float] = field(default_factory=list)
    right: int = 0
    characters: int = 0

    def add(self, part: Surprise) -> None:
        """Counts some predictions."""
        self.nats.append(-float(part.log_probabilities.sum(dtype=np.float64)))
        self.right += int((part.alternatives[:, 0] == part.targets).sum())
        self.characters += len(part.targets)

    def score(self) -> Score:
        """Their mean."""
        return Score(math.fsum(self.nats) / self.characters, self.right / self.characters, self.characters)


def bits(parameters: Parameters, ids: Array, end: int | None = None) -> list[float]:
    """The surprise −log₂ A of every character of the ids (N,); NaN for the first one, which is not predicted."""
    parts = [part.log_probabilities for part in surprises(parameters, ids, end=end)]
    return [math.nan, *(np.concatenate(parts).astype(np.float64) / -math.log(2)).tolist()]


def surprises(
    parameters: Parameters,
    ids: Array,
    alternatives: int = ALTERNATIVES,
    progress: Callable[[int], object] | None = None,
    end: int | None = None,
) -> Iterator[Surprise]:
    """Every character of the ids (N,) but the first, read as one stream, in portions of bounded size.

    Of a text of pieces, each begins with the id `end`, as of `scoring.evaluate`.
    Of characters that are equally probable, those with smaller ids stand first. CorpusError for a text of fewer than 2
    characters.
    """
    count, symbols = len(ids) - 1, parameters.architecture.symbols
    if count < 1:
        raise CorpusError(f"a text of length {len(ids)} cannot be scored; at least 2 characters are needed")
    stack = Stack(parameters.architecture, parameters.vector.dtype)
    state: State = stack.begin(parameters, 1)
    rows, k = max(1, min(ROWS, block_rows(symbols))), min(alternatives, symbols)
    for start in range(0, count, rows):
        stop = min(start + rows, count)
        inputs = ids[start:stop, None].astype(np.intp)
        tape = stack.forward(parameters, inputs, state, fresh=begins(inputs, end))
        A = stack.probabilities(parameters, tape)[:, 0]
        targets = ids[start + 1 : stop + 1].astype(np.intp)
        p = np.take_along_axis(A, targets[:, None], 1)
        top = np.argsort(-A, axis=1, kind="stable")[:, :k]
        with np.errstate(divide="ignore"):
            log_probabilities = np.log(p[:, 0])
        yield Surprise(
            start + 1, targets, log_probabilities, 1 + (p < A).sum(axis=1), top, np.take_along_axis(A, top, 1)
        )
        state = tape.state(stop - start)
        if progress:
            progress(stop - start)
