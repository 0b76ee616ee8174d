"""The simple recurrent cell of the document: H_t = φ(X_t W_x + b + H_{t-1} W_hh)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charrnn.network.activations import ACTIVATIONS
from charrnn.network.buffers import Array, Buffers, rows


class RNN:
    """One gate, one state; φ by its name in `ACTIVATIONS`."""

    gates = 1
    states = 1

    def __init__(self, activation: str) -> None:
        self.phi = ACTIVATIONS[activation].phi
        self.dphi = ACTIVATIONS[activation].dphi

    def forward(self, Z: Array, W_hh: Array, S: Array, buffers: Buffers) -> None:
        """H_t = φ(Z_t + H_{t-1} W_hh) into S[1:]; Z (T, n, h) is X W_x + b."""
        W = np.asfortranarray(W_hh)  # as W_hhᵀ, contiguous: BLAS is slower on a transposed operand
        R = buffers.sequence("R", 1, *Z[0].shape)[0]
        for Z_t, H_before, H_t in zip(Z, S[:-1], S[1:], strict=True):
            np.matmul(H_before, W, out=R)
            np.add(Z_t, R, out=R)
            self.phi(R, H_t)

    def stepper(self, W_hh: Array, S: Array) -> Callable[[Array], Array]:
        """A function that advances S (n, h) by one step from Z_t (n, h), in place, and returns H_t."""
        R, phi = np.empty_like(S), self.phi

        def step(Z: Array) -> Array:
            np.matmul(S, W_hh, out=R)
            np.add(Z, R, out=R)
            return phi(R, S)

        return step

    def backward(
        self, dS: Array, Z: Array, W_hh: Array, S: Array, gains: Array, dS_T: Array | None, buffers: Buffers
    ) -> tuple[Array, Array]:
        """dZ_t = (dH_t + gains[t+1] · dZ_{t+1} W_hhᵀ) ⊙ φ′(Z_t), from the last step to the first, in place of dH."""
        slope = self.dphi(S[1:], buffers.sequence("slope", *dS.shape))  # φ′(Z_t) of all t in one pass
        carry = buffers.sequence("R", 1, *dS[0].shape)[0]
        dZ = dS
        W_T = W_hh.T
        if dS_T is not None:
            dZ[-1] += dS_T
        dZ[-1] *= slope[-1]
        for t in range(len(dZ) - 2, -1, -1):
            dZ_t, gain = dZ[t], gains[t + 1]
            if gain != 0:
                np.matmul(dZ[t + 1], W_T, out=carry)
                if gain != 1:
                    carry *= gain
                dZ_t += carry
            dZ_t *= slope[t]
        return dZ, dZ

    def hand_back(self, dZ: Array, dR: Array, W_hh: Array, S: Array, out: Array) -> Array:
        """dH_{t-1} = dZ_t W_hhᵀ for all t, one product."""
        np.matmul(rows(dR), W_hh.T, out=rows(out))
        return out

    def backward_one_lag(self, dS: Array, Z: Array, S: Array, buffers: Buffers) -> tuple[Array, Array]:
        """dZ_t = dH_t ⊙ φ′(Z_t) for all t, in place of dH."""
        dS *= self.dphi(S[1:], buffers.sequence("slope", *dS.shape))
        return dS, dS
