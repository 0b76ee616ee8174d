"""What `charrnn train` shows on standard error: the pre-flight, a live bar, evaluations with a sample, and the end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from tqdm import tqdm

from charrnn.cli.terminal import LiveLine, columns, fitting, rows, say
from charrnn.report.novelty import summary
from charrnn.report.scores import NOUNS, code_point, short
from charrnn.report.yardsticks import lines
from charrnn.text.pieces import PieceStreams
from charrnn.training.preflight import Preflight, describe_bytes, preflight
from charrnn.training.prepare import Prepared
from charrnn.training.result import Result
from charrnn.training.session import Evaluation, Event, Notice

MARGIN = " " * 8
HEAD = 10  # columns before what a line of the pre-flight says
BAR = 20  # columns of the bar, at most
BLOCKS = "▁▂▃▄▅▆▇█"
CURVE = 60  # columns of the curve, at most
ROWS = 8  # a terminal of fewer keeps its rows for the text


class Display:
    """Shows one training run. Off a terminal there is no bar, and one plain line for every evaluation."""

    def __init__(self) -> None:
        self._live = LiveLine(sys.stderr)
        self._reading: tqdm[Any] | None = None
        self._scoring: tqdm[Any] | None = None

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        self._live.clear()
        for bar in (self._scoring, self._reading):
            if bar is not None:
                bar.close()

    def reading(self, count: int) -> None:
        """Bytes of the corpus that have been read so far in one go; a bar appears for a large one."""
        if self._reading is None:
            self._reading = tqdm(
                unit="B", unit_scale=True, desc="reading", disable=None, leave=False, delay=1.0, file=sys.stderr
            )
        self._reading.update(count)

    def preflight(self, prepared: Prepared) -> Preflight:
        """Sizes, memory, time, and what had to give way."""
        if self._reading is not None:
            self._reading.close()
        session, corpus = prepared.session, prepared.corpus
        trainer, streams = session.trainer, session.trainer.streams
        architecture = trainer.architecture
        need = preflight(trainer)
        layers = f"{len(architecture.hidden)} layer{'s' if len(architecture.hidden) > 1 else ''}"
        widths = ", ".join(map(str, architecture.hidden))
        each = f"{streams.steps_per_epoch:,} step{'s' if streams.steps_per_epoch != 1 else ''} an epoch"
        files = f", from {corpus.files:,} files" if corpus.files > 1 else ""
        noun = NOUNS[corpus.tokenizer.unit]
        say(f"text      {corpus.characters:,} {noun}s, {len(corpus.symbols):,} different{files}")
        if isinstance(streams, PieceStreams):
            say(
                f"pieces    {streams.count:,} to train on, of {streams.median:,} {noun}s (median), "
                f"{streams.longest:,} at most"
            )
        say(
            f"network   {architecture.cell}, {layers} of {widths} units, "
            f"{trainer.parameters.vector.size:,} parameters, {describe_bytes(need.memory_bytes)} of memory",
            HEAD,
        )
        say(
            f"training  {streams.batch_size} × {streams.seq_length} {noun}s a step, {each}"
            + (f", {streams.dropped:,} left over" if streams.dropped else ""),
            HEAD,
        )
        say(f"run       {session.run.directory}, about {_duration(need.seconds)} to go", HEAD)
        for notice in prepared.notices:
            say(f"note      {notice}", HEAD)
        self._smooth = session.train
        self._started, self._first = time.perf_counter(), trainer.step
        self._characters, self._shown = 0, 0.0
        self._began = trainer.progress()
        self._session = session
        self._losses = [(row["step"], row["validation"]) for row in session.run.metrics() if "validation" in row]
        return need

    def show(self, event: Event) -> None:
        """One event of the session."""
        if isinstance(event, Notice):
            self.note(event.text)
            return
        if isinstance(event, Evaluation):
            self._evaluation(event)
            return
        self._smooth = event.loss if math.isnan(self._smooth) else 0.97 * self._smooth + 0.03 * event.loss
        self._characters += event.characters
        now = time.perf_counter()
        if not self._live.shown or now - self._shown < 0.1:
            return
        self._shown = now
        trainer = self._session.trainer
        progress, elapsed = trainer.progress(), now - self._started
        done = progress - self._began
        left = _duration(elapsed * (1 - progress) / done) if done > 0 else "?"
        width = columns(sys.stderr) - 1
        curve = curve_line(width, self._losses) if rows(sys.stderr) >= ROWS else ""
        bar = bar_line(
            width,
            progress,
            f"step {event.number:,}",
            f"{self._smooth:.3f} nats",
            f"{self._smooth / math.log(2):.3f} bits",
            f"gradient {event.gradient_norm:.2f}",
            f"{self._characters / elapsed:,.0f} chars/s",
            f"{left} left",
        )
        self._live.draw(bar, *([curve] if curve else []))

    def note(self, text: str) -> None:
        """What else the user should know."""
        self._write(f"note      {text}")

    def _evaluation(self, event: Evaluation) -> None:
        line = f"step {event.step:>6,}  epoch {event.epochs:5.2f}  train {event.train:.4f}"
        if event.validation:
            nats = event.validation.nats_per_char
            # After a rollback, those beyond the checkpoint do not count.
            self._losses = [*(loss for loss in self._losses if loss[0] < event.step), (event.step, nats)]
            line += f"  validation {nats:.4f} nats {nats / math.log(2):.4f} bits{' best' if event.improved else ''}"
        self._write(line)
        self._write(MARGIN + self._sample(event.sample))

    def _sample(self, text: str) -> str:
        room = max(columns(sys.stderr) - len(MARGIN), 0) if sys.stderr.isatty() else len(text)
        return "".join(c if c.isprintable() else "⏎" if c == "\n" else " " for c in text[:room])

    def _write(self, line: str) -> None:
        self._live.clear()
        say(line)

    def scoring(self, name: str, total: int) -> Callable[[int], object]:
        """A bar for the scoring of a text of so many predictions, if it takes long."""
        self._close()
        self._scoring = tqdm(
            total=total, unit="char", unit_scale=True, desc=name, disable=None, delay=1.0, leave=False, file=sys.stderr
        )
        return self._scoring.update

    def finish(self, result: Result, interrupted: bool, beside: bool = True) -> None:
        """Says what the training gave, where all lies and what to type next; `beside`: whether yardsticks were asked
        for."""
        self._close()
        for name, score in (("validation", result.validation), ("test", result.test)):
            if score:
                say(f"{name:<11}{short(score, result.model.unit)}")
        if result.validation and result.yardsticks:
            say(f"beside it, bits per {code_point(result.model.unit)} of the validation text:")
            for line in lines(result.validation.nats_per_char, result.model.parameters.vector.size, result.yardsticks):
                say(line)
        elif result.validation and beside:
            seconds = self._session.yardstick_seconds
            say(
                f"yardsticks left out: they take about {_duration(seconds)}, more than a tenth of the training; "
                f"charrnn eval --ckpt {result.run} measures them"
            )
        for sentence in result.verdict if not interrupted else ():
            say(sentence)
        if result.novelty:
            say(summary(result.novelty))
        if not interrupted:
            seconds = self._session.trainer.seconds
            say(f"{result.steps:,} steps in {_duration(seconds)}; best network in {result.checkpoint}")
            whole = "" if self._session.trainer.config.pieces == "none" else " --pieces 20 --new"
            say(f"next: charrnn sample --ckpt {result.run}{whole}")


def bar_line(width: int, progress: float, step: str, nats: str, bits: str, gradient: str, speed: str, left: str) -> str:
    """The live line in at most `width` columns: what there is no room for is left out, the time left last of all."""
    fields = [
        (1, f"{progress:4.0%}"),
        (2, step),
        (5, nats),
        (3, bits),
        (6, gradient),
        (4, speed),
        (0, left),
    ]
    line = fitting(fields, width)
    room = min(width - len(line) - 2, BAR)
    if room < 5:
        return line
    full = round(room * progress)
    percent, rest = line[:4], line[4:]
    return f"{percent}  {'█' * full}{'░' * (room - full)}{rest}"


def curve_line(width: int, losses: Sequence[tuple[int, float]]) -> str:
    """The validation losses (step, nats) so far as a curve of one line in at most `width` columns, with the best.

    Empty for fewer than two, and where the curve would have fewer columns than evaluations up to 10. Of more losses
    than columns, each column has the mean of several.
    """
    if len(losses) < 2:
        return ""
    step, best = min(losses, key=lambda loss: loss[1])
    head, tail = f"{'':6}validation ", f"  best {best:.4f} at step {step:,}"
    room = min(width - len(head) - len(tail), CURVE)
    if room < min(len(losses), 10):
        return ""
    return head + sparkline([nats for _, nats in losses], room) + tail


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as blocks of eight heights, in at most `width` columns.

    The highest stands for the largest value after the first quarter: what is above it, as the steep beginning of a
    loss, is cut off, and what comes later can be told apart.
    """
    n, columns = len(values), min(len(values), width)
    bounds = [i * n // columns for i in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(bounds)]
    low, high = min(means), max(means[columns // 4 :])
    span = high - low or 1.0
    return "".join(BLOCKS[min(int((mean - low) / span * len(BLOCKS)), len(BLOCKS) - 1)] for mean in means)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
