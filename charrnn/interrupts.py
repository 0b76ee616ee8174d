"""Signals at a bad moment: held back until something is whole, and kept away from processes that are being started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
# Signals that may be sent to all processes, and that the first one handles; Windows lacks some.
OF_ALL = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)}


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Delays SIGINT and SIGTERM until the block ends. Outside of the main thread, which gets them, it does nothing.

    Each that came in the block is sent again at its end, even if the handler of another raises.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}  # handlers by the number of the signal
    held: dict[int, None] = {}  # numbers in the order in which they first came
    over = False

    def hold(number: int, _frame: object) -> None:
        if not over:
            held[number] = None
        else:  # the handler of another signal raised while this one's was to be put back
            signal.signal(number, before[number])
            signal.raise_signal(number)

    try:
        for kind in INTERRUPTS:
            handler = signal.getsignal(kind)
            if handler is not None:  # else it is not Python's, which could not put it back
                before[kind] = handler
                signal.signal(kind, hold)
        yield
    finally:
        over = True
        try:
            for number, handler in before.items():
                signal.signal(number, handler)
        finally:
            _send(list(held))


def _send(numbers: list[int]) -> None:
    """Sends this process these signals, each even if the handler of one before it raises."""
    if not numbers:
        return
    try:
        signal.raise_signal(numbers[0])
    finally:
        _send(numbers[1:])


@contextmanager
def starting_process() -> Iterator[None]:
    """For a block that starts a process: no interrupt comes in between, and the process has `OF_ALL` blocked.

    It would print a traceback if the start were cut short, or if it were interrupted while it is loaded itself. That a
    signal is blocked in this thread is not enough for the first: another thread may take it.
    """
    with interrupts_held():
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            yield
            return
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # its start unblocks SIGINT and SIGTERM, so it comes first
        before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_ALL)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_interrupts_to_parent() -> None:
    """In a process that `starting_process` has started: SIGINT is ignored, for the parent ends it, and the other
    signals come through again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_ALL)
