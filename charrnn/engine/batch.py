"""A batch, its shards, and what a step over it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack, State
from charrnn.network.truncation import Window


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout: factors (T, n, h_l), 0 or 1 / (1 − rate). Each shard, segment and layer of an update draws
    from a generator of its own; `seed` is of the update."""

    rate: float
    hidden: tuple[int, ...]
    dtype: npt.DTypeLike
    seed: tuple[int, ...]

    def masks(self, shard: int, n: int) -> Callable[[int, int, int], Array]:
        """The factors for the n sequences of a shard, as `Stack.forward` asks for them."""

        def mask(segment: int, layer: int, T: int) -> Array:
            rng = np.random.default_rng([*self.seed, segment, layer, shard])
            keep = 1 - self.rate
            factors: Array = rng.random((T, n, self.hidden[layer - 1]), np.float32)
            np.less(factors, keep, out=factors)  # in place: of a long sequence, masks are large
            factors = factors.astype(self.dtype, copy=False)
            factors *= 1 / keep
            return factors

        return mask


@dataclass(slots=True)
class Batch:
    """What one update reads, as of `Stack.loss_and_gradient`; `state` None is the beginning of the text."""

    inputs: Array  # (T, n)
    targets: Array  # (T − context, n)
    state: State | None
    window: Window
    keep: int | None = None
    dropout: Dropout | None = None
    recompute: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of its ids."""
        return self.inputs.nbytes + self.targets.nbytes

    def shards(self, count: int) -> list[Shard]:
        """Its parts, as equal as can be; fewer than `count` if there are fewer sequences.

        ValueError if the window is one for others.
        """
        T, n = self.inputs.shape[:2]
        self.window.check(T, n)
        count = min(count, n)
        divisor = n * self.window.divisor  # of the whole: the losses are a mean over all n
        if count == 1:
            whole = self.inputs, self.targets, self.state, self.window
            return [Shard(0, *whole, divisor, self.keep, self.dropout, self.recompute)]
        bounds = [n * i // count for i in range(count + 1)]
        return [
            Shard(
                i,
                self.inputs[:, start:stop],
                self.targets[:, start:stop],
                None if self.state is None else [S[..., start:stop, :] for S in self.state],
                self._gains(start, stop),
                divisor,
                self.keep,
                self.dropout,
                self.recompute,
            )
            for i, (start, stop) in enumerate(pairwise(bounds))
        ]

    def _gains(self, start: int, stop: int) -> Window:
        window = self.window
        if window.gains.ndim == 1 and window.fresh is None:
            return window
        gains = window.gains if window.gains.ndim == 1 else window.gains[:, start:stop]
        return replace(window, gains=gains, fresh=None if window.fresh is None else window.fresh[:, start:stop])


# For what computes batches: divergence is found in the loss, the gradient and the weights.
unwarned = np.errstate(over="ignore", invalid="ignore", divide="ignore")


@dataclass(slots=True)
class Shard:
    """Some sequences of a batch."""

    index: int
    inputs: Array
    targets: Array
    state: State | None
    window: Window
    divisor: float
    keep: int | None
    dropout: Dropout | None
    recompute: bool

    def run(self, stack: Stack, parameters: Parameters, gradient: Parameters) -> tuple[float, State | None]:
        """The sum of its losses, and the state to go on from; its part of ∂L/∂θ into `gradient`."""
        masks = self.dropout.masks(self.index, self.inputs.shape[1]) if self.dropout else None
        return stack.loss_and_gradient(
            parameters,
            self.inputs,
            self.targets,
            self.state,
            self.window,
            gradient,
            divisor=self.divisor,
            masks=masks,
            keep=self.keep,
            recompute=self.recompute,
        )


@dataclass(slots=True)
class StepResult:
    """The mean loss in nats of a batch, and the state to go on from (None: the text begins there)."""

    loss: float
    state: State | None


def joined(batch: Batch, results: list[tuple[float, State | None]]) -> StepResult:
    """The result of a batch from those of its shards, in their order."""
    loss = sum(loss for loss, _ in results) / batch.targets.size
    if len(results) == 1:
        return StepResult(loss, results[0][1])
    states = [state for _, state in results if state is not None]
    if not states:
        return StepResult(loss, None)
    return StepResult(loss, [np.concatenate(layer, axis=-2) for layer in zip(*states, strict=True)])
