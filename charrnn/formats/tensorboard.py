"""The metrics of a run as an event file, which TensorBoard shows."""

from __future__ import annotations

import io
import math
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn import arguments
from charrnn.errors import CharrnnError, StorageError
from charrnn.extras import needed
from charrnn.storage.durable import append_bytes, atomic_write_bytes
from charrnn.training.run import EVENTS, Run

if TYPE_CHECKING:
    from charrnn.training.session import Event

LEAST_SECONDS = 2.0  # between two looks at the metrics
SHARE = 0.01  # of the time that looking may take
# The tag in TensorBoard of each number of a row.
TAGS = {
    "train": "loss/train",
    "validation": "loss/validation",
    "gradient_norm": "gradient_norm/all",
    "learning_rate": "learning_rate",
    "characters_per_second": "characters_per_second",
    "epoch": "epoch",
}
SAMPLE = "sample"


def check(what: str) -> None:
    """ConfigError that says how to install it if the package tensorboard is missing, as `what` needs it.

    All of it is loaded: what is wrong with it shows before a training, and does not end one.
    """
    needed("tensorboard", "tensorboard", what)
    head(0.0)
    records([{"step": 1, "train": 0.0, "sample": ""}], 0.0)


def _warn(text: str) -> None:
    warnings.warn(text, RuntimeWarning, stacklevel=2)


class TensorBoard:
    """Keeps an event file in a run directory, while the run is trained: a listener, as `on_event` of `train`.

    The file is a copy of metrics.jsonl: losses in nats per symbol, gradient norms, learning rate, speed and samples, by
    step. It is made anew when a training begins, goes on or is rolled back, so that each step stands in it once, with
    the values that count. Trouble with writing it is told by `tell`, once, and does not end the training; without
    `tell` it is a RuntimeWarning. ConfigError without the package tensorboard.
    """

    def __init__(self, run: str | Path, tell: Callable[[str], object] | None = None) -> None:
        check("an event file")
        self._run = Run(arguments.path("run", run))
        self._tell, self._told = tell or _warn, False
        self._path: Path | None = None  # of the event file, once it is written
        self._rows: list[dict[str, Any]] = []  # which it holds
        self._started = 0.0
        self._due = -math.inf

    def __call__(self, event: Event) -> None:
        """Brings the file up to the metrics, if there can be something new."""
        from charrnn.training.loop import Step

        if not isinstance(event, Step) or time.monotonic() >= self._due:
            self.catch_up()

    def catch_up(self) -> None:
        """As `update`, but trouble is told and not raised."""
        began = time.monotonic()
        try:
            self.update()
            self._told = False
        except CharrnnError as error:
            if not self._told:
                self._tell(f"{error}; the training goes on, without TensorBoard until that can be written")
            self._told = True
        now = time.monotonic()
        self._due = now + max(LEAST_SECONDS, (now - began) / SHARE)

    def update(self) -> None:
        """Brings the file up to the metrics of the run. StorageError if the system fails."""
        rows, count = self._run.metrics(), len(self._rows)
        if self._path is None or len(rows) < count or (count and rows[count - 1] != self._rows[-1]):
            self._begin(rows)
        elif rows[count:]:
            append_bytes(self._path, records(rows[count:], self._started))
            self._rows = rows

    def _begin(self, rows: list[dict[str, Any]]) -> None:
        """Writes a file of all rows, and empties the one before.

        A TensorBoard that is reading the one before goes on to the new one, whose name comes later, when it comes to
        the end; it would never leave a file that is gone. One that was emptied earlier goes.
        """
        directory, now = self._run.directory, time.time()
        before = sorted(directory.glob(EVENTS))
        numbers = [int(number) for path in before if (number := path.name.split(".")[3]).isdecimal()]
        self._started = now - max(map(_seconds, rows), default=0.0)
        path = directory / EVENTS.replace("*", f"{max([int(now), *(number + 1 for number in numbers)]):010d}")
        atomic_write_bytes(path, head(self._started) + records(rows, self._started), follow=False)
        self._path, self._rows = path, rows
        for old in before:
            try:
                if old.stat().st_size:
                    atomic_write_bytes(old, b"", follow=False)
                else:
                    old.unlink()
            except OSError as error:
                raise StorageError(f"cannot remove {old}: {error.strerror}; remove it") from error


def head(started: float) -> bytes:
    """The records that an event file begins with; `started` in seconds since 1970.

    The second one makes a reader forget what it has read of the run before.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog

    start = SessionLog(status=SessionLog.START)
    events = [Event(wall_time=started, file_version="brain.Event:2"), Event(wall_time=started, session_log=start)]
    return _framed(events)


def records(rows: Sequence[Mapping[str, Any]], started: float) -> bytes:
    """The records of some rows, as `Run.metrics` gives them; their times are those of training, from `started` on."""
    return _framed(event for row in rows for event in _events(row, started))


def _framed(events: Any) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString())
    return buffer.getvalue()


def _events(row: Mapping[str, Any], started: float) -> Iterator[Any]:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text.summary_v2 import text_pb

    if "train" not in row:  # of a rollback or divergence
        return
    at = {"wall_time": started + _seconds(row), "step": row["step"]}
    norms = row.get("gradient_norms", [])
    names = [*(f"layer_{i}" for i in range(1, len(norms))), "output"]
    layers = {f"gradient_norm/{name}": norm for name, norm in zip(names, norms, strict=False)}
    numbers = {**{tag: row.get(name) for name, tag in TAGS.items()}, **layers}
    values = [Summary.Value(tag=tag, simple_value=x) for tag, x in numbers.items() if x is not None]
    yield Event(summary=Summary(value=values), **at)
    if "sample" in row:
        # It is shown as Markdown, where lines that are indented stay as they are.
        yield Event(summary=text_pb(SAMPLE, textwrap.indent(row["sample"], "    ", lambda line: True)), **at)


def _seconds(row: Mapping[str, Any]) -> float:
    """Of training, until then."""
    return float(row.get("seconds", 0.0))
