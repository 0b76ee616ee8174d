"""What `charrnn train` shows on standard error: the pre-flight, a live bar, evaluations with a sample, and the end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from charrnn.report.novelty import summary
from charrnn.report.scores import NOUNS, short
from charrnn.report.yardsticks import lines
from charrnn.training.loop import Step
from charrnn.training.preflight import describe_bytes, preflight
from charrnn.training.prepare import Prepared
from charrnn.training.result import Result
from charrnn.training.session import Evaluation, Session
from charrnn.training.settings import Settings

SAMPLE = 72


class Display:
    """Shows one training run. Off a terminal there is no bar, and one plain line for every evaluation."""

    def __init__(self, config: Settings) -> None:
        self.config = config
        self.bar: tqdm[Any] | None = None
        self._reading: tqdm[Any] | None = None
        self._scoring: tqdm[Any] | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        for bar in (self.bar, self._reading, self._scoring):
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
        need = preflight(trainer)
        layers = f"{len(architecture.hidden)} layer{'s' if len(architecture.hidden) > 1 else ''}"
        widths = ", ".join(map(str, architecture.hidden))
        per_epoch = f"{streams.steps_per_epoch:,} step{'s' if streams.steps_per_epoch != 1 else ''} an epoch"
        files = f", from {corpus.files:,} files" if corpus.files > 1 else ""
        _say(
            f"text      {corpus.characters:,} {NOUNS[corpus.tokenizer.unit]}s, {len(corpus.symbols):,} different{files}"
        )
        _say(
            f"network   {layers} of {widths} units, "
            f"{trainer.parameters.vector.size:,} parameters, {describe_bytes(need.memory_bytes)} of memory"
        )
        _say(
            f"training  {streams.batch_size} streams × {streams.seq_length} steps, {per_epoch}"
            + (f", {streams.dropped:,} characters left over in each" if streams.dropped else "")
        )
        _say(f"run       {session.run.directory}, about {_duration(need.seconds)} to go")
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
        text = session.model.sample(SAMPLE, temperature=0.7, seed=self.config.seed)
        return "".join(c if c.isprintable() else "⏎" if c == "\n" else " " for c in text)

    def _write(self, line: str) -> None:
        if self.bar is not None and not self.bar.disable:
            self.bar.write(line, file=sys.stderr)
        else:
            _say(line)

    def scoring(self, name: str, total: int) -> Callable[[int], object]:
        """A bar for the scoring of a text of so many predictions, if it takes long."""
        self._scoring = tqdm(
            total=total, unit="char", unit_scale=True, desc=name, disable=None, delay=1.0, leave=False, file=sys.stderr
        )
        return self._scoring.update

    def finish(self, result: Result, interrupted: bool, beside: bool = True) -> None:
        """Says what the training gave, where all lies and what to type next; `beside`: whether yardsticks were asked
        for."""
        for bar in (self.bar, self._scoring):
            if bar is not None:
                bar.close()
        for name, score in (("validation", result.validation), ("test", result.test)):
            if score:
                _say(f"{name:<11}{short(score, result.model.unit)}")
        if result.validation and result.yardsticks:
            _say("beside it, bits per character of the validation text:")
            for line in lines(result.validation.nats_per_char, result.model.parameters.vector.size, result.yardsticks):
                _say(line)
        elif result.validation and beside:
            seconds = self._session.yardstick_seconds
            _say(
                f"yardsticks left out: they take about {_duration(seconds)}, more than a tenth of the training; "
                f"charrnn eval --ckpt {result.run} measures them"
            )
        for sentence in result.verdict if not interrupted else ():
            _say(sentence)
        if result.novelty:
            _say(summary(result.novelty))
        if not interrupted:
            seconds = self._session.trainer.seconds
            _say(f"{result.steps:,} steps in {_duration(seconds)}; best network in {result.checkpoint}")
            _say(f"next: charrnn sample --ckpt {result.run}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
