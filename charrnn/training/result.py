"""What a training gave, as values that whoever shows it can use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charrnn.inference.novelty import Novelty
from charrnn.inference.scoring import Score
from charrnn.inference.verdict import learnt_by_heart, verdict
from charrnn.inference.yardsticks import Yardsticks
from charrnn.model import Model


@dataclass(frozen=True)
class Result:
    """What a training gave: the best network, its scores, and how they came about.

    steps, epochs: of the whole run. characters, seconds: of this session, which a resumed run has several of; seconds
    of training alone. train: mean loss in nats since the last evaluation. history: the rows of metrics.jsonl.
    novelty: what a sample copies from the training text, where that was learnt by heart.
    """

    run: Path
    checkpoint: Path
    model: Model
    steps: int
    epochs: float
    characters: int
    seconds: float
    train: float | None
    validation: Score | None
    test: Score | None
    history: list[dict[str, Any]] = field(repr=False)
    yardsticks: Yardsticks | None = field(default=None, repr=False)
    novelty: Novelty | None = field(default=None, repr=False)

    @property
    def verdict(self) -> list[str]:
        """What the scores mean, in plain sentences; empty without a validation text."""
        if self.validation is None:
            return []
        return verdict_on(self.validation, self.train, self.history, self.yardsticks)

    def as_dict(self) -> dict[str, object]:
        """Plain values, without model and history."""
        scores = {
            name: score and score.as_dict() for name, score in (("validation", self.validation), ("test", self.test))
        }
        return {
            "run": str(self.run),
            "checkpoint": str(self.checkpoint),
            "parameters": self.model.parameters.vector.size,
            "steps": self.steps,
            "epochs": self.epochs,
            "characters": self.characters,
            "seconds": self.seconds,
            "characters_per_second": self.characters / self.seconds if self.seconds else 0.0,
            "train": None if self.train is None else measures(self.train),
            **scores,
            "yardsticks": self.yardsticks and self.yardsticks.as_dict(),
            "verdict": self.verdict,
            "novelty": self.novelty and self.novelty.as_dict(),
        }


def verdict_on(
    score: Score, train: float | None, history: Sequence[Mapping[str, Any]], yardsticks: Yardsticks | None
) -> list[str]:
    """The verdict on a score, with the last training loss and the rows of a run's metrics."""
    losses = _losses(history)
    return verdict(score.nats_per_char, train, list(losses.values()), yardsticks, list(losses))


def by_heart(score: Score, train: float | None, history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the training text has been learnt by heart."""
    return learnt_by_heart(score.nats_per_char, train, list(_losses(history).values()))


def _losses(history: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Validation losses by step."""
    return {row["step"]: row["validation"] for row in history if "validation" in row}


def measures(nats: float) -> dict[str, float]:
    """A loss in nats per character, in bits, and as perplexity."""
    return {"nats_per_char": nats, "bits_per_char": nats / math.log(2), "perplexity": math.exp(min(nats, 700.0))}
