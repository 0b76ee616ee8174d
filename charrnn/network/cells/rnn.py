"""The simple recurrent cell of the document: H_t = φ(X_t W_x + b + H_{t-1} W_hh)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charrnn.network.activations import ACTIVATIONS
from charrnn.network.buffers import Array, Buffers


class RNN:
    """One gate, one state; φ by its name in `ACTIVATIONS`."""

    gates = 1
    states = 1
    keeps_Z = False

    def __init__(self, activation: str) -> None:
        self.activation = ACTIVATIONS[activation]

    def forward(self, Z: Array, W_hh: Array, S: Array, buffers: Buffers) -> None:
        """H_t = φ(Z_t + H_{t-1} W_hh) into S[1:]; Z (T, n, h) is X W_x + b."""
        W = np.asfortranarray(W_hh)  # as W_hhᵀ, contiguous: BLAS is slower on a transposed operand
        R = buffers.steps("R", 1, *Z[0].shape)[0]
        phi = self.activation.phi
        for Z_t, H_before, H_t in zip(Z, S[:-1], S[1:], strict=True):
            np.matmul(H_before, W, out=R)
            np.add(Z_t, R, out=R)
            phi(R, H_t)

    def stepper(self, W_hh: Array, S: Array) -> Callable[[Array], Array]:
        """A function that advances S (n, h) or (h,) by one step from Z_t, in place, and returns H_t."""
        R, phi = np.empty_like(S), self.activation.phi

        def step(Z: Array) -> Array:
            S.dot(W_hh, R)
            np.add(Z, R, out=R)
            return phi(R, S)

        return step

    def backward(
        self, dS: Array, Z: Array, W_hh: Array, S: Array, gains: Array, dS_T: Array | None, buffers: Buffers
    ) -> tuple[Array, Array, None]:
        """dZ_t = (dH_t + gains[t+1] · dZ_{t+1} W_hhᵀ) ⊙ φ′(Z_t), from the last step to the first, in place of dH."""
        slope = self.activation.dphi(S[1:], buffers.steps("slope", *dS.shape))  # φ′(Z_t) of all t in one pass
        carry = buffers.steps("R", 1, *dS[0].shape)[0]
        W_T, dZ, last = W_hh.T, dS, len(dS) - 1
        if dS_T is not None:
            np.add(dZ[last], dS_T, out=dZ[last])
        dZ_t = np.multiply(dZ[last], slope[last], out=dZ[last])
        for t in range(last - 1, -1, -1):
            dH_t, gain = dZ[t], gains[t + 1]
            if gain:
                np.matmul(dZ_t, W_T, out=carry)
                if gain != 1:
                    np.multiply(carry, gain, out=carry)
                np.add(dH_t, carry, out=dH_t)
            dZ_t = np.multiply(dH_t, slope[t], out=dH_t)
        return dZ, dZ, None

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
