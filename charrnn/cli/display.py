"""What `charrnn train` shows on standard error: the pre-flight, a live bar, evaluations with a sample, and the end."""

from __future__ import annotations

import itertools
import math
import sys
import time
from typing import Any

from tqdm import tqdm

from charrnn.inference.evaluation import evaluate
from charrnn.inference.sampling import Choice, characters_until, sample
from charrnn.model import load
from charrnn.training.config import TrainConfig
from charrnn.training.loop import Step
from charrnn.training.preflight import describe_bytes, expected_seconds, memory_bytes
from charrnn.training.prepare import Prepared
from charrnn.training.session import Evaluation, Session

SAMPLE = 72
EXACT = 200_000  # up to so many characters the final score is exact, as one stream
STREAMS = 128


class Display:
    """Shows one training run. Off a terminal there is no bar, and one plain line for every evaluation."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.bar: tqdm[Any] | None = None
        self._reading: tqdm[Any] | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in (self.bar, self._reading):
            if bar is not None:
                bar.close()

    def reading(self, count: int) -> None:
        """Bytes of the corpus that have been read so far in one go; a bar appears for a large one."""
        if self._reading is None:
            self._reading = tqdm(
                unit="B", unit_scale=True, desc="reading", disable=None, leave=False, delay=1.0, file=sys.stderr
            )
        self._reading.update(count)

    def preflight(self, prepared: Prepared) -> None:
        """Sizes, memory, time, and what had to give way."""
        if self._reading is not None:
            self._reading.close()
        session, corpus = prepared.session, prepared.corpus
        trainer, streams = session.trainer, session.trainer.streams
        architecture = trainer.architecture
        layers = f"{len(architecture.hidden)} layer{'s' if len(architecture.hidden) > 1 else ''}"
        widths = ", ".join(map(str, architecture.hidden))
        per_epoch = f"{streams.steps_per_epoch:,} step{'s' if streams.steps_per_epoch != 1 else ''} an epoch"
        _say(f"text      {corpus.characters:,} characters, {len(corpus.symbols):,} different")
        _say(
            f"network   {layers} of {widths} units, "
            f"{trainer.parameters.vector.size:,} parameters, {describe_bytes(memory_bytes(trainer))} of memory"
        )
        _say(
            f"training  {streams.batch_size} streams × {streams.seq_length} steps, {per_epoch}"
            + (f", {streams.dropped:,} characters left over in each" if streams.dropped else "")
        )
        _say(f"run       {session.run.directory}, about {_duration(expected_seconds(trainer))} to go")
        for notice in prepared.notices:
            _say(f"note      {notice}")
        self._smooth = session.train
        self._started, self._first = time.perf_counter(), trainer.step
        self._characters, self._shown = 0, 0.0
        total = round(1000 * trainer.progress())
        self.bar = tqdm(
            total=1000,
            initial=total,
            disable=None,
            file=sys.stderr,
            leave=False,
            bar_format="{percentage:3.0f}% {bar:20} {desc}",
            dynamic_ncols=True,
        )
        self._session = session

    def show(self, event: Step | Evaluation) -> None:
        """One event of the session."""
        if isinstance(event, Evaluation):
            self._evaluation(event)
            return
        self._smooth = event.loss if math.isnan(self._smooth) else 0.97 * self._smooth + 0.03 * event.loss
        self._characters += event.characters
        bar = self.bar
        now = time.perf_counter()
        if bar is None or bar.disable or now - self._shown < 0.1:
            return
        self._shown = now
        trainer = self._session.trainer
        progress, elapsed = trainer.progress(), now - self._started
        done = progress - bar.initial / 1000
        left = _duration(elapsed * (1 - progress) / done) if done > 0 else "?"
        bar.set_description_str(
            f"step {event.number:,}  {self._smooth:.3f} nats  {self._smooth / math.log(2):.3f} bits  "
            f"|g| {event.gradient_norm:.2f}  {self._characters / elapsed:,.0f} chars/s  {left} left",
            refresh=False,
        )
        bar.n = round(1000 * progress)
        bar.refresh()

    def _evaluation(self, event: Evaluation) -> None:
        session = self._session
        line = f"step {event.step:>6,}  epoch {event.epochs:6.2f}  train {event.train:.4f}"
        if event.validation:
            nats = event.validation.nats_per_char
            line += f"  validation {nats:.4f} nats {nats / math.log(2):.4f} bits{' *' if event.improved else ''}"
        self._write(line)
        self._write("        " + self._sample(session))

    def _sample(self, session: Session) -> str:
        parameters, symbols = session.trainer.parameters, session.symbols
        prompt = [symbols.index("\n")] if "\n" in symbols else [0]
        drawn = sample(parameters, _array(prompt), self.config.seed, Choice(temperature=0.7))
        text = "".join(itertools.islice(characters_until(drawn, symbols, SAMPLE), SAMPLE))
        return "".join(c if c.isprintable() else "⏎" if c == "\n" else " " for c in text)

    def _write(self, line: str) -> None:
        if self.bar is not None and not self.bar.disable:
            self.bar.write(line, file=sys.stderr)
        else:
            _say(line)

    def finish(self, prepared: Prepared, interrupted: bool) -> dict[str, object]:
        """Scores the best checkpoint, says where all lies and what to type next; the result as plain values."""
        if self.bar is not None:
            self.bar.close()
        session = prepared.session
        trainer, run = session.trainer, session.run
        seconds = time.perf_counter() - self._started
        scores: dict[str, dict[str, float] | None] = {"validation": None, "test": None}
        if not interrupted:
            run.keep_best_from_last()
            best = load(run.best).parameters
            for name, ids in (("validation", session.validation), ("test", prepared.test)):
                if ids is None:
                    continue
                streams, workers = (1, 1) if len(ids) <= EXACT else (STREAMS, trainer.stack.workers)
                with tqdm(
                    total=len(ids) - 1, unit="char", unit_scale=True, desc=name, disable=None, delay=1.0, leave=False
                ) as bar:
                    scores[name] = evaluate(best, ids, streams=streams, workers=workers, progress=bar.update).as_dict()
        for name, score in scores.items():
            if score:
                _say(
                    f"{name:<11}{score['nats_per_char']:.4f} nats, {score['bits_per_char']:.4f} bits per character, "
                    f"perplexity {score['perplexity']:.3f}"
                )
        if not interrupted:
            _say(f"{trainer.step:,} steps in {_duration(trainer.seconds)}; best network in {run.best}")
            _say(f"next: charrnn sample --ckpt {run.directory}")
        train = session.train if math.isfinite(session.train) else self._smooth
        return {
            "run": str(run.directory),
            "checkpoint": str(run.best),
            "parameters": trainer.parameters.vector.size,
            "steps": trainer.step,
            "epochs": trainer.epochs,
            "characters": self._characters,
            "seconds": seconds,
            "characters_per_second": self._characters / seconds,
            "train": _measures(train) if math.isfinite(train) else None,
            **scores,
        }


def _measures(nats: float) -> dict[str, float]:
    return {
        "nats_per_char": nats,
        "bits_per_char": nats / math.log(2),
        "perplexity": math.exp(min(nats, 700.0)),
    }


def _array(ids: list[int]) -> Any:
    import numpy as np

    return np.array(ids)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
