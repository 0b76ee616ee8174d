"""What signals mean to a training: SIGINT and SIGTERM stop it, SIGUSR1 saves it."""

from __future__ import annotations

import signal
import time

STOP = (signal.SIGINT, signal.SIGTERM)
SAVE: signal.Signals | None = getattr(signal, "SIGUSR1", None)  # not on Windows


class Stopped(BaseException):
    """A signal has ended what was running."""


def cause(error: BaseException) -> BaseException:
    """What an error comes from: Python wraps what a signal raises while a class is made, as at an import."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


class Signals:
    """Handles the signals from `with` on; after it the process, which is at its end, ignores them.

    While `waits` is set, the first SIGINT or SIGTERM is a wish to stop after the running update; one that comes `AGAIN`
    seconds after the first, or later, raises Stopped. (What runs us may pass on a signal that the terminal has sent us
    already.) While `waits` is not set, the first raises it. Nothing is raised but while `raises` is set, where it is
    caught. The exit code is that of the first, whatever follows.
    """

    AGAIN = 0.5

    def __init__(self) -> None:
        self.first: int | None = None  # number of the first signal that asked to stop
        self.raises = self.waits = False
        self.last_line = "interrupted"  # what is to be said where a signal has ended it
        self._save = False

    def __enter__(self) -> Signals:
        self._kinds = {kind: self._stop for kind in STOP} | ({SAVE: self._ask_to_save} if SAVE else {})
        for kind, handler in self._kinds.items():
            signal.signal(kind, handler)
        return self

    def __exit__(self, *_: object) -> None:
        # The process is at its end: a signal may be on its way once more, and Python would take its own handlers away.
        for kind in self._kinds:
            signal.signal(kind, signal.SIG_IGN)

    @property
    def exit_code(self) -> int:
        """128 and the first signal."""
        return 128 + (self.first or 0)

    def stop(self) -> bool:
        """Whether it is wished to stop."""
        return self.first is not None

    def save(self) -> bool:
        """Whether it was wished to save since this was last asked."""
        wished, self._save = self._save, False
        return wished

    def _ask_to_save(self, _number: int, _frame: object) -> None:
        self._save = True

    def _stop(self, number: int, _frame: object) -> None:
        if self.first is None:
            self.first, self._time = number, time.monotonic()
            if self.raises and not self.waits:
                raise Stopped
        elif self.raises and time.monotonic() - self._time > self.AGAIN:
            raise Stopped
