"""Shards shared out among processes, of which the caller is the first.

A step is hundreds of products of a few microseconds: threads of one Python would wait for each other's lock between
them, and BLAS threads for the end of every product. So workers are processes. Weights and gradients lie in memory that
they share; the rest of a job goes through a pipe. docs/benchmarks.md has what was measured.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.util import Finalize
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.engine.addition import Addition, additions, within
from charrnn.engine.batch import Batch, Shard, StepResult, joined, unwarned
from charrnn.engine.schedule import Schedule
from charrnn.errors import WorkerError
from charrnn.interrupts import OF_ALL, starting_process
from charrnn.network.buffers import LINE
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack, State

# Seconds that a process polls for a message before it blocks. Waking a blocked process takes as long as ten products.
AWAKE = 0.001

_STARTING = threading.Lock()  # only one thread at a time may hide the main module

Answers = dict[int, tuple[float, State | None]]  # by shard


class WorkerEngine:
    """`workers` processes and a fixed number of shards. WorkerError if they cannot be started, or one ends early."""

    def __init__(self, architecture: Architecture, dtype: npt.DTypeLike, shards: int, workers: int) -> None:
        self.shards = shards
        size = Parameters(architecture, dtype).vector.nbytes
        context = get_context("spawn")  # a fork would copy locks that other threads hold
        self._stack = Stack(architecture, dtype)
        self._others: list[_Worker] = []
        try:
            memory = context.RawArray("b", LINE + _stride(size) * (1 + shards))
            vectors = _vectors(memory, size, architecture, dtype)
            for _ in range(workers - 1):
                self._others.append(_Worker(context, architecture, dtype, memory, size))
        except BaseException as error:
            self.close()
            if not isinstance(error, OSError):
                raise
            raise WorkerError(f"worker processes cannot be started ({error}); try with 1 thread") from error
        self.parameters, *self._gradients = vectors
        self.gradient = self._gradients[0]
        self._schedule = Schedule(workers)
        self._batch_nbytes = 0  # of the last one

    @property
    def workers(self) -> int:
        """See `Engine`."""
        return 1 + len(self._others)

    @property
    def described(self) -> dict[str, object]:
        """See `Engine`."""
        return {"workers": self.workers}

    def worker_pids(self) -> list[int]:
        """The other processes, for a supervisor."""
        return [other.pid for other in self._others]

    def loss_and_gradient(self, batch: Batch) -> StepResult:
        """See `Engine`."""
        self._batch_nbytes = batch.nbytes
        shards = batch.shards(self.shards)
        tree, memory = list(additions(0, len(shards))), (self._stack, self.parameters, self._gradients)
        for other in self._others:
            other.settle()
        own, *dealt = self._schedule.deal(len(shards))
        asked = [(other, part) for other, part in zip(self._others, dealt, strict=True) if part]
        started = time.monotonic()
        for other, part in asked:
            other.send([shards[i] for i in part], within(tree, part.start, part.stop))
        results = _run([shards[i] for i in own], within(tree, own.start, own.stop), *memory)
        if own:
            self._schedule.measured(0, time.monotonic() - started, len(own))
        answers = [other.answer() for other, _ in asked]  # read all answers before raising an error from one
        for (other, part), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            computed, ended = answer
            results |= computed
            self._schedule.measured(1 + self._others.index(other), ended - started, len(part))
        done = {addition for part in (own, *dealt) for addition in within(tree, part.start, part.stop)}
        _add([addition for addition in tree if addition not in done], self._gradients)
        self._schedule.ended(time.monotonic() - started)
        return joined(batch, [results[i] for i in range(len(shards))])

    def memory_bytes(self) -> int:
        """See `Engine`."""
        shared = (1 + self.shards) * self.parameters.vector.nbytes
        return shared + self._batch_nbytes + self._stack.nbytes + sum(other.nbytes for other in self._others)

    def close(self) -> None:
        """Ends the workers."""
        for other in self._others:
            other.close()


def _run(
    shards: list[Shard], tree: list[Addition], stack: Stack, parameters: Parameters, gradients: list[Parameters]
) -> Answers:
    """Computes shards and returns their results. gradients[i] gets the gradient of shard i; then the additions of
    `tree` run."""
    results = {shard.index: shard.run(stack, parameters, gradients[shard.index]) for shard in shards}
    _add(tree, gradients)
    return results


def _add(tree: list[Addition], gradients: list[Parameters]) -> None:
    for addition in tree:
        left, right = gradients[addition.left].vector, gradients[addition.right].vector
        np.add(left, right, out=left)


def _vectors(memory: Any, size: int, architecture: Architecture, dtype: npt.DTypeLike) -> list[Parameters]:
    """Views of the shared memory: the weights, and the gradient of every shard, each from a cache line on."""
    whole = np.frombuffer(memory, np.uint8)
    first, stride = -whole.ctypes.data % LINE, _stride(size)
    return [
        Parameters(architecture, dtype, whole[start : start + size].view(dtype))
        for start in range(first, len(whole) - stride + 1, stride)
    ]


def _stride(size: int) -> int:
    """Bytes from one vector to the next: whole cache lines."""
    return -(-size // LINE) * LINE


class _Worker:
    """A process that works on what it is sent; it ends when this object, or the process that made it, does."""

    def __init__(
        self, context: SpawnContext, architecture: Architecture, dtype: npt.DTypeLike, memory: Any, size: int
    ) -> None:
        self.nbytes = 0  # of its buffers
        self._asked = False  # and has not been heard
        self._connection, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end, architecture, np.dtype(dtype), memory, size))
        with _STARTING, starting_process(), _without_main():
            self._process.start()
            # Python waits for its processes at exit: this ends them before that. An interrupt between the two lines
            # would leave a process that nobody ends, and an exit that waits for ever.
            self.close = Finalize(self, _end, (self._connection, self._process), exitpriority=1)
        other_end.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process.pid is not None
        return self._process.pid

    def send(self, shards: list[Shard], tree: list[Addition]) -> None:
        """Lets it begin."""
        self._asked = True
        try:
            self._connection.send((shards, tree))
        except OSError:
            raise self._lost() from None

    def answer(self) -> tuple[Answers, float] | Exception:
        """To what was sent: results by shard and the time at their end, or what went wrong. Waits for it."""
        try:
            answer, self.nbytes = _receive(self._connection)
        except (EOFError, OSError):
            raise self._lost() from None
        self._asked = False
        told: tuple[Answers, float] | Exception = answer
        return told

    def settle(self) -> None:
        """Reads the answer that an interrupted or failed step left unread. Until then the worker may still write its
        gradients, and it may block in sending the answer."""
        if self._asked:
            self.answer()

    def _lost(self) -> WorkerError:
        self._process.join(1)
        code = self._process.exitcode
        return WorkerError(f"a worker process ended early (exit code {code}; -9 is often too little memory)")


def _end(connection: Connection, process: SpawnProcess) -> None:
    connection.close()
    process.kill()
    process.join(1)


@unwarned
def _serve(connection: Connection, architecture: Architecture, dtype: Any, memory: Any, size: int) -> None:
    """What a worker process runs: jobs, until the pipe closes. It ignores signals, which the first process handles."""
    for number in OF_ALL:
        signal.signal(number, signal.SIG_IGN)
    stack = Stack(architecture, dtype)
    parameters, *gradients = _vectors(memory, size, architecture, dtype)
    while True:
        try:
            shards, tree = _receive(connection)
        except (EOFError, OSError):
            return
        try:
            answer: object = _run(shards, tree, stack, parameters, gradients), time.monotonic()
        except Exception as error:
            answer = error
        try:
            connection.send((answer, stack.nbytes))
        except OSError:  # nobody waits for it any more
            return


@contextmanager
def _without_main() -> Iterator[None]:
    """Hides `__main__`: a process started in the block would import it again, and a script may train when imported."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _receive(connection: Connection) -> Any:
    """The next message: polls for `AWAKE` seconds, then blocks."""
    until = time.perf_counter() + AWAKE
    while not connection.poll() and time.perf_counter() < until:
        pass
    return connection.recv()
