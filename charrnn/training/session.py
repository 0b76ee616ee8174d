"""A training session: the trainer's steps, with evaluation, metrics, checkpoints and early stopping around them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charrnn.errors import CheckpointError, DivergedError, StorageError, WorkerError
from charrnn.inference.ngram import TRAIN_CHARACTERS
from charrnn.inference.novelty import novelty
from charrnn.inference.scoring import Score, evaluate
from charrnn.inference.yardsticks import Yardsticks, expected_seconds, yardsticks
from charrnn.model import Model, load, of_checkpoint
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.storage import BEST, LAST, fields
from charrnn.storage import checkpoint as checkpoints
from charrnn.storage.checkpoint import Checkpoint
from charrnn.text.tokenizer import Tokenizer, code_points
from charrnn.training.loop import MOST_ROLLBACKS, Step, Trainer
from charrnn.training.result import Result, by_heart
from charrnn.training.run import Run

LOG_EVERY = 50  # updates between rows of the metrics
SAVE_SECONDS = 60.0
EXACT = 200_000  # up to so many characters the final score is exact, as one stream
STREAMS = 128
YARDSTICK_SHARE = 0.1  # of the time of training that the yardsticks may take
COMPARED = 1000  # characters of a sample that are compared with the training text where it has been learnt by heart
AT_ONCE = 3.0  # seconds: yardsticks that take less are always measured
SAMPLE, SAMPLE_TEMPERATURE = 72, 0.7  # characters written at each evaluation, and how boldly
RUINED = 10  # times the loss of a uniform guess, or times one nat if that is more: no state that was worth keeping

Scoring = Callable[[str, int], Callable[[int], object]]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found: mean training loss since the last one, the validation's score, if there is any, and a
    sample of the network as it is."""

    step: int
    epochs: float
    train: float
    validation: Score | None
    improved: bool
    sample: str


@dataclass(frozen=True)
class Notice:
    """What else the user should know, in one line, and the step after which it was."""

    step: int
    text: str


Event = Step | Evaluation | Notice
Asked = Callable[[], bool]


def never() -> bool:
    """False."""
    return False


