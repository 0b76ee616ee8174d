"""The simple recurrent cell of the document: H_t = φ(X_t W_x + b + H_{t-1} W_hh)."""

from __future__ import annotations

import numpy as np

from charrnn.network.activations import ACTIVATIONS
from charrnn.network.buffers import Array, Buffers
from charrnn.network.products import product_with


class RNN:
    """One gate, one state; φ by its name in `ACTIVATIONS`."""

    gates = 1
    states = 1
    keeps_Z = False

    def __init__(self, activation: str) -> None:
        self.activation = ACTIVATIONS[activation]

    def forward(self, Z: Array, W_hh: Array, S: Array, buffers: Buffers) -> None:
        """H_t = φ(Z_t + H_{t-1} W_hh) into S[1:]; Z (T, n, h) is X W_x + b."""
        before, *H = buffers.steps(S)
        R, phi, add = buffers.block("R", *before.shape), self.activation.phi, np.add
        times_W = product_with(W_hh, R, buffers)
        for Z_t, H_t in zip(buffers.steps(Z), H, strict=True):
            times_W(before, R)  # H_{t-1} W_hh
            add(Z_t, R, R)
            before = phi(R, H_t)

    def step(self, Z: Array, R: Array, S: Array) -> None:
        """H_t = φ(Z_t + R), R being H_{t-1} W_hh, in place of H_{t-1}."""
        np.add(Z, R, R)
        self.activation.phi(R, S)

    def backward(
        self, dS: Array, Z: Array, W_hh: Array, S: Array, gains: Array, dS_T: Array | None, buffers: Buffers
    ) -> tuple[Array, Array, None]:
        """dZ_t = (dH_t + gains[t+1] · dZ_{t+1} W_hhᵀ) ⊙ φ′(Z_t), from the last step to the first, in place of dH."""
        slope = self.activation.dphi(S[1:], buffers.block("slope", *dS.shape))  # φ′(Z_t) of all t in one pass
        if dS_T is not None:
            np.add(dS[-1], dS_T, out=dS[-1])
        later, *dZ = reversed(buffers.steps(dS))
        slope_T, *slopes = reversed(buffers.steps(slope))
        R, add, multiply = buffers.block("R", *later.shape), np.add, np.multiply
        times_W_T = product_with(W_hh.T, R, buffers)
        multiply(later, slope_T, later)
        for dZ_t, slope_t, gain in zip(dZ, slopes, gains[:0:-1].tolist(), strict=True):
            if gain:
                times_W_T(later, R)  # dZ_{t+1} W_hhᵀ
                if gain != 1:
                    multiply(R, gain, R)
                add(dZ_t, R, dZ_t)
            later = multiply(dZ_t, slope_t, dZ_t)
        return dS, dS, None

    def backward_one_lag(
        self, dS: Array, Z: Array, W_hh: Array, S: Array, buffers: Buffers
    ) -> tuple[Array, Array, None]:
        """dZ_t = dH_t ⊙ φ′(Z_t) for all t, in place of dH."""
        dS *= self.activation.dphi(S[1:], np.empty_like(dS))
        return dS, dS, None

    def saturated(self, S: Array) -> float:
        """The share of units and steps where φ′ is below a tenth of its largest value."""
        H = np.array(S)
        slope = self.activation.dphi(H, np.empty_like(H))
        return float((slope < 0.1 * self.activation.steepest).mean())
