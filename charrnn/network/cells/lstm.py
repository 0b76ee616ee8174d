"""Long short-term memory (Hochreiter & Schmidhuber 1997; with the forget gate of Gers et al. 2000).

    i = σ(Z_i + R_i)    f = σ(Z_f + R_f)    o = σ(Z_o + R_o)    G = tanh(Z_G + R_G)
    C_t = f ⊙ C_{t-1} + i ⊙ G               H_t = o ⊙ tanh(C_t)

The gates are i, f, o, G, in this order; the state S_t is H_t and C_t.
"""

from __future__ import annotations

import numpy as np
from numpy import add, multiply

from charrnn.errors import ConfigError
from charrnn.network.activations import dsigmoid, dtanh, sigmoid
from charrnn.network.buffers import Array
from charrnn.network.cells import Cell, Fill, Weights, flat


class LSTM(Cell):
    """dC, the whole error of C_t, comes from H_t and, as dC_t, from step t+1. f ⊙ dC goes to C_{t-1}, not through W_hh.

    dC = dC_t + dH_t o (1 − tanh²C_t)
    dZ_i = dC G i (1 − i)    dZ_f = dC C_{t-1} f (1 − f)    dZ_G = dC i (1 − G²)    dZ_o = dH_t tanh(C_t) o (1 − o)
    """

    gates = 4
    gate_names = ("i", "f", "o", "G")
    states = 2
    state_names = ("H", "C")
    slopes_per_unit = 6
    keeps = ("Z",)
    carries = (1, 2)
    one_error = True

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
        add(Z, R, Z)
        gates, (i, f, o, G), (H, C) = Z[:3], Z, out
        sigmoid(gates, gates)
        np.tanh(G, G)
        multiply(f, S[1], C)
        add(C, multiply(i, G, H), C)
        np.tanh(C, H)
        multiply(H, o, H)

    def slopes(self, W: Weights, Z: Array, R: Array, S: Array, out: Array, K: Array) -> None:
        """K: the factors of dC for Z_i, Z_f, Z_G and C_{t-1}, and of dH_t for Z_o and C_t."""
        i, f, o, G = Z
        K_i, K_f, K_G, K_direct, K_o, K_C = K
        np.tanh(out[1], K_C)
        multiply(dsigmoid(o, K_o), K_C, K_o)  # tanh(C_t) o (1 − o)
        multiply(dtanh(K_C, K_C), o, K_C)  # o (1 − tanh²C_t)
        multiply(dsigmoid(i, K_i), G, K_i)
        multiply(dsigmoid(f, K_f), S[1], K_f)
        multiply(dtanh(G, K_G), i, K_G)
        np.copyto(K_direct, f)

    def pull(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, direct: Array) -> None:
        """Writes dZ, which is also dR, and f ⊙ dC into `direct`, which holds dC until then. dS is dH_t and dC_t."""
        (dH, dC_next), (K_i, K_f, K_G, K_direct, K_o, K_C), dC = dS, K, direct
        add(multiply(dH, K_C, dC), dC_next, dC)
        multiply(dC, K_i, dZ[0])
        multiply(dC, K_f, dZ[1])
        multiply(dH, K_o, dZ[2])
        multiply(dC, K_G, dZ[3])
        multiply(dC, K_direct, direct)

    def saturated(self, Z: Array, S: Array) -> float:
        """Gates and candidates where σ′ or tanh′ is below a tenth of its largest value."""
        return flat(Z[:3], Z[3])
