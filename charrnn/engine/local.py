"""All shards in this process, one after another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from charrnn.engine.addition import middle_of
from charrnn.engine.batch import Batch, Shard, StepResult, joined
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack, State


class LocalEngine:
    """One stack computes every shard; its buffers are those of a single one."""

    workers = 1
    described: Mapping[str, object] = {"workers": 1}

    def __init__(self, architecture: Architecture, dtype: npt.DTypeLike, shards: int = 1) -> None:
        self.shards = shards
        self.parameters = Parameters(architecture, dtype)
        # A gradient for each level of the tree in which they are added.
        self._gradients = [Parameters(architecture, dtype) for _ in range((shards - 1).bit_length() + 1)]
        self.gradient = self._gradients[0]
        self._stack = Stack(architecture, dtype)
        self._batch_nbytes = 0  # of the last one

    def loss_and_gradient(self, batch: Batch) -> StepResult:
        """See `Engine`."""
        self._batch_nbytes = batch.nbytes
        return joined(batch, self._summed(batch.shards(self.shards), 0))

    def _summed(self, shards: list[Shard], level: int) -> list[tuple[float, State | None]]:
        """The results of some shards; the sum of their gradients into that of the level, as `additions` has it."""
        into = self._gradients[level]
        if len(shards) == 1:
            return [shards[0].run(self._stack, self.parameters, into)]
        middle = middle_of(len(shards))
        results = self._summed(shards[:middle], level) + self._summed(shards[middle:], level + 1)
        np.add(into.vector, self._gradients[level + 1].vector, out=into.vector)
        return results

    def memory_bytes(self) -> int:
        """See `Engine`."""
        vectors = (1 + len(self._gradients)) * self.parameters.vector.nbytes
        return vectors + self._stack.nbytes + self._batch_nbytes

    def close(self) -> None:
        """Nothing was started."""
