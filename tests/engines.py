"""What the tests of the engines have in common: engines with weights, batches for them, and what a step gives."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from oracle import random_parameters, random_state

from charrnn import blas
from charrnn.engine.batch import Batch, Dropout, StepResult
from charrnn.engine.workers import WorkerEngine
from charrnn.network.parameters import Architecture
from charrnn.network.truncation import truncation

HIDDEN, d = (4, 3), 5


def network(cell: str = "rnn") -> Architecture:
    return Architecture(d, HIDDEN, cell=cell)


def filled(made: Any) -> Any:
    """The engine, with weights that are nowhere zero."""
    architecture = made.parameters.architecture
    made.parameters.vector[:] = random_parameters(architecture.hidden, d, cell=architecture.cell).vector
    return made


@contextmanager
def started_once() -> Iterator[Callable[[str, int, int], WorkerEngine]]:
    """WorkerEngines by cell, shards and workers, each started once: it takes half a second."""
    started: dict[Any, WorkerEngine] = {}

    def of(cell: str, shards: int, workers: int) -> WorkerEngine:
        if (cell, shards, workers) not in started:
            started[cell, shards, workers] = WorkerEngine(network(cell), np.float64, shards, workers)
        made: WorkerEngine = filled(started[cell, shards, workers])
        return made

    with patch.dict(os.environ):
        blas.configure(1)  # as training has it
        yield of
    for one in started.values():
        one.close()


def batch_of(n: int, name: str = "full", steps: int = 6, cell: str = "rnn", seed: int = 3, **options: Any) -> Batch:
    window = truncation(name, steps, tau=None if name == "full" else 3).window(0, steps, (0,))
    T = len(window.gains)
    ids, targets = np.random.default_rng(seed).integers(0, d, (2, T, n))
    return Batch(ids, targets, random_state(random_parameters(HIDDEN, d, cell=cell), n), window, **options)


def outcome(made: Any, batch: Batch) -> tuple[StepResult, Any]:
    result = made.loss_and_gradient(batch)
    return result, made.gradient.vector.copy()


def same_bits(ours: tuple[StepResult, Any], theirs: tuple[StepResult, Any]) -> bool:
    (result, dW), (other, other_dW) = ours, theirs
    states = zip(result.state or (), other.state or (), strict=True)
    return result.loss == other.loss and (dW == other_dW).all() and all((a == b).all() for a, b in states)


def dropout(*seed: int) -> Dropout:
    return Dropout(0.5, HIDDEN, np.float64, seed)
