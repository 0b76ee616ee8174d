"""Who computes the loss and gradient of a batch: this process, several, or the ranks of an MPI launch (engine/mpi.py).

A batch is a fixed number of shards, each some of its sequences: a property of the settings, not of the machine. Every
shard's gradient is the same whoever computes it, and they are added in a fixed order (engine/addition.py). So the bits
of a run do not depend on the number of processes, which may change while it trains.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from multiprocessing import current_process
from typing import Protocol

import numpy.typing as npt

from charrnn.engine.batch import Batch, StepResult
from charrnn.network.parameters import Architecture, Parameters


class Engine(Protocol):
    """What a trainer needs. The engine owns the memory of the weights, where all who compute with them read them."""

    parameters: Parameters
    gradient: Parameters

    @property
    def shards(self) -> int:
        """Parts of a batch."""

    @property
    def workers(self) -> int:
        """Processes of this machine that compute, this one included."""

    @property
    def described(self) -> Mapping[str, object]:
        """What the manifest of a run says of it."""

    def loss_and_gradient(self, batch: Batch) -> StepResult:
        """The mean loss of the batch, and the state to go on from; ∂L/∂θ is left in `gradient`."""

    def memory_bytes(self) -> int:
        """Bytes held for weights, gradients, the ids of a batch and all buffers, in all processes."""

    def close(self) -> None:
        """Ends what the engine has started."""


# Architecture, dtype, shards, workers.
Maker = Callable[[Architecture, npt.DTypeLike, int, int], Engine]


def make(architecture: Architecture, dtype: npt.DTypeLike, shards: int, workers: int = 1) -> Engine:
    """An engine on this machine, with as many worker processes as help.

    There are no workers for a cell or φ defined in `__main__`, which other processes cannot import, nor in a daemonic
    process, which may not start others.
    """
    from charrnn.engine.local import LocalEngine
    from charrnn.engine.workers import WorkerEngine

    alone = current_process().daemon or not _travels(architecture)
    workers = 1 if alone else min(workers, shards)
    return (
        LocalEngine(architecture, dtype, shards) if workers == 1 else WorkerEngine(architecture, dtype, shards, workers)
    )


def _travels(architecture: Architecture) -> bool:
    """Whether it can be sent to another process: nothing in it is defined in `__main__`."""
    try:
        return b"__main__" not in pickle.dumps(architecture)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
