"""Worker processes: one that fails, dies or is left behind is told, never waited for for ever."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import pairwise
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engines import batch_of, d, filled, network, outcome, same_bits, started_once

from charrnn.engine.batch import Batch
from charrnn.engine.local import LocalEngine
from charrnn.engine.schedule import Schedule
from charrnn.engine.workers import WorkerEngine
from charrnn.errors import WorkerError
from charrnn.network.parameters import Architecture
from charrnn.network.truncation import truncation

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    with started_once() as of:
        yield of


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """AssertionError if it takes longer: what hangs must not hang the tests."""

    def late(*_: object) -> None:
        raise AssertionError(f"not done within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def gone(pids: list[int], seconds: float = 20) -> bool:
    """Whether these processes end in time, as seen from anywhere; those of our own are waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        multiprocessing.active_children()  # which takes notice of those that have ended
        if not any(map(runs, pids)):
            return True
        time.sleep(0.02)
    return False


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()  # ended, but nobody has asked how
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # not Linux
        return True


@pytest.mark.parametrize("failing", range(7))
def test_a_shard_that_fails_is_told_whoever_has_it_and_the_next_step_is_right(workers: Any, failing: int) -> None:
    local, shared, good = filled(LocalEngine(network(), np.float64, 3)), workers("rnn", 3, 3), batch_of(7)
    bad = batch_of(7)
    bad.targets[0, failing] = d  # there is no such symbol
    for made in (local, shared):
        with pytest.raises(IndexError, match="out of bounds"):
            made.loss_and_gradient(bad)
    assert same_bits(outcome(local, good), outcome(shared, good))


@pytest.mark.parametrize("dealt", [(1, 2), (3, 3), (2, 2)], ids=str)
def test_what_an_interrupted_step_left_behind_is_not_taken_for_the_next(
    workers: Any, monkeypatch: pytest.MonkeyPatch, dealt: tuple[int, int]
) -> None:
    local, shared = filled(LocalEngine(network(), np.float64, 3)), workers("rnn", 3, 3)
    with monkeypatch.context() as patch:
        patch.setattr(Schedule, "deal", lambda schedule, shards: [range(1), range(1, 2), range(2, 3)])
        patch.setattr(Schedule, "measured", interrupted)  # the first process is done, the others' answers wait
        with pytest.raises(KeyboardInterrupt):
            shared.loss_and_gradient(batch_of(7, seed=1, steps=400))
    borders = [0, *dealt, 3]
    parts = [range(start, stop) for start, stop in pairwise(borders)]
    monkeypatch.setattr(Schedule, "deal", lambda schedule, shards: parts)
    for seed in (2, 3):
        batch = batch_of(7, seed=seed)
        assert same_bits(outcome(local, batch), outcome(shared, batch))


def test_answers_left_behind_that_fill_the_pipe_do_not_stop_the_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    made = WorkerEngine(Architecture(d, (256,)), np.float32, 2, 2)
    window = truncation("full", 1).window(0, 1)
    ids = np.zeros((1, 2000), int)
    batch = Batch(ids, ids, [np.zeros((2000, 256), np.float32)], window)  # the state is a megabyte for each
    with monkeypatch.context() as patch:
        patch.setattr(Schedule, "measured", interrupted)
        with within(20), pytest.raises(KeyboardInterrupt):
            made.loss_and_gradient(batch)
    with within(20):
        assert made.loss_and_gradient(batch).loss == pytest.approx(np.log(d))
    made.close()


