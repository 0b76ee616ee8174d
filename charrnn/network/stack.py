"""Forward pass, loss, and backpropagation through time of the stacked network, for any depth and any T."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.network.activations import ACTIVATIONS
from charrnn.network.buffers import Array, rows, sequence
from charrnn.network.parameters import Parameters

State = list[Array]


def zero_state(parameters: Parameters, n: int) -> State:
    """H_0 = 0 for every layer: a list of (n, h_l)."""
    hidden = parameters.architecture.hidden
    return [np.zeros((n, h), parameters.vector.dtype) for h in hidden]


@dataclass
class Tape:
    """What the forward pass leaves for the backward pass."""

    ids: Array  # (T, n)
    H: list[Array]  # for each layer (T+1, n, h_l); H[0] is the state that came in
    A: Array  # (T·n, a), softmax

    def last_state(self) -> State:
        """H_T of every layer, copied."""
        return [np.array(H[-1], order="C") for H in self.H]


def forward(parameters: Parameters, ids: Array, state: State) -> Tape:
    """Document §1.2: Z_t = X_t W_x + H_{t-1} W_hh + b, H_t = φ(Z_t), A_t = softmax(H_t W_ha + b_a).

    `ids` (T, n) are the symbols, `state` is H_0 (n, h_l) of each layer. Only H_{t-1} W_hh stays in the loop.
    """
    T, n = ids.shape
    architecture = parameters.architecture
    phi = ACTIVATIONS[architecture.activation].phi
    dtype = parameters.vector.dtype
    states: list[Array] = []
    for layer, h in enumerate(architecture.hidden, start=1):
        W_x, W_hh, b = parameters.layer(layer)
        Z = sequence(T, n, h, dtype)
        if layer == 1:
            # X_t is one-hot, so X_t W_x picks rows of W_x.
            Z[...] = (W_x + b)[ids]
        else:
            np.matmul(rows(states[-1][1:]), W_x, out=rows(Z))
            Z += b
        H = sequence(T + 1, n, h, dtype)
        H[0] = state[layer - 1]
        R = np.empty_like(Z[0])
        W = np.asfortranarray(W_hh)
        for t in range(T):
            np.matmul(H[t], W, out=R)
            np.add(Z[t], R, out=R)
            phi(R, H[t + 1])
        states.append(H)
    W_ha, b_a = parameters.output()
    logits = rows(states[-1][1:]) @ W_ha
    logits += b_a
    logits -= logits.real.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=1, keepdims=True)
    return Tape(ids, states, logits)


def cross_entropy(tape: Tape, targets: Array) -> Array:
    """−log A[target] of every step, (T·n,), in nats."""
    losses: Array = -np.log(tape.A[np.arange(targets.size), targets.ravel()])
    return losses


def backward(parameters: Parameters, tape: Tape, targets: Array, gains: Array, gradient: Parameters) -> None:
    """∂L/∂θ into `gradient`, for L the mean cross-entropy over the n·T targets.

    `gains` (T,) scale the error that step t hands to step t−1: 1 carries it, 0 cuts it (truncation is data).
    For every layer, from the top and from the last step:
    dZ_t = (dZ_t of the layer above · W_xᵀ + gains[t+1] · dZ_{t+1} W_hhᵀ) ⊙ φ′(Z_t).
    """
    T, n = tape.ids.shape
    architecture = parameters.architecture
    dphi = ACTIVATIONS[architecture.activation].dphi
    dtype = parameters.vector.dtype

    dZ_a = tape.A.copy()  # A − one-hot(y)
    dZ_a[np.arange(targets.size), targets.ravel()] -= 1
    dZ_a /= n * T
    W_ha, _ = parameters.output()
    dW_ha, db_a = gradient.output()
    np.matmul(rows(tape.H[-1][1:]).T, dZ_a, out=dW_ha)
    np.sum(dZ_a, axis=0, out=db_a)
    W_above, error = W_ha, dZ_a

    for layer in range(len(architecture.hidden), 0, -1):
        h = architecture.hidden[layer - 1]
        _, W_hh, _ = parameters.layer(layer)
        dW_x, dW_hh, db = gradient.layer(layer)
        H = tape.H[layer - 1]
        dZ = sequence(T, n, h, dtype)
        np.matmul(error, W_above.T, out=rows(dZ))  # all that comes from above, in one product
        slope = dphi(H[1:], sequence(T, n, h, dtype))
        W_T = W_hh.T
        carry = np.empty_like(dZ[0])
        for t in range(T - 1, -1, -1):
            if t < T - 1 and gains[t + 1] != 0:
                np.matmul(dZ[t + 1], W_T, out=carry)
                if gains[t + 1] != 1:
                    carry *= gains[t + 1]
                dZ[t] += carry
            dZ[t] *= slope[t]
        dZ_rows = rows(dZ)
        np.matmul(rows(H[:-1]).T, dZ_rows, out=dW_hh)
        np.sum(dZ_rows, axis=0, out=db)
        if layer == 1:
            X = np.zeros((T * n, architecture.symbols), dtype)
            X[np.arange(T * n), tape.ids.ravel()] = 1
            np.matmul(X.T, dZ_rows, out=dW_x)
        else:
            np.matmul(rows(tape.H[layer - 2][1:]).T, dZ_rows, out=dW_x)
        W_above, error = parameters.layer(layer)[0], dZ_rows
