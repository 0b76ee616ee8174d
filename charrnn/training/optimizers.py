"""Optimisers on the flat vector of weights, and clipping.

g is the gradient, η the learning rate, θ the weights, t the number of the update, from 1. An optimiser says which
vectors it remembers (`slots`, zero at first, kept by checkpoints), and how Δ follows from g; then θ ← θ − Δ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from charrnn.errors import shown
from charrnn.network.buffers import Array, aligned
from charrnn.registry import NAME, NAME_RULE

# Updates run over blocks that stay in the cache through all the passes of one update.
BLOCK = 65_536

Slots = Mapping[str, Array]


class Optimizer:
    """The contract: `delta` writes Δ (m,) for a block of m weights, from g (m,) and the block's part of the slots."""

    slots: ClassVar[tuple[str, ...]] = ()

    def delta(self, g: Array, slots: Slots, out: Array, rate: float, t: int) -> None:
        """Δ into `out`; brings the slots up to date, in place."""
        raise NotImplementedError


class SGD(Optimizer):
    """Δ = η g."""

    def delta(self, g: Array, slots: Slots, out: Array, rate: float, t: int) -> None:
        """Δ = η g."""
        np.multiply(g, rate, out=out)


class Momentum(Optimizer):
    """m ← 0.9 m + g; Δ = η m (Polyak 1964)."""

    slots = ("m",)

    def delta(self, g: Array, slots: Slots, out: Array, rate: float, t: int) -> None:
        """m ← 0.9 m + g; Δ = η m."""
        m = slots["m"]
        m *= 0.9
        m += g
        np.multiply(m, rate, out=out)


class Adagrad(Optimizer):
    """v ← v + g²; Δ = η g / (√v + ε) (Duchi, Hazan & Singer 2011)."""

    slots = ("v",)

    def delta(self, g: Array, slots: Slots, out: Array, rate: float, t: int) -> None:
        """v ← v + g²; Δ = η g / (√v + ε)."""
        v = slots["v"]
        np.multiply(g, g, out=out)
        v += out
        _divided_by_root(g, v, out, rate)


class RMSprop(Optimizer):
    """v ← 0.95 v + 0.05 g²; Δ = η g / (√v + ε) (Tieleman & Hinton 2012)."""

    slots = ("v",)

    def delta(self, g: Array, slots: Slots, out: Array, rate: float, t: int) -> None:
        """v ← 0.95 v + 0.05 g²; Δ = η g / (√v + ε)."""
        v = slots["v"]
        np.multiply(g, g, out=out)
        out *= 0.05
        v *= 0.95
        v += out
        _divided_by_root(g, v, out, rate)


class Adam(Optimizer):
    """m ← β₁m + g, v ← β₂v + g²; Δ = η m̂ / (√v̂ + ε) (Kingma & Ba 2015, algorithm 1, whose m and v are these times
    1−β₁ and 1−β₂).

    m̂ = m (1−β₁)/(1−β₁ᵗ) and √v̂ = √v √((1−β₂)/(1−β₂ᵗ)); the factors of both are taken out of the fraction.
    """

    slots = ("m", "v")
    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def delta(self, g: Array, slots: Slots, out: Array, rate: float, t: int) -> None:
        """Δ = η m̂ / (√v̂ + ε)."""
        beta1, beta2, m, v = self.beta1, self.beta2, slots["m"], slots["v"]
        root = math.sqrt((1 - beta2**t) / (1 - beta2))
        m *= beta1
        m += g
        v *= beta2
        np.multiply(g, g, out=out)
        v += out
        np.sqrt(v, out=out)
        out += self.epsilon * root
        np.divide(m, out, out=out)
        out *= rate * root * (1 - beta1) / (1 - beta1**t)


def _divided_by_root(g: Array, v: Array, out: Array, rate: float) -> None:
    """η g / (√v + ε)."""
    np.sqrt(v, out=out)
    out += 1e-8
    np.divide(g, out, out=out)
    out *= rate


def check(name: str, thing: object) -> None:
    """TypeError or ValueError unless it is a class of optimisers whose slots a checkpoint can name, and whose first
    update is written."""
    if not isinstance(thing, type) or not issubclass(thing, Optimizer) or thing.delta is Optimizer.delta:
        raise TypeError(
            f"optimizer {name}: must be a class with a `delta` that extends charrnn.Optimizer, is {shown(thing)}"
        )
    slots: object = thing.slots
    named = isinstance(slots, tuple) and all(isinstance(slot, str) and NAME.fullmatch(slot) for slot in slots)
    if not isinstance(slots, tuple) or not named or len(set(slots)) < len(slots):
        raise ValueError(
            f"optimizer {name}: slots must be a tuple of different names of {NAME_RULE}, are {shown(slots)}"
        )
    g, delta = np.array([0.5, -0.25, 0.125]), np.full(3, np.nan)
    thing().delta(g, {slot: np.zeros(3) for slot in slots}, delta, 0.1, 1)
    if not np.isfinite(delta).all():
        raise ValueError(f"optimizer {name}: delta must write finite numbers into all of `out`, left {shown(delta)}")


class Updater:
    """Applies an optimiser to weights (size,), block by block; `slots` begin at zero."""

    def __init__(self, optimizer: Optimizer, size: int, dtype: np.dtype[np.floating]) -> None:
        self.slots: dict[str, Array] = {slot: aligned(size, dtype) for slot in optimizer.slots}
        self._optimizer = optimizer
        self._delta: Array = aligned(min(size, BLOCK), dtype)
        parts = [slice(start, min(start + BLOCK, size)) for start in range(0, size, BLOCK)]
        self._blocks = [
            (part, {name: slot[part] for name, slot in self.slots.items()}, self._delta[: part.stop - part.start])
            for part in parts
        ]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._delta.nbytes + sum(slot.nbytes for slot in self.slots.values())

    def update(self, weights: Array, g: Array, rate: float, t: int) -> None:
        """θ ← θ − Δ, in place; t counts from 1."""
        for part, slots, delta in self._blocks:
            theta = weights[part]
            self._optimizer.delta(g[part], slots, delta, rate, t)
            np.subtract(theta, delta, theta)


def clip(g: Array, limit: float, mode: str) -> float:
    """Clips g in place to a norm, or each of its values to ±`limit` (0: not at all); returns the norm it had.

    A g whose norm is not finite is left as it is.
    """
    norm = math.sqrt(float(np.dot(g, g)))
    if not math.isfinite(norm):
        return norm
    if limit and mode == "value":
        np.clip(g, -limit, limit, out=g)
    elif limit and norm > limit:
        g *= limit / norm
    return norm
