"""The gated recurrent unit (Cho et al. 2014), with the reset gate after the product, as PyTorch and ONNX have it.

    r = σ(Z_r + R_r)    u = σ(Z_u + R_u)    N = tanh(Z_N + r ⊙ M)    M = R_N + c
    H_t = N + u ⊙ (H_{t-1} − N)

The columns of W_x, W_hh and b are those of r, u, N, in this order. c (h) is a bias inside the reset.
"""

from __future__ import annotations

import numpy as np

from charrnn.errors import ConfigError
from charrnn.network.activations import dsigmoid, dtanh, sigmoid
from charrnn.network.buffers import Array
from charrnn.network.cells import Cell, Weights


class GRU(Cell):
    """Every derivative is a factor of dH_t; u ⊙ dH_t goes to H_{t-1} past W_hh.

    dZ_N = dH (1 − u) (1 − N²)      dR_N = dZ_N r
    dZ_u = dH (H_{t-1} − N) u (1 − u)
    dZ_r = dZ_N M r (1 − r)         dR_r = dZ_r, dR_u = dZ_u
    """

    gates = 3
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
        """H_t; leaves r, u, N in Z, and M in the last columns of R."""
        h = S.shape[-1]
        gates, N, M, reset = Z[..., : 2 * h], Z[..., 2 * h :], R[..., 2 * h :], R[..., :h]
        np.add(gates, R[..., : 2 * h], gates)
        sigmoid(gates, gates)
        np.add(M, W["c"], M)
        np.multiply(gates[..., :h], M, reset)  # r ⊙ M
        np.add(N, reset, N)
        np.tanh(N, N)
        np.subtract(S, N, out)
        np.multiply(out, gates[..., h:], out)
        np.add(out, N, out)

    def slopes(self, W: Weights, Z: Array, R: Array, S: Array, out: Array, K: Array) -> None:
        """K: ∂R_r, ∂R_u, ∂R_N, ∂Z_N and u, each a factor of dH_t."""
        h = S.shape[-1]
        r, u, N, M = Z[..., :h], Z[..., h : 2 * h], Z[..., 2 * h :], R[..., 2 * h :]
        K_r, K_u, K_M, K_N, K_H = (K[..., i * h : (i + 1) * h] for i in range(5))
        np.subtract(1, u, K_H)
        dtanh(N, K_N)
        np.multiply(K_N, K_H, K_N)  # (1 − u) (1 − N²)
        np.multiply(K_N, r, K_M)
        dsigmoid(r, K_r)
        np.multiply(K_r, M, K_r)
        np.multiply(K_r, K_N, K_r)
        np.subtract(S, N, K_u)
        np.multiply(K_u, u, K_u)
        np.multiply(K_u, K_H, K_u)  # (H_{t-1} − N) u (1 − u)
        np.copyto(K_H, u)

    def pull(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, direct: Array) -> None:
        """dR, dZ and direct: dH_t times the factors in K."""
        h = dS.shape[-1]
        for gate in range(3):
            part = slice(gate * h, (gate + 1) * h)
            np.multiply(dS, K[..., part], dR[..., part])
        np.copyto(dZ[..., : 2 * h], dR[..., : 2 * h])
        np.multiply(dS, K[..., 3 * h : 4 * h], dZ[..., 2 * h :])
        np.multiply(dS, K[..., 4 * h :], direct)

    def own_gradients(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, dW: Weights) -> None:
        """dc = Σ dR_N, since M = R_N + c."""
        h = dS.shape[-1]
        np.add(dW["c"], dR[..., 2 * h :].reshape(-1, h).sum(axis=0), dW["c"])

    def saturated(self, Z: Array, S: Array) -> float:
        """Gates and candidates where σ′ or tanh′ is below a tenth of its largest value."""
        h = S.shape[-1]
        slopes = np.empty_like(Z)
        dsigmoid(Z[..., : 2 * h], slopes[..., : 2 * h])
        dtanh(Z[..., 2 * h :], slopes[..., 2 * h :])
        slopes[..., : 2 * h] *= 4
        return float((slopes < 0.1).mean())
