"""The simple recurrent cell of the document: H_t = φ(X_t W_x + b + H_{t-1} W_hh)."""

from __future__ import annotations

import numpy as np
from numpy import add, multiply

from charrnn.network.buffers import Array
from charrnn.network.cells import Cell, Weights
from charrnn.registry import ACTIVATIONS


class RNN(Cell):
    """H_t = φ(Z_t + R_t), and so dZ_t = dR_t = dH_t ⊙ φ′(Z_t + R_t)."""

    one_error = True
    in_place = True

    def __init__(self, activation: str = "tanh") -> None:
        self.activation = ACTIVATIONS[activation]
        self.phi = self.activation.phi

    def step(self, W: Weights, Z: Array, R: Array, S: Array, out: Array) -> None:
        """H_t = φ(Z_t + R_t)."""
        add(Z, R, R)
        self.phi(R, out)

    def slopes(self, W: Weights, Z: Array, R: Array, S: Array, out: Array, K: Array) -> None:
        """K = φ′(Z_t + R_t), which follows from H_t."""
        self.activation.dphi(out, K)

    def pull(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, direct: Array) -> None:
        """dZ_t = dH_t ⊙ K."""
        multiply(dS, K, dZ)

    def saturated(self, Z: Array, S: Array) -> float:
        """Where φ′ is below a tenth of its largest value."""
        slope = self.activation.dphi(S, np.empty_like(S))
        return float((slope < 0.1 * self.activation.steepest).mean())
