"""The gated recurrent unit (Cho et al. 2014), with the reset gate after the product, as PyTorch and ONNX have it.

    r = σ(Z_r + R_r)    u = σ(Z_u + R_u)    N = tanh(Z_N + r ⊙ M)    M = R_N + c
    H_t = N + u ⊙ (H_{t-1} − N)

The gates are r, u, N, in this order. c (h) is a bias inside the reset.
"""

from __future__ import annotations

import numpy as np
from numpy import add, multiply, subtract

from charrnn.errors import ConfigError
from charrnn.network.activations import dsigmoid, dtanh, sigmoid
from charrnn.network.buffers import Array
from charrnn.network.cells import Cell, Weights, flat, summed


class GRU(Cell):
    """Every error is dH_t times a local derivative. u ⊙ dH_t goes to H_{t-1} directly, not through W_hh.

    dZ_N = dH (1 − u) (1 − N²)      dR_N = dZ_N r
    dZ_u = dH (H_{t-1} − N) u (1 − u)
    dZ_r = dZ_N M r (1 − r)         dR_r = dZ_r, dR_u = dZ_u
    """

    gates = 3
    gate_names = ("r", "u", "N")
    slopes_per_unit = 5
    keeps = ("Z", "R")
    carries = (0, 1)

    def __init__(self, activation: str = "tanh") -> None:
        if activation != "tanh":
            raise ConfigError(f"activation {activation}: a gru has tanh; leave it out, or choose the cell rnn")

    def shapes(self, d: int, h: int) -> dict[str, tuple[int, ...]]:
        """W_x, W_hh, b, and c (h)."""
        return {**super().shapes(d, h), "c": (h,)}

    def step(self, W: Weights, Z: Array, R: Array, S: Array, out: Array) -> None:
        """H_t; leaves r, u, N in Z, and M in R[2]."""
        gates, (r, u, N), M = Z[:2], Z, R[2]
        add(gates, R[:2], gates)
        sigmoid(gates, gates)
        add(M, W["c"], M)
        add(N, multiply(r, M, out), N)
        np.tanh(N, N)
        subtract(S, N, out)
        multiply(out, u, out)
        add(out, N, out)

    def slopes(self, W: Weights, Z: Array, R: Array, S: Array, out: Array, K: Array) -> None:
        """K: dR_r, dR_u, dR_N, dZ_N and u, each a factor of dH_t."""
        (r, u, N), M = Z, R[2]
        K_r, K_u, K_M, K_N, K_H = K
        subtract(1, u, K_H)
        multiply(dtanh(N, K_N), K_H, K_N)  # (1 − u) (1 − N²)
        multiply(K_N, r, K_M)
        multiply(dsigmoid(r, K_r), M, K_r)
        multiply(K_r, K_N, K_r)
        subtract(S, N, K_u)
        multiply(K_u, u, K_u)
        multiply(K_u, K_H, K_u)  # (H_{t-1} − N) u (1 − u)
        np.copyto(K_H, u)

    def pull(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, direct: Array) -> None:
        """dR, dZ and direct: dH_t times the factors in K."""
        multiply(dS, K[:3], dR)
        np.copyto(dZ[:2], dR[:2])
        multiply(dS, K[3], dZ[2])
        multiply(dS, K[4], direct)

    def own_gradients(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, dW: Weights) -> None:
        """dc = Σ dR_N, since M = R_N + c."""
        add(dW["c"], summed(dR[2]), dW["c"])

    def saturated(self, Z: Array, S: Array) -> float:
        """Gates and candidates where σ′ or tanh′ is below a tenth of its largest value."""
        return flat(Z[:2], Z[2])
