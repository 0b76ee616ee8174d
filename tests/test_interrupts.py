"""Signals at a bad moment: held back, none lost, and no new process told of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charrnn.interrupts import INTERRUPTS, interrupts_held

ROOT = Path(__file__).parents[1]


class Ended(BaseException):
    """What the handler of SIGTERM raises here."""


@pytest.fixture
def told() -> Iterator[list[int]]:
    """Both kinds have a handler that notes its signal here, and raises."""
    came: list[int] = []

    def ends(number: int, _frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else Ended

    before = {number: signal.signal(number, ends) for number in INTERRUPTS}
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in INTERRUPTS]


def sent_while_handlers_are_set(monkeypatch: pytest.MonkeyPatch, number: int, before_call: int) -> None:
    """Lets this signal come just before so many calls of `signal.signal`."""
    calls, setting = [], signal.signal

    def interrupted(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == before_call:
            signal.raise_signal(number)
        return setting(*arguments)

    monkeypatch.setattr("charrnn.interrupts.signal.signal", interrupted)


@pytest.mark.parametrize("kinds", [INTERRUPTS, INTERRUPTS[::-1]], ids=str)
def test_both_kinds_are_held_to_the_end_and_both_are_told_in_their_order(
    told: list[int], kinds: tuple[signal.Signals, signal.Signals]
) -> None:
    before = handlers()
    with pytest.raises((KeyboardInterrupt, Ended)), interrupts_held():
        for number in (*kinds, *kinds):
            signal.raise_signal(number)
        assert told == []
    assert told == list(kinds) and handlers() == before


@pytest.mark.parametrize("held", INTERRUPTS)
@pytest.mark.parametrize("late", INTERRUPTS)
@pytest.mark.parametrize("before_call", [3, 4])
def test_a_signal_while_handlers_are_put_back_does_not_swallow_one_that_was_held(
    told: list[int], monkeypatch: pytest.MonkeyPatch, held: int, late: int, before_call: int
) -> None:
    before = handlers()
    with monkeypatch.context() as patch:
        sent_while_handlers_are_set(patch, late, before_call)
        with pytest.raises((KeyboardInterrupt, Ended)), interrupts_held():
            signal.raise_signal(held)
    assert told == [late, held]
    for number in INTERRUPTS:  # whichever handler stands there now: what comes afterwards is told
        with pytest.raises((KeyboardInterrupt, Ended)):
            signal.raise_signal(number)
    assert told[2:] == list(INTERRUPTS) and handlers() == before


@pytest.mark.parametrize("before_call", [1, 2])
@pytest.mark.parametrize("number", INTERRUPTS)
def test_a_signal_before_the_block_leaves_the_handlers_as_they_were(
    told: list[int], monkeypatch: pytest.MonkeyPatch, number: int, before_call: int
) -> None:
    before = handlers()
    with monkeypatch.context() as patch:
        sent_while_handlers_are_set(patch, number, before_call)
        with pytest.raises((KeyboardInterrupt, Ended)), interrupts_held():
            pass
    assert told == [number] and handlers() == before


def test_a_handler_that_python_cannot_put_back_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    getting = signal.getsignal
    monkeypatch.setattr("charrnn.interrupts.signal.getsignal", lambda n: None if n == signal.SIGTERM else getting(n))
    before = getting(signal.SIGTERM)
    with interrupts_held():
        assert getting(signal.SIGTERM) is before and getting(signal.SIGINT).__name__ == "hold"
    assert getting(signal.SIGTERM) is before


# A second thread, which takes a signal that the first one has blocked; it comes when the process has been made and has
# not been told what to do.
INTERRUPTED_START = """
import os, signal, threading, time
from multiprocessing import resource_tracker, util

def interrupted(*arguments, spawn=util.spawnv_passfds):
    pid = spawn(*arguments)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    return pid

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    resource_tracker.ensure_running()
    util.spawnv_passfds = interrupted
    try:
        {start}
    except KeyboardInterrupt as error:
        kept = error
        print("interrupted")
"""
WORKER = """from charrnn.engine.workers import WorkerEngine
        from charrnn.network.parameters import Architecture
        WorkerEngine(Architecture(5, (4,)), "float64", 2, 2)"""
SWEEP = """from pathlib import Path
        from charrnn.experiments.processes import Processes
        from charrnn.experiments.sweep import Sweep
        from charrnn.training.settings import Settings
        settings = Settings(hidden=(8,), seq_length=10, batch_size=4, max_steps=100000, threads=1)
        Sweep(Path("sweep"), ["text"], settings, [{}, {"seed": 1}]).run(pool=Processes(2))"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="needs signals that threads can block")
@pytest.mark.parametrize("start", [WORKER, SWEEP], ids=["worker", "sweep"])
def test_a_signal_that_another_thread_takes_does_not_cut_the_start_of_a_process_short(
    tmp_path: Path, start: str
) -> None:
    (tmp_path / "text").write_text("the cat sat on the mat; a dog sat on the log.\n" * 40)
    (tmp_path / "starts.py").write_text(INTERRUPTED_START.replace("{start}", start))
    done = subprocess.run(
        [sys.executable, "starts.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)
