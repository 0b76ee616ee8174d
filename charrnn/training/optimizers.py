"""Optimisers on the flat vector of weights, and the learning rate's schedule."""

from __future__ import annotations

import math

import numpy as np

from charrnn.network.buffers import Array


def learning_rate_at(step: int, *, peak: float, warmup_steps: int, max_steps: int) -> float:
    """Linear warm-up to `peak`, then half a cosine down to a twentieth of it at `max_steps`."""
    progress = min(step / max_steps, 1.0)
    cosine = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress))
    return peak * min(1.0, (step + 1) / (warmup_steps + 1)) * cosine


def clip_norm(gradient: Array, limit: float) -> float:
    """Scales `gradient` in place to a Euclidean norm of at most `limit`; returns the norm that it had."""
    norm = float(np.sqrt(np.dot(gradient, gradient)))
    if norm > limit:
        gradient *= limit / norm
    return norm


class Adam:
    """Adam (Kingma & Ba 2015, algorithm 1): m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η m̂ / (√v̂ + ε)."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, size: int, dtype: np.dtype[np.floating]) -> None:
        self.m: Array = np.zeros(size, dtype)
        self.v: Array = np.zeros(size, dtype)
        self._scratch: Array = np.empty(size, dtype)

    def update(self, weights: Array, g: Array, rate: float, step: int) -> None:
        """Changes `weights` in place; `step` counts from 0."""
        scratch = self._scratch
        self.m *= self.beta1
        self.m += np.multiply(g, 1 - self.beta1, out=scratch)
        self.v *= self.beta2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - self.beta2
        self.v += scratch
        np.sqrt(self.v, out=scratch)
        scratch /= math.sqrt(1 - self.beta2 ** (step + 1))
        scratch += self.epsilon
        np.divide(self.m, scratch, out=scratch)
        scratch *= rate / (1 - self.beta1 ** (step + 1))
        weights -= scratch