@dataclass
class _Mean:
    """A running mean that a checkpoint can carry."""

    total: float = 0.0
    count: int = 0

    @classmethod
    def of(cls, values: Mapping[str, object], name: str) -> _Mean:
        """The one that a checkpoint carries; ValueError if it carries none."""
        value = fields.mapping(values, name)
        return cls(fields.number(value, "total"), fields.whole(value, "count"))

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
    tokenizer: Tokenizer
    validation: Array | None = None
    test: Array | None = None
    best: float = math.inf
    stale: int = 0  # evaluations without improvement
    train: float = math.nan
    _interval: _Mean = field(default_factory=_Mean)
    _row: _Mean = field(default_factory=_Mean)
    _trained: int = 0  # characters trained on in this session
    _before: float = 0.0  # seconds of training in earlier sessions
    # What could not be written yet, and why: rows of the metrics, checkpoints by name.
    _rows: list[dict[str, Any]] = field(default_factory=list)
    _waiting: dict[str, Checkpoint] = field(default_factory=dict)
    _refused: StorageError | None = None

    @property
    def model(self) -> Model:
        """The network as it is now, or the average of its weights where there is one."""
        return self._model(self.trainer.network)

    def _model(self, weights: Parameters) -> Model:
        tokenizer, settings = self.tokenizer, self.trainer.config.plain()
        return Model(weights, tokenizer.symbols, settings, tokenizer.unit, tokenizer.normalize)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continues from the run's last checkpoint; CheckpointError if it does not fit the settings."""
        self._restore(checkpoint)
        self._before = self.trainer.seconds
        self.run.rewind_metrics(self.trainer.step)

    def _restore(self, checkpoint: Checkpoint) -> None:
        progress = checkpoint.progress
        try:
            model = of_checkpoint(checkpoint, self.run.last)
            if model.parameters.architecture != self.trainer.architecture:
                raise ValueError("another architecture")
            self.trainer.restore(model.parameters.vector, checkpoint.extra, fields.mapping(progress, "trainer"))
            self.best = math.inf if progress.get("best") is None else fields.number(progress, "best")
            self.train = math.nan if progress.get("train") is None else fields.number(progress, "train")
            self.stale = fields.whole(progress, "stale")
            self._interval, self._row = _Mean.of(progress, "interval"), _Mean.of(progress, "row")
        except ValueError as error:
            raise CheckpointError(
                f"{self.run.last}: cannot be resumed ({error}); a new run can take its weights (init_from)"
            ) from error

    def events(self, stop: Asked = never, save: Asked = never) -> Iterator[Event]:
        """Steps, evaluations, notices until a limit is reached, patience ends or `stop()` is true; then all is saved.

        Where `save()` is true all is saved at once. What cannot be written is told, kept and tried again when it is
        time to save once more; StorageError if it cannot be written in the end either. DivergedError where the loss,
        the gradient or the weights are not finite, and there is no going back (`on_divergence`). WorkerError if a
        worker process ends; what had been trained is saved before.
        """
        while True:
            try:
                yield from self._events(stop, save)
                break
            except WorkerError:
                self.save(LAST)
                raise
            except DivergedError as error:
                yield from self._rolled_back(error)
        self.run.keep_best_from_last()

    def _events(self, stop: Asked, save: Asked) -> Iterator[Event]:
        trainer, config = self.trainer, self.trainer.config
        every_evaluation = config.eval_every or 500
        saved = time.monotonic()
        self._characters, self._since = 0, trainer.seconds
        for step in trainer.steps():
            self._interval.add(step.loss)
            self._row.add(step.loss)
            self._characters += step.characters
            self._trained += step.characters
            yield step
            done = trainer.progress() >= 1
            evaluated = done or step.number % every_evaluation == 0
            score = self._evaluate(step) if evaluated else None
            sample = self._sample() if evaluated else ""
            if evaluated or step.number % LOG_EVERY == 0:
                self._rows.append(self._row_of(step, score, sample))
            asked, ending = save(), stop() or done
            if evaluated:
                evaluation = self._judge(step, score, sample)
                ending = ending or (config.patience is not None and self.stale >= config.patience)
            every = config.checkpoint_every
            due = step.number % every == 0 if every else time.monotonic() - saved > SAVE_SECONDS
            if evaluated or due or asked or ending:
                self._check_state()
                self._waiting[LAST] = self.checkpoint(LAST)
                saved = time.monotonic()
            if LAST in self._waiting or (self._rows and not self._refused):
                yield from self._write(final=ending)
            if evaluated:
                yield evaluation
            if asked and not self._refused:
                yield Notice(step.number, f"saved step {step.number:,} in {self.run.last}, as asked")
            if ending:
                return

    def _check_state(self) -> None:
        """DivergedError if the state is not worth to take the place of the last one that was saved."""
        trainer = self.trainer
        loss, uniform = trainer.look_ahead()[0].loss, math.log(trainer.architecture.symbols)
        if loss > RUINED * max(uniform, 1.0):
            raise DivergedError(
                f"step {trainer.step + 1}: the loss is {loss:.3g} nats, and a uniform guess has {uniform:.2f}; "
                f"try a learning_rate below {trainer.learning_rate():g}"
            )

    def _write(self, final: bool = False) -> Iterator[Notice]:
        """Writes what waits. What cannot be written is told, and waits on, but for the last checkpoint, which a later
        one replaces. StorageError if this was the `final` time."""
        step, before = self.trainer.step, self._refused
        try:
            while self._rows:
                self.run.log(self._rows[0])
                del self._rows[0]
            for name in (BEST, LAST):
                if name in self._waiting:
                    checkpoints.save(self.run.directory / name, self._waiting[name])
                    del self._waiting[name]
            self._refused = None
        except StorageError as error:
            if final:
                raise
            self._refused = error
            self._waiting.pop(LAST, None)
            if BEST in self._waiting:
                best = self._waiting[BEST]
                best.weights = {key: weights.copy() for key, weights in best.weights.items()}
            yield Notice(step, f"{error}; the training goes on, and tries again when it is time to save")
        if before and not self._refused:
            yield Notice(step, f"{self.run.directory} can be written to again; all is saved, step {step:,}")

    def _rolled_back(self, error: DivergedError) -> Iterator[Notice]:
        """Goes back to the last checkpoint, with half the rate from now on; DivergedError if that is not wished, or has
        been done too often."""
        trainer, message = self.trainer, str(error)
        wished, rollbacks = trainer.config.on_divergence == "rollback", trainer.rollbacks + 1
        after, seconds = trainer.step, trainer.seconds
        yield from self._write()  # the rows that led here
        try:
            self._restore(checkpoints.load(self.run.last))
        except (CheckpointError, StorageError):  # there is none: only the trouble before counts
            raise error from None
        if not wished or rollbacks > MOST_ROLLBACKS:
            way = f"it went back {MOST_ROLLBACKS} times" if wished else "or on_divergence rollback"
            raise DivergedError(f"{message}, {way}; {self.run.last} is of step {trainer.step:,}") from error
        trainer.rollbacks, trainer.seconds = rollbacks, seconds
        self._rows = [row for row in self._rows if row["step"] <= trainer.step]
        self.run.rewind_metrics(trainer.step)
        rate = trainer.learning_rate()
        self._rows.append(
            {
                "step": trainer.step,
                "rollback": rollbacks,
                "after": after,
                "learning_rate": rate,
                "seconds": round(seconds, 3),
            }
        )
        self._waiting[LAST] = self.checkpoint(LAST)
        yield from self._write()
        what = message.partition(";")[0]
        yield Notice(
            trainer.step,
            f"{what}: back to step {trainer.step:,} with half the rate, {rate:g} ({rollbacks} of {MOST_ROLLBACKS})",
        )

    def _evaluate(self, step: Step) -> Score | None:
        if self.validation is None:
            return None
        streams = min(128, max(1, len(self.validation) // 512))
        trainer = self.trainer
        score = evaluate(
            trainer.network,
            self.validation,
            streams=streams,
            workers=trainer.engine.workers,
            end=trainer.streams.end,
        )
        if not math.isfinite(score.nats_per_char):
            raise DivergedError(
                f"step {step.number}: the validation loss is {score.nats_per_char}; "
                f"try a learning_rate below {step.learning_rate:g}"
            )
        return score

    def _judge(self, step: Step, score: Score | None, sample: str) -> Evaluation:
        config = self.trainer.config
        self.train = self._interval.take()
        reached = score.nats_per_char if score else self.train
        improved = reached < self.best
        self.best = min(reached, self.best)
        self.stale = 0 if improved else self.stale + 1
        if config.schedule == "plateau" and self.stale and self.stale % 2 == 0:
            self.trainer.plateaus += 1
        if improved:
            self._check_state()
            self._waiting[BEST] = self.checkpoint(BEST)
        return Evaluation(step.number, self.trainer.epochs, self.train, score, improved, sample)

    def _sample(self) -> str:
        """What the network writes now. It has a state and a generator of its own, so that training is not disturbed."""
        with np.errstate(all="ignore"):  # a network that diverges says so when it trains
            return self.model.sample(SAMPLE, temperature=SAMPLE_TEMPERATURE, seed=self.trainer.config.seed)

    def _row_of(self, step: Step, score: Score | None, sample: str) -> dict[str, object]:
        """The row of the metrics for the steps since the last one."""
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
            "seconds": round(trainer.seconds, 3),
        }
        if score:
            row["validation"] = score.nats_per_char
        if sample:
            row["sample"] = sample
        self._characters, self._since = 0, trainer.seconds
        return row

    @property
    def yardstick_seconds(self) -> float:
        """The estimated time to compute the yardsticks; 0 without validation text."""
        return 0.0 if self.validation is None else expected_seconds(len(self.trainer.streams.ids), len(self.validation))

    @property
    def yardsticks_are_cheap(self) -> bool:
        """Whether the yardsticks take at most a tenth of the time that the training took, or three seconds."""
        return self.yardstick_seconds <= max(YARDSTICK_SHARE * self.trainer.seconds, AT_ONCE)

    def result(
        self,
        score: bool = True,
        progress: Scoring = lambda name, total: lambda count: None,
        *,
        beside: bool = True,
    ) -> Result:
        """What the run has given so far; its best network is scored on the validation and test text, if `score`.

        `progress` is called with the name of a text and its predictions, and gives a function of those done. With
        `beside` the score on the validation text is set beside yardsticks, if they are cheap; and where the training
        text has been learnt by heart, a sample is compared with it.
        """
        self.run.keep_best_from_last()
        model = load(self.run.best)
        scores: dict[str, Score | None] = {"validation": None, "test": None}
        for name, ids in (("validation", self.validation), ("test", self.test)):
            if score and ids is not None:
                streams, workers = (1, 1) if len(ids) <= EXACT else (STREAMS, self.trainer.engine.workers)
                done = progress(name, len(ids) - 1)
                scores[name] = model.score_ids(ids, streams=streams, workers=workers, progress=done)
        trainer = self.trainer
        train = self._interval.total / self._interval.count if self._interval.count else self.train
        measured: Yardsticks | None = None
        if score and beside and self.validation is not None and self.yardsticks_are_cheap:
            measured = yardsticks(trainer.streams.ids, self.validation, self.tokenizer, trainer.streams.end)
        history, copied = self.run.metrics(), None
        if measured and scores["validation"] and by_heart(scores["validation"], train, history):
            sample = model.sample(COMPARED, temperature=0.8, seed=trainer.config.seed)
            known = self.tokenizer.decode(trainer.streams.ids[-TRAIN_CHARACTERS:])
            copied = novelty(code_points(sample), code_points(known))
        return Result(
            self.run.directory,
            self.run.best,
            model,
            trainer.step,
            trainer.epochs,
            self._trained,
            trainer.seconds - self._before,
            train if math.isfinite(train) else None,
            scores["validation"],
            scores["test"],
            history,
            measured,
            copied,
        )

    def close(self) -> None:
        """Ends worker processes, and lets others into the run directory."""
        self.trainer.engine.close()
        self.run.unlock()

    def save(self, name: str) -> None:
        """Writes the checkpoint `name` of the run."""
        checkpoints.save(self.run.directory / name, self.checkpoint(name))

    def checkpoint(self, name: str) -> Checkpoint:
        """What the checkpoint `name` holds now: the last one has all that going on exactly needs."""
        arrays, numbers = self.trainer.snapshot()
        checkpoint = self._model(self.trainer.network if name == BEST else self.trainer.parameters).checkpoint()
        checkpoint.progress = {
            "trainer": numbers,
            "best": self.best if math.isfinite(self.best) else None,
            "train": self.train if math.isfinite(self.train) else None,
            "stale": self.stale,
            "interval": vars(self._interval),
            "row": vars(self._row),
        }
        checkpoint.extra = arrays if name == LAST else {}
        return checkpoint
