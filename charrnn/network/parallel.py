"""One network on several cores: each worker takes a share of the batch through its whole forward and backward pass.

Workers are processes, and the caller is the first of them. A step is hundreds of products of a few microseconds:
threads of one Python would wait for each other's lock between them, and BLAS threads for the end of every product.
Weights and gradients lie in memory that the processes share; the rest of a job goes through a pipe.
`charrnn.blas.plan` chooses how many; docs/benchmarks.md has what was measured.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import WorkerError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Masks, Stack, State
from charrnn.network.truncation import Truncation

# Seconds that a process looks out for a message before it sleeps: waking it takes as long as ten products.
AWAKE = 0.001


class ParallelStack:
    """The loss and gradient of a `Stack`, by `workers` of them; the result differs from one's by rounding only."""

    def __init__(self, architecture: Architecture, dtype: npt.DTypeLike, workers: int = 1) -> None:
        self.stack = Stack(architecture, dtype)
        self.cell = self.stack.cell
        self.weights: Array | None = None  # that the workers read: parameters made on it need not be copied there
        self._others: list[_Worker] = []
        if workers > 1:
            context = get_context("spawn")  # a fork would copy locks that other threads hold
            try:
                weights = context.RawArray("b", Parameters(architecture, dtype).vector.nbytes)
                self.weights = np.frombuffer(weights, dtype)
                self._others = [_Worker(context, architecture, dtype, weights) for _ in range(workers - 1)]
            except OSError as error:
                raise WorkerError(f"worker processes cannot be started ({error}); try --threads 1") from error

    @property
    def workers(self) -> int:
        """How many there are."""
        return 1 + len(self._others)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, and of the weights and gradients that are shared."""
        shared = self.weights.nbytes * self.workers if self.weights is not None else 0
        return self.stack.nbytes + shared + sum(other.nbytes for other in self._others)

    def loss_and_gradient(
        self,
        parameters: Parameters,
        inputs: Array,
        targets: Array,
        state: State,
        truncation: Truncation,
        gradient: Parameters,
        *,
        masks: Masks = None,
        keep: int | None = None,
        recompute: bool = False,
    ) -> tuple[float, State]:
        """As `Stack.loss_and_gradient`; with several workers, `masks` must be such as can be sent to a process."""
        n = inputs.shape[1]
        if self.weights is None or n < self.workers:
            return self.stack.loss_and_gradient(
                parameters, inputs, targets, state, truncation, gradient, masks=masks, keep=keep, recompute=recompute
            )
        if parameters.vector is not self.weights:
            self.weights[...] = parameters.vector
        bounds = [n * i // self.workers for i in range(self.workers + 1)]
        shares = [slice(start, stop) for start, stop in pairwise(bounds)]

        def job(share: slice) -> Job:
            part = replace(truncation, divisor=truncation.divisor * n / (share.stop - share.start))  # a mean over all n
            some = _Share(masks, share) if masks else None
            return inputs[:, share], targets[:, share], [H[share] for H in state], part, some, keep, recompute

        for other, share in zip(self._others, shares[1:], strict=True):
            other.send(job(share))
        try:
            results = [_run(self.stack, parameters, gradient, job(shares[0]))]
        except Exception:
            for other in self._others:
                other.answer()  # one that is left lying could fill the pipe
            raise
        answers = [other.answer() for other in self._others]  # all of them, before one raises what it tells
        for other, answer in zip(self._others, answers, strict=True):
            results.append(other.result(answer))
            np.add(gradient.vector, other.gradient, out=gradient.vector)
        loss = sum(loss * (share.stop - share.start) for (loss, _), share in zip(results, shares, strict=True)) / n
        return loss, [np.concatenate([kept[layer] for _, kept in results]) for layer in range(len(state))]


# Inputs, targets, state, truncation, masks, keep, recompute, as of `Stack.loss_and_gradient`.
Job = tuple[Array, Array, State, Truncation, Masks, int | None, bool]


def _run(stack: Stack, parameters: Parameters, gradient: Parameters, job: Job) -> tuple[float, State]:
    inputs, targets, state, truncation, masks, keep, recompute = job
    return stack.loss_and_gradient(
        parameters, inputs, targets, state, truncation, gradient, masks=masks, keep=keep, recompute=recompute
    )


@dataclass(frozen=True)
class _Share:
    """Dropout's factors of some of the sequences."""

    masks: Callable[[int, int, int], Array]
    share: slice

    def __call__(self, segment: int, layer: int, T: int) -> Array:
        return self.masks(segment, layer, T)[:, self.share].copy()


class _Worker:
    """A process that works on what it is sent; it ends when this object, or the process that made it, does."""

    def __init__(self, context: SpawnContext, architecture: Architecture, dtype: npt.DTypeLike, weights: Any) -> None:
        gradient = context.RawArray("b", len(weights))
        self.gradient: Array = np.frombuffer(gradient, dtype)
        self.nbytes = 0  # of its buffers
        self._jobs = 0  # sent so far
        self._connection, other_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other_end, architecture, np.dtype(dtype), weights, gradient)
        )
        with _signals_blocked():
            self._process.start()
        other_end.close()
        # Before Python waits for it at exit; in the middle of a step too, which nobody will ask for any more.
        Finalize(self, _end, (self._connection, self._process), exitpriority=1)

    def send(self, job: Job) -> None:
        """Lets it begin."""
        try:
            self._jobs += 1
            self._connection.send((self._jobs, job))
        except OSError:
            raise self._lost() from None

    def answer(self) -> object:
        """To the job that was sent; waits for it."""
        number = None
        try:
            while number != self._jobs:  # an answer may lie there that an interrupted step did not fetch
                number, answer = _receive(self._connection)
        except (EOFError, OSError):
            raise self._lost() from None
        return answer

    def result(self, answer: Any) -> tuple[float, State]:
        """Loss and state that it tells; the gradient is in `gradient`. Raises what went wrong in the worker."""
        if isinstance(answer, Exception):
            raise answer
        loss, kept, self.nbytes = answer
        return loss, kept

    def _lost(self) -> WorkerError:
        self._process.join(1)
        return WorkerError(
            f"a worker process ended early (exit code {self._process.exitcode}; -9 is often too little memory); "
            "`charrnn train --resume` goes on from the last checkpoint, --threads 1 needs no worker"
        )


def _end(connection: Connection, process: SpawnProcess) -> None:
    connection.close()
    process.kill()


def _serve(connection: Connection, architecture: Architecture, dtype: Any, weights: Any, gradient: Any) -> None:
    """A worker's life: jobs until the pipe closes. Signals are for the first process, which ends when it is ready."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    np.seterr(over="ignore", invalid="ignore")  # divergence is found in the loss and the gradient
    stack = Stack(architecture, dtype)
    parameters, into = (Parameters(architecture, dtype, np.frombuffer(x, dtype)) for x in (weights, gradient))
    while True:
        try:
            number, job = _receive(connection)
        except (EOFError, OSError):
            return
        try:
            answer: object = (*_run(stack, parameters, into, job), stack.nbytes)
        except Exception as error:
            answer = error
        try:
            connection.send((number, answer))
        except OSError:  # nobody waits for it any more
            return


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process that is started in here never sees SIGINT and SIGTERM; the one that starts it sees them afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # to start it later would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive(connection: Connection) -> Any:
    """The next message, looked out for at first and then slept for."""
    until = time.perf_counter() + AWAKE
    while not connection.poll() and time.perf_counter() < until:
        pass
    return connection.recv()
