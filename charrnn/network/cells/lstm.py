"""Long short-term memory (Hochreiter & Schmidhuber 1997; with the forget gate of Gers et al. 2000).

    i = σ(Z_i + R_i)    f = σ(Z_f + R_f)    o = σ(Z_o + R_o)    G = tanh(Z_G + R_G)
    C_t = f ⊙ C_{t-1} + i ⊙ G               H_t = o ⊙ tanh(C_t)

The columns of W_x, W_hh and b are those of i, f, o, G, in this order. The state S_t is [H_t C_t].
"""

from __future__ import annotations

import numpy as np

from charrnn.errors import ConfigError
from charrnn.network.activations import dsigmoid, dtanh, sigmoid
from charrnn.network.buffers import Array
from charrnn.network.cells import Cell, Fill, Weights


class LSTM(Cell):
    """The error at C_t comes from H_t and from C_{t+1}; f times it goes to C_{t-1} past W_hh.

    dC = dC_t + dH_t o (1 − tanh²C_t)
    dZ_i = dC G i (1 − i)    dZ_f = dC C_{t-1} f (1 − f)    dZ_G = dC i (1 − G²)    dZ_o = dH_t tanh(C_t) o (1 − o)
    """

    gates = 4
    states = 2
    slopes_per_unit = 6
    keeps = ("Z",)
    one_error = True
    carries = (1, 2)

    def __init__(self, activation: str = "tanh") -> None:
        if activation != "tanh":
            raise ConfigError(f"activation {activation}: an lstm has tanh; leave it out, or choose the cell rnn")

    def initial(self, W: Weights, fan_in: int, fill: Fill, rng: np.random.Generator) -> None:
        """The forget gate's bias is 1, so that C_t is kept at the start (Jozefowicz et al. 2015)."""
        super().initial(W, fan_in, fill, rng)
        h = len(W["W_hh"])
        W["b"][h : 2 * h] = 1

    def step(self, W: Weights, Z: Array, R: Array, S: Array, out: Array) -> None:
        """H_t and C_t; leaves i, f, o, G in Z."""
        h = S.shape[-1] // 2
        gates, i, G = Z[..., : 3 * h], Z[..., :h], Z[..., 3 * h :]
        H, C, product = out[..., :h], out[..., h:], R[..., :h]
        np.add(Z, R, Z)
        sigmoid(gates, gates)
        np.tanh(G, G)
        np.multiply(Z[..., h : 2 * h], S[..., h:], C)  # f ⊙ C_{t-1}
        np.multiply(i, G, product)
        np.add(C, product, C)
        np.tanh(C, H)
        np.multiply(H, Z[..., 2 * h : 3 * h], H)

    def slopes(self, W: Weights, Z: Array, R: Array, S: Array, out: Array, K: Array) -> None:
        """K: the factors of dC for Z_i, Z_f and C_{t-1}, of dH for Z_o and C_t, and of dC for Z_G."""
        h = S.shape[-1] // 2
        i, f, o, G = (Z[..., k * h : (k + 1) * h] for k in range(4))
        K_i, K_f, K_o, K_G, K_C, K_past = (K[..., k * h : (k + 1) * h] for k in range(6))
        np.tanh(out[..., h:], K_C)
        dsigmoid(o, K_o)
        np.multiply(K_o, K_C, K_o)  # tanh(C_t) o (1 − o)
        dtanh(K_C, K_C)
        np.multiply(K_C, o, K_C)  # o (1 − tanh²C_t)
        dsigmoid(i, K_i)
        np.multiply(K_i, G, K_i)
        dsigmoid(f, K_f)
        np.multiply(K_f, S[..., h:], K_f)
        dtanh(G, K_G)
        np.multiply(K_G, i, K_G)
        np.copyto(K_past, f)

    def pull(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, direct: Array) -> None:
        """dZ from dH_t and dC; f ⊙ dC into `direct`. dR = dZ."""
        h = dS.shape[-1] // 2
        dH, dC = dS[..., :h], direct
        np.multiply(dH, K[..., 4 * h : 5 * h], dC)
        np.add(dC, dS[..., h:], dC)
        np.multiply(dC, K[..., :h], dZ[..., :h])
        np.multiply(dC, K[..., h : 2 * h], dZ[..., h : 2 * h])
        np.multiply(dH, K[..., 2 * h : 3 * h], dZ[..., 2 * h : 3 * h])
        np.multiply(dC, K[..., 3 * h : 4 * h], dZ[..., 3 * h :])
        np.multiply(dC, K[..., 5 * h :], direct)

    def saturated(self, Z: Array, S: Array) -> float:
        """Gates and candidates where σ′ or tanh′ is below a tenth of its largest value."""
        h = S.shape[-1] // 2
        slopes = np.empty_like(Z)
        dsigmoid(Z[..., : 3 * h], slopes[..., : 3 * h])
        dtanh(Z[..., 3 * h :], slopes[..., 3 * h :])
        slopes[..., : 3 * h] *= 4
        return float((slopes < 0.1).mean())
