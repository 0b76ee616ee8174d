"""The one naive network of the tests: each cell's equations, character by character, in the plainest NumPy.

It shares nothing with the program but the names of the weights, and works on complex numbers, so that a complex step
gives its derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from charrnn.network.parameters import Architecture, Parameters

PHI: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "identity": lambda z: z,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "relu": lambda z: z * (z.real > 0),
}
STATES = {"rnn": 1, "gru": 1, "lstm": 2}
sigma = PHI["sigmoid"]


def step(cell: str, phi: Callable[[Any], Any], W: Any, X: Any, S: Any) -> Any:
    """S_t (n, h), or (states, n, h), from X_t (n, d) and S_{t-1}."""
    W_x, W_hh, b = W["W_x"], W["W_hh"], W["b"]
    h = len(W_hh)
    H = S if STATES[cell] == 1 else S[0]
    if cell == "rnn":
        return phi(X @ W_x + b + H @ W_hh)
    gate = [slice(k * h, (k + 1) * h) for k in range(W_x.shape[1] // h)]
    Z = [X @ W_x[:, k] + b[k] for k in gate]
    R = [H @ W_hh[:, k] for k in gate]
    if cell == "gru":
        reset, update = sigma(Z[0] + R[0]), sigma(Z[1] + R[1])
        N = np.tanh(Z[2] + reset * (R[2] + W["c"]))
        return (1 - update) * N + update * H
    assert cell == "lstm"
    i, f, o = (sigma(Z[k] + R[k]) for k in range(3))
    C = f * S[1] + i * np.tanh(Z[3] + R[3])
    return np.stack([o * np.tanh(C), C])


def zero_state(p: Parameters, n: int) -> list[Any]:
    """Zeros (n, h_l), or (states, n, h_l), for every layer."""
    states = STATES[p.architecture.cell]
    shapes = [(n, h) if states == 1 else (states, n, h) for h in p.architecture.hidden]
    return [np.zeros(shape, p.vector.dtype) for shape in shapes]


def logits(p: Parameters, ids: Any, S_0: list[Any], replace: Any = None) -> tuple[list[Any], list[list[Any]]]:
    """O_t (n, a) and the states after every step, for ids (T, n).

    `replace(t, l, S)` gives the state that step t of layer l sees instead of S.
    """
    architecture = p.architecture
    S, O, trace = [s.astype(p.vector.dtype) for s in S_0], [], []  # noqa: E741
    for t in range(len(ids)):
        if replace:
            S = [replace(t, i, s) for i, s in enumerate(S)]
        X = np.eye(architecture.symbols)[ids[t]]
        for i in range(len(architecture.hidden)):
            S[i] = step(architecture.cell, PHI[architecture.activation], p.layer(i + 1), X, S[i])
            X = S[i] if STATES[architecture.cell] == 1 else S[i][0]
        W_ha, b_a = p.output()
        O.append(X @ W_ha + b_a)
        trace.append([s.copy() for s in S])
    return O, trace


def losses(p: Parameters, ids: Any, targets: Any, S_0: list[Any], replace: Any = None) -> tuple[Any, list[list[Any]]]:
    """The loss of every step (T,), summed over the batch, and the states after it (their real parts)."""
    O, trace = logits(p, ids, S_0, replace)  # noqa: E741
    rows = np.arange(ids.shape[1])
    each = [(np.log(np.exp(Z).sum(1)) - Z[rows, y]).sum() for Z, y in zip(O, targets, strict=True)]
    return np.array(each), [[s.real for s in states] for states in trace]


def probabilities(p: Parameters, ids: Any) -> Any:
    """A_t (T, a) of one stream of ids (T,), from a zero state."""
    O, _ = logits(p, np.asarray(ids)[:, None], zero_state(p, 1))  # noqa: E741
    e = np.exp(np.concatenate(O))
    return e / e.sum(axis=1, keepdims=True)


def gradient(p: Parameters, objective: Callable[[Parameters], Any]) -> Any:
    """∂ objective / ∂ every weight (size,), by complex step."""
    numeric = np.empty_like(p.vector)
    for i in range(numeric.size):
        shifted = p.vector.astype(complex)
        shifted[i] += 1e-30j
        numeric[i] = objective(Parameters(p.architecture, complex, shifted)).imag / 1e-30
    return numeric


def random_parameters(hidden: tuple[int, ...], d: int, activation: str = "tanh", cell: str = "rnn") -> Parameters:
    """Weights of double precision, nowhere zero."""
    p = Parameters(Architecture(d, hidden, activation, cell), np.float64)
    p.vector[:] = np.random.default_rng(3).standard_normal(p.vector.size) * 0.5
    return p


def random_state(p: Parameters, n: int) -> list[Any]:
    """A state that came in, for every layer."""
    rng = np.random.default_rng(4)
    return [rng.standard_normal(s.shape) * 0.3 for s in zero_state(p, n)]
