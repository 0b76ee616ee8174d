"""A training session: the trainer's steps, with evaluation, metrics, checkpoints and early stopping around them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from charrnn.errors import CheckpointError, DivergedError
from charrnn.inference.evaluation import Score, evaluate
from charrnn.model import Model, of_checkpoint
from charrnn.network.buffers import Array
from charrnn.storage import BEST, LAST
from charrnn.storage import checkpoint as checkpoints
from charrnn.storage.checkpoint import Checkpoint
from charrnn.training.loop import Step, Trainer
from charrnn.training.run import Run, settings

LOG_EVERY = 50  # updates between rows of the metrics
SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found: mean training loss since the last one, and the validation's score, if there is any."""

    step: int
    epochs: float
    train: float
    validation: Score | None
    improved: bool


@dataclass
class _Mean:
    """A running mean that a checkpoint can carry."""

    total: float = 0.0
    count: int = 0

    def add(self, value: float) -> None:
        self.total += value
        self.count += 1

    def take(self) -> float:
        mean = self.total / self.count if self.count else math.nan
        self.total, self.count = 0.0, 0
        return mean


@dataclass
class Session:
    """One run from its start, or from its last checkpoint, to one of its limits."""

    trainer: Trainer
    run: Run
    symbols: str
    validation: Array | None
    best: float = math.inf
    stale: int = 0  # evaluations without improvement
    train: float = math.nan
    _interval: _Mean = field(default_factory=_Mean)
    _row: _Mean = field(default_factory=_Mean)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continues from the run's last checkpoint; CheckpointError if it does not fit the settings."""
        progress = checkpoint.progress
        try:
            model = of_checkpoint(checkpoint, self.run.last)
            if model.parameters.architecture != self.trainer.architecture:
                raise ValueError("another architecture")
            numbers = progress["trainer"]
            assert isinstance(numbers, dict)
            self.trainer.restore(model.parameters.vector, checkpoint.extra, numbers)
            best, train = progress["best"], progress["train"]
            self.best = math.inf if best is None else float(str(best))
            self.train = math.nan if train is None else float(str(train))
            self.stale = int(str(progress["stale"]))
            for name in ("_interval", "_row"):
                pair = progress[name]
                assert isinstance(pair, list)
                setattr(self, name, _Mean(float(pair[0]), int(pair[1])))
        except (KeyError, ValueError, TypeError, AssertionError) as error:
            raise CheckpointError(
                f"{self.run.last}: cannot be resumed ({error}); --init-from takes its weights"
            ) from error
        self.run.rewind_metrics(self.trainer.step)

    def events(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Step | Evaluation]:
        """Steps and evaluations until a limit is reached, patience ends or `stop()` is true; then all is saved."""
        trainer, config = self.trainer, self.trainer.config
        saved = time.monotonic()
        self._characters, self._since = 0, trainer.seconds
        for step in trainer.steps():
            self._interval.add(step.loss)
            self._row.add(step.loss)
            self._characters += step.characters
            yield step
            done = trainer.progress() >= 1
            evaluated = done or step.number % config.eval_every == 0
            score = None
            if evaluated:
                score = self._evaluate(step)
            if evaluated or step.number % LOG_EVERY == 0:
                self._log(step, score)
            if evaluated:
                evaluation = self._judge(step, score)
                yield evaluation
                if config.patience is not None and self.stale >= config.patience:
                    return
                saved = time.monotonic()
            every = config.checkpoint_every
            due = step.number % every == 0 if every else time.monotonic() - saved > SAVE_SECONDS
            if due and not evaluated:
                self.save(LAST)
                saved = time.monotonic()
            if stop():
                if not evaluated:
                    self.save(LAST)
                self.run.keep_best_from_last()
                return

    def _evaluate(self, step: Step) -> Score | None:
        if self.validation is None:
            return None
        streams = min(128, max(1, len(self.validation) // 512))
        score = evaluate(self.trainer.parameters, self.validation, streams=streams, workers=self.trainer.stack.workers)
        if not math.isfinite(score.nats_per_char):
            raise DivergedError(
                f"step {step.number}: the validation loss is {score.nats_per_char}; try a smaller --learning-rate"
            )
        return score

    def _judge(self, step: Step, score: Score | None) -> Evaluation:
        config = self.trainer.config
        self.train = self._interval.take()
        reached = score.nats_per_char if score else self.train
        improved = reached < self.best
        self.best = min(reached, self.best)
        self.stale = 0 if improved else self.stale + 1
        if config.schedule == "plateau" and self.stale and self.stale % 2 == 0:
            self.trainer.plateaus += 1
        if improved:
            self.save(BEST)
        self.save(LAST)
        return Evaluation(step.number, self.trainer.epochs, self.train, score, improved)

    def _log(self, step: Step, score: Score | None) -> None:
        trainer = self.trainer
        seconds = trainer.seconds - self._since
        row: dict[str, object] = {
            "step": step.number,
            "epoch": round(trainer.epochs, 4),
            "train": self._row.take(),
            "learning_rate": step.learning_rate,
            "gradient_norm": step.gradient_norm,
            "gradient_norms": trainer.gradient_norms(),
            "characters_per_second": round(self._characters / seconds) if seconds else 0,
        }
        if score:
            row["validation"] = score.nats_per_char
        self.run.log(row)
        self._characters, self._since = 0, trainer.seconds

    def save(self, name: str) -> None:
        """Writes the checkpoint `name`; the last one holds all that going on exactly needs."""
        if not np.isfinite(self.trainer.parameters.vector).all():
            raise DivergedError(
                f"step {self.trainer.step}: a weight is not finite; what was saved before still is: "
                f"--init-from {self.run.directory} with a smaller --learning-rate"
            )
        arrays, numbers = self.trainer.snapshot()
        progress: dict[str, object] = {
            "trainer": numbers,
            "best": self.best if math.isfinite(self.best) else None,
            "train": self.train if math.isfinite(self.train) else None,
            "stale": self.stale,
            "_interval": [self._interval.total, self._interval.count],
            "_row": [self._row.total, self._row.count],
        }
        checkpoint = Model(self.trainer.parameters, self.symbols, settings(self.trainer.config)).checkpoint()
        checkpoint.progress = progress
        checkpoint.extra = arrays if name == LAST else {}
        checkpoints.save(self.run.directory / name, checkpoint)
