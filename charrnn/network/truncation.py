"""Truncated backpropagation through time as numbers: a gain for every transition between two steps."""

from __future__ import annotations

import numpy as np

from charrnn.network.buffers import Array


def full(T: int) -> Array:
    """Every transition inside the sequence carries its error: gains (T,) of ones."""
    return np.ones(T)


def fixed(T: int, tau: int) -> Array:
    """Blocks of `tau` steps: nothing crosses from the first step of a block to the last of the one before."""
    gains = np.ones(T)
    gains[::tau] = 0
    return gains
