"""One network on several cores: each worker takes a share of the batch through its whole forward and backward pass.

A worker's steps are small products on its own core, with nothing to wait for, and what is no product (φ, copies, sums)
runs on all cores too. Measured (docs/benchmarks.md) this is at least as fast as several BLAS threads in each product;
for the smallest networks one worker is the fastest: `charrnn.blas.plan` chooses.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Masks, Stack, State
from charrnn.network.truncation import Truncation


class ParallelStack:
    """The loss and gradient of a `Stack`, by `workers` of them; the result differs from one's by rounding only."""

    def __init__(self, architecture: Architecture, dtype: npt.DTypeLike, workers: int = 1) -> None:
        self.stacks = [Stack(architecture, dtype) for _ in range(workers)]
        self.cell = self.stacks[0].cell
        self._gradients = [Parameters(architecture, dtype) for _ in range(workers - 1)]
        self._pool = ThreadPoolExecutor(workers - 1) if workers > 1 else None

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.stacks)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers and of the workers' gradients."""
        return sum(s.nbytes for s in self.stacks) + sum(g.vector.nbytes for g in self._gradients)

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
        """As `Stack.loss_and_gradient`."""
        n = inputs.shape[1]
        if self._pool is None or n < self.workers:
            return self.stacks[0].loss_and_gradient(
                parameters, inputs, targets, state, truncation, gradient, masks=masks, keep=keep, recompute=recompute
            )
        bounds = [n * i // self.workers for i in range(self.workers + 1)]

        def work(i: int) -> tuple[float, State]:
            columns = slice(bounds[i], bounds[i + 1])
            width = bounds[i + 1] - bounds[i]
            loss, kept = self.stacks[i].loss_and_gradient(
                parameters,
                inputs[:, columns],
                targets[:, columns],
                [H[columns] for H in state],
                replace(truncation, divisor=truncation.divisor * n / width),  # the mean is over all n
                self._gradients[i - 1] if i else gradient,
                masks=(lambda *which: masks(*which)[:, columns]) if masks else None,
                keep=keep,
                recompute=recompute,
            )
            return loss * width / n, kept

        others = [self._pool.submit(work, i) for i in range(1, self.workers)]
        results = [work(0), *(other.result() for other in others)]
        for other in self._gradients:
            np.add(gradient.vector, other.vector, out=gradient.vector)
        states = [np.concatenate([kept[layer] for _, kept in results]) for layer in range(len(state))]
        return sum(loss for loss, _ in results), states
