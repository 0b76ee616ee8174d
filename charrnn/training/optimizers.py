"""Optimisers on the flat vector of weights, clipping, and the learning rate's schedules.

g is the gradient, η the learning rate, θ the weights. An optimiser's slots are all its memory: a checkpoint keeps them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from charrnn.network.buffers import Array, aligned

# Updates run over blocks that stay in the cache through all the passes of one update.
BLOCK = 65_536

Rule = Callable[[Array, list[Array], Array, float, int], None]


def _sgd(g: Array, slots: list[Array], scratch: Array, rate: float, step: int) -> None:
    """Δ = η g."""
    np.multiply(g, rate, out=scratch)


def _momentum(g: Array, slots: list[Array], scratch: Array, rate: float, step: int) -> None:
    """m ← 0.9 m + g; Δ = η m (Polyak 1964)."""
    (m,) = slots
    m *= 0.9
    m += g
    np.multiply(m, rate, out=scratch)


def _adagrad(g: Array, slots: list[Array], scratch: Array, rate: float, step: int) -> None:
    """v ← v + g²; Δ = η g / (√v + ε) (Duchi, Hazan & Singer 2011)."""
    (v,) = slots
    np.multiply(g, g, out=scratch)
    v += scratch
    np.sqrt(v, out=scratch)
    scratch += 1e-8
    np.divide(g, scratch, out=scratch)
    scratch *= rate


def _rmsprop(g: Array, slots: list[Array], scratch: Array, rate: float, step: int) -> None:
    """v ← 0.95 v + 0.05 g²; Δ = η g / (√v + ε) (Tieleman & Hinton 2012)."""
    (v,) = slots
    np.multiply(g, g, out=scratch)
    scratch *= 0.05
    v *= 0.95
    v += scratch
    np.sqrt(v, out=scratch)
    scratch += 1e-8
    np.divide(g, scratch, out=scratch)
    scratch *= rate


def _adam(g: Array, slots: list[Array], scratch: Array, rate: float, step: int) -> None:
    """m ← β₁m + g, v ← β₂v + g²; Δ = η m̂ / (√v̂ + ε) (Kingma & Ba 2015, algorithm 1, whose m and v are ours times
    1−β₁ and 1−β₂).

    m̂ = m (1−β₁)/(1−β₁ᵗ) and √v̂ = √v √((1−β₂)/(1−β₂ᵗ)); the factors of both are taken out of the fraction.
    """
    beta1, beta2 = 0.9, 0.999
    root = math.sqrt((1 - beta2 ** (step + 1)) / (1 - beta2))
    m, v = slots
    m *= beta1
    m += g
    v *= beta2
    np.multiply(g, g, out=scratch)
    v += scratch
    np.sqrt(v, out=scratch)
    scratch += 1e-8 * root
    np.divide(m, scratch, out=scratch)
    scratch *= rate * root * (1 - beta1) / (1 - beta1 ** (step + 1))


# An optimiser is its rule and the names of its slots, arrays as long as the weights that the rule keeps.
OPTIMIZERS: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "sgd": (_sgd, ()),
    "momentum": (_momentum, ("m",)),
    "adagrad": (_adagrad, ("v",)),
    "rmsprop": (_rmsprop, ("v",)),
    "adam": (_adam, ("m", "v")),
}


class Optimizer:
    """Applies the rule called `name` to weights (size,); `slots` begin at zero."""

    def __init__(self, name: str, size: int, dtype: np.dtype[np.floating]) -> None:
        self._rule, names = OPTIMIZERS[name]
        self.slots: dict[str, Array] = {slot: aligned(size, dtype) for slot in names}
        self._scratch: Array = aligned(min(size, BLOCK), dtype)

    def update(self, weights: Array, g: Array, rate: float, step: int) -> None:
        """θ ← θ − Δ, in place; `step` counts from 0."""
        for start in range(0, len(weights), BLOCK):
            part = slice(start, start + BLOCK)
            weights_part = weights[part]
            scratch = self._scratch[: len(weights_part)]
            self._rule(g[part], [slot[part] for slot in self.slots.values()], scratch, rate, step)
            weights_part -= scratch


def clip(g: Array, limit: float, mode: str) -> float:
    """Clips g in place to a norm, or each of its values to ±`limit` (0: not at all); returns the norm it had."""
    norm = math.sqrt(float(np.dot(g, g)))
    if limit and mode == "value":
        np.clip(g, -limit, limit, out=g)
    elif limit and norm > limit:
        g *= limit / norm
    return norm


def learning_rate_factor(
    schedule: str, progress: float, *, decay: float, decays: int, step: int, warmup_steps: int
) -> float:
    """What the learning rate is multiplied by after `step` updates, at `progress` 0…1 through the run.

    constant: 1. cosine: half a cosine from 1 to 0.05. step, plateau: decay ** decays. Each times the linear warm-up.
    """
    warm = min(1.0, (step + 1) / (warmup_steps + 1))
    if schedule == "cosine":
        return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
    if schedule in ("step", "plateau"):
        return warm * decay**decays
    return warm
