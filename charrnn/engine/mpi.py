"""Shards shared out among the ranks of an MPI launch, on one machine or many.

Rank 0 runs the training and is the first to compute; the others serve it. In a step rank 0 sends each rank its shards
and broadcasts the weights. Gradients are added in the tree of engine/addition.py: the rank that has the right one sends
it to the rank that has the left one, so that the bits are those of one process, whatever the number of ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from charrnn import blas
from charrnn.engine.addition import additions
from charrnn.engine.batch import Batch, Shard, StepResult, joined, unwarned
from charrnn.errors import WorkerError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack, State

ROOT = 0
JOB, ANSWER, GRADIENT, FAILED = 1, 2, 3, 4  # kinds of messages
AWAKE = 0.001  # seconds that a rank polls without a pause
PAUSE, LONGEST_PAUSE = 0.1, 0.01  # afterwards: a share of the time that it has waited for a message, at most seconds
BREATH = 2e-5  # seconds between two looks at what is on its way, which some libraries move on only when they are asked

Answers = dict[int, tuple[float, State | None]]  # by shard


class Network(NamedTuple):
    """What a rank must know before its first step. fast: the MPI library chooses the order of the sum."""

    architecture: Architecture
    dtype: npt.DTypeLike
    fast: bool


class Step(NamedTuple):
    """The shards of one rank, and the rank of every shard of the batch."""

    shards: list[Shard]
    ranks: list[int]


class Told(NamedTuple):
    """What a rank says of itself: its machine, its BLAS, and the bytes that it holds."""

    host: str
    blas: dict[str, object]
    nbytes: int


class Link:
    """Messages of one rank. It polls, so that signals are handled, and so that rank 0 hears of a rank that has failed.

    MPI libraries wait with a busy core, which evaluation on rank 0 can use better: a long wait has pauses.
    """

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank: int = comm.Get_rank()
        self.size: int = comm.Get_size()
        self.unfinished = False  # of rank 0: whether other ranks are, or may be, in the middle of something

    def done(self, request: Any) -> None:
        """Waits for what was begun. On rank 0 WorkerError if a rank has failed."""
        started = time.perf_counter()
        while not request.Test():
            self._check()
            time.sleep(0 if time.perf_counter() - started < AWAKE else BREATH)

    def send(self, value: object, to: int, kind: int) -> None:
        """Sends any value."""
        self.done(self.comm.isend(value, to, kind))

    def receive(self, source: int, kind: int) -> Any:
        """The next value of this kind."""
        return self._awaited(source, kind, self.comm.improbe).recv()

    def receive_into(self, vector: Array, source: int, kind: int) -> None:
        """The next vector of this kind."""
        self.done(self._awaited(source, kind, self.comm.Improbe).Irecv(vector))

    def _awaited(self, source: int, kind: int, probe: Callable[[int, int], Any]) -> Any:
        """The next message of this kind, once it has come."""
        started = time.perf_counter()
        while (message := probe(source, kind)) is None:
            self._check()
            waited = time.perf_counter() - started
            time.sleep(0 if waited < AWAKE else min(PAUSE * waited, LONGEST_PAUSE))
        return message

    def _check(self) -> None:
        if self.rank == ROOT and (message := self.comm.improbe(tag=FAILED)) is not None:
            raise WorkerError(message.recv())


class Member:
    """What every rank holds, and its part of a step."""

    def __init__(self, link: Link, network: Network) -> None:
        self._link, self._network = link, network
        self.parameters = self._vector()
        self._gradients = [self._vector()]  # of its shards
        self._incoming = self._vector()
        self._stack = Stack(network.architecture, network.dtype)

    def _vector(self) -> Parameters:
        return Parameters(self._network.architecture, self._network.dtype)

    @property
    def gradient(self) -> Parameters:
        """Of its first shard; on rank 0 of the batch, when a step is done."""
        return self._gradients[0]

    def told(self) -> Told:
        """See `Told`."""
        from mpi4py import MPI

        vectors = (2 + len(self._gradients)) * self.parameters.vector.nbytes
        return Told(MPI.Get_processor_name(), dict(blas.describe()), vectors + self._stack.nbytes)

    def step(self, step: Step) -> Answers:
        """Takes the weights of rank 0, computes its shards, and has its part in the sum of all gradients."""
        link, shards = self._link, step.shards
        link.done(link.comm.Ibcast(self.parameters.vector, ROOT))
        self._gradients += [self._vector() for _ in range(len(shards) - len(self._gradients))]
        of = {shard.index: gradient for shard, gradient in zip(shards, self._gradients, strict=False)}
        results = {shard.index: shard.run(self._stack, self.parameters, of[shard.index]) for shard in shards}
        (self._reduce if self._network.fast else self._add)(of, step.ranks)
        return results

    def _add(self, of: dict[int, Parameters], ranks: list[int]) -> None:
        """All additions in which this rank has a part. Every rank goes through them in the same order, so that none
        waits for one that waits for it."""
        link, incoming = self._link, self._incoming.vector
        for addition in additions(0, len(ranks)):
            left, right = ranks[addition.left], ranks[addition.right]
            if link.rank == left:
                into = of[addition.left].vector
                if right == left:
                    np.add(into, of[addition.right].vector, out=into)
                else:
                    link.receive_into(incoming, right, GRADIENT)
                    np.add(into, incoming, out=into)
            elif link.rank == right:
                link.done(link.comm.Isend(of[addition.right].vector, left, GRADIENT))

    def _reduce(self, of: dict[int, Parameters], _ranks: list[int]) -> None:
        """The sum in the order that the MPI library finds fastest."""
        from mpi4py import MPI

        own = self.gradient.vector
        if not of:
            own[...] = 0
        for gradient in self._gradients[1 : len(of)]:
            np.add(own, gradient.vector, out=own)
        comm = self._link.comm
        self._link.done(
            comm.Ireduce(MPI.IN_PLACE, own, MPI.SUM, ROOT)
            if self._link.rank == ROOT
            else comm.Ireduce(own, None, MPI.SUM, ROOT)
        )


class MpiEngine:
    """The engine of rank 0. WorkerError with its line if a rank fails: then the launch must be aborted
    (`Link.unfinished`), since the other ranks wait for it."""

    def __init__(self, link: Link, architecture: Architecture, dtype: npt.DTypeLike, shards: int, fast: bool) -> None:
        self.shards = shards
        self._link, self._fast = link, fast
        network = Network(architecture, dtype, fast)
        link.unfinished = True
        for rank in range(1, link.size):
            link.send(network, rank, JOB)
        self._member = Member(link, network)
        self.parameters, self.gradient = self._member.parameters, self._member.gradient
        self._others: list[Told] = [link.receive(rank, ANSWER) for rank in range(1, link.size)]
        self._told = self._member.told()
        link.unfinished = False
        self._batch_nbytes = 0  # of the last one

    @property
    def workers(self) -> int:
        """See `Engine`."""
        return 1 + sum(other.host == self._told.host for other in self._others)

    @property
    def described(self) -> dict[str, object]:
        """See `Engine`."""
        hosts = len({told.host for told in (self._told, *self._others)})
        return {"workers": self.workers, "ranks": self._link.size, "machines": hosts, "fast_reduce": self._fast}

    @property
    def notices(self) -> list[str]:
        """What the user should know of the ranks, in lines."""
        return notices([self._told, *self._others], self.shards, self._fast)

    def loss_and_gradient(self, batch: Batch) -> StepResult:
        """See `Engine`."""
        link = self._link
        self._batch_nbytes = batch.nbytes
        shards = batch.shards(self.shards)
        parts = dealt(len(shards), link.size)
        ranks = [rank for rank, part in enumerate(parts) for _ in part]
        link.unfinished = True
        for rank in range(1, link.size):
            link.send(Step([shards[i] for i in parts[rank]], ranks), rank, JOB)
        results = self._member.step(Step([shards[i] for i in parts[ROOT]], ranks))
        for rank in range(1, link.size):
            answers, self._others[rank - 1] = link.receive(rank, ANSWER)
            results |= answers
        link.unfinished = False
        return joined(batch, [results[i] for i in range(len(shards))])

    def memory_bytes(self) -> int:
        """See `Engine`."""
        own = self._member.told()
        return self._batch_nbytes + sum(told.nbytes for told in (own, *self._others))

    def close(self) -> None:
        """Nothing: the ranks serve on until they are told to leave (`dismiss`)."""


def notices(told: list[Told], shards: int, fast: bool) -> list[str]:
    """What the user should know of ranks that have said this of themselves, in lines."""
    hosts, idle = len({one.host for one in told}), len(told) - shards
    machines, parts = f"{hosts} machine{'s' * (hosts > 1)}", f"{shards} shard{'s' * (shards > 1)}"
    lines = [f"{len(told)} ranks on {machines} compute a batch of {parts}"]
    if idle > 0:
        lines[0] += f"; {idle} of them nothing, unless shards, and so batch_size, are at least {len(told)}"
    kinds = dict.fromkeys(f"{one.blas['name']} {one.blas['version']}, kernel {one.blas['kernel']}" for one in told)
    if len(kinds) > 1:
        lines.append(f"the BLAS is not the same on all ranks ({'; '.join(kinds)}): last bits depend on their number")
    if fast:
        lines.append("gradients are added in an order of the MPI library's: last bits depend on the ranks")
    return lines


def dealt(shards: int, ranks: int) -> list[range]:
    """The shards of each rank, neighbours, as equal as can be; the first ranks have one more."""
    counts = [shards // ranks + (rank < shards % ranks) for rank in range(ranks)]
    return [range(start, stop) for start, stop in pairwise([0, *accumulate(counts)])]


@unwarned
def serve(comm: Any) -> None:
    """What every rank but rank 0 runs, until it is told to leave. What goes wrong is told to rank 0, which ends all."""
    link = Link(comm)
    member: Member | None = None
    try:
        while (job := link.receive(ROOT, JOB)) is not None:
            if isinstance(job, Network):
                member = Member(link, job)
                link.send(member.told(), ROOT, ANSWER)
            elif member is not None:
                link.send((member.step(job), member.told()), ROOT, ANSWER)
    except Exception as error:
        from mpi4py import MPI

        line = f"rank {link.rank} on {MPI.Get_processor_name()}: {type(error).__name__}: {error}"
        link.send(line, ROOT, FAILED)
        while link.receive(ROOT, JOB) is not None:
            pass


def dismiss(comm: Any) -> None:
    """Lets the other ranks leave."""
    link = Link(comm)
    for rank in range(1, link.size):
        link.send(None, rank, JOB)
