"""Starting weights: ways to fill one matrix.

A way is a function of the matrix W, its fan-in (how many inputs reach one of its outputs), whether it is recurrent
(W_hh), and the generator; it fills W.
"""

from __future__ import annotations

import numpy as np

from charrnn.network.buffers import Array


def uniform(W: Array, fan_in: int, recurrent: bool, rng: np.random.Generator) -> None:
    """Uniform between ±√(1/fan-in)."""
    W[...] = (1 / fan_in) ** 0.5 * rng.uniform(-1, 1, W.shape)


def gaussian(W: Array, fan_in: int, recurrent: bool, rng: np.random.Generator) -> None:
    """Normal with standard deviation √(1/fan-in)."""
    W[...] = (1 / fan_in) ** 0.5 * rng.standard_normal(W.shape)


def orthogonal(W: Array, fan_in: int, recurrent: bool, rng: np.random.Generator) -> None:
    """W_hhᵀ W_hh = I for each gate's square of W_hh (h, gates·h); uniform for every other matrix.

    An orthogonal W_hh keeps the length of every vector: at the start it makes errors neither vanish nor explode.
    """
    if not recurrent:
        uniform(W, fan_in, recurrent, rng)
        return
    h = len(W)
    for gate in range(0, W.shape[1], h):
        Q, R = np.linalg.qr(rng.standard_normal((h, h)))
        W[:, gate : gate + h] = Q * np.sign(np.diag(R))