def interrupted(*_: object) -> None:
    """As by Ctrl-C."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_that_was_killed_before_a_step_is_told(victim: int) -> None:
    made = filled(WorkerEngine(network(), np.float64, 3, 3))
    made.loss_and_gradient(batch_of(7))
    os.kill(made.worker_pids()[victim], signal.SIGKILL)
    with within(20), pytest.raises(WorkerError, match=r"ended early \(exit code -9"):
        made.loss_and_gradient(batch_of(7))
    made.close()


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_that_is_killed_while_a_step_runs_is_told(victim: int) -> None:
    made = filled(WorkerEngine(network(), np.float64, 3, 3))
    made.loss_and_gradient(batch_of(7))
    pid = made.worker_pids()[victim]
    os.kill(pid, signal.SIGSTOP)  # its step is as long as can be
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    started = time.monotonic()
    with within(20), pytest.raises(WorkerError, match=r"ended early \(exit code -9"):
        made.loss_and_gradient(batch_of(7))
    assert time.monotonic() - started > 0.2
    killer.join()
    made.close()


def test_to_close_an_engine_ends_its_processes() -> None:
    made = WorkerEngine(network(), np.float64, 3, 3)
    pids = made.worker_pids()
    assert len(set(pids)) == 2 and all(map(runs, pids))
    made.close()
    assert gone(pids)


def test_threads_that_start_workers_at_the_same_time_leave_the_main_module_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main, start = sys.modules["__main__"], SpawnProcess.start
    entered = threading.Barrier(2)
    pause = iter([0.0, 0.2])

    def slow(process: SpawnProcess) -> None:
        with suppress(threading.BrokenBarrierError):
            entered.wait(0.3)  # both are in here at once, if they can be
        start(process)
        time.sleep(next(pause))

    monkeypatch.setattr(SpawnProcess, "start", slow)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: WorkerEngine(network(), np.float64, 2, 2), range(2)))
    assert sys.modules["__main__"] is main
    for one in made:
        one.close()


def test_an_engine_whose_second_worker_cannot_start_ends_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = SpawnProcess.start, []

    def second_fails(process: SpawnProcess) -> None:
        if started:
            raise OSError("no more processes")
        start(process)
        started.append(process.pid)

    monkeypatch.setattr(SpawnProcess, "start", second_fails)
    with pytest.raises(WorkerError, match="no more processes") as caught:
        WorkerEngine(network(), np.float64, 3, 3)
    assert gone(started)
    assert caught.tb  # holds the engine: the worker has not ended because nothing knows it any more


def test_a_signal_while_a_worker_is_started_does_not_keep_python_from_ending(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(
        "import os, signal\n"
        "from multiprocessing.context import SpawnProcess\n"
        "from charrnn.engine.workers import WorkerEngine\n"
        "from charrnn.network.parameters import Architecture\n"
        "def interrupted(process, start=SpawnProcess.start):\n"
        "    start(process)\n"
        "    os.kill(os.getpid(), signal.SIGINT)  # is delayed until the process is started\n"
        "if __name__ == '__main__':\n"
        "    SpawnProcess.start = interrupted\n"
        "    try:\n"
        "        WorkerEngine(Architecture(5, (4,)), 'float64', 2, 2)\n"
        "    except KeyboardInterrupt as error:\n"
        "        kept = error  # and with it the worker's pipe\n"
        "        print('interrupted')\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.communicate(timeout=20) == ("interrupted\n", None) and process.returncode == 0
        finally:
            process.kill()


def test_workers_end_with_the_process_that_started_them_however_it_ends(tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(
        "from charrnn.engine.workers import WorkerEngine\n"
        "from charrnn.network.parameters import Architecture\n"
        "if __name__ == '__main__':\n"
        "    made = WorkerEngine(Architecture(5, (4,)), 'float64', 2, 2)\n"
        "    print(*made.worker_pids(), flush=True)\n"
        "    input()\n"
    )
    for kill in (True, False):
        with subprocess.Popen(
            [sys.executable, script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout and process.stdin
            pids = [int(pid) for pid in process.stdout.readline().split()]
            assert len(pids) == 1 and runs(pids[0])
            if kill:
                process.kill()
            else:
                process.stdin.write("\n")
                process.stdin.close()
            assert process.wait(20) == (-signal.SIGKILL if kill else 0)
        assert gone(pids)
