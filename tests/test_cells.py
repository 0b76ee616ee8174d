"""A new cell is one file and one registry line: here a GRU and an LSTM, with nothing of the stack changed for them."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

from charrnn.inference.gradcheck import Problem, gradcheck
from charrnn.inference.sampling import Choice, _picker, sample
from charrnn.network.cells import CELLS
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack, zero_state
from charrnn.network.truncation import Policy


def sigmoid(Z: Any) -> Any:
    return 0.5 * (1 + np.tanh(0.5 * Z))


def stepwise(cell: Any, Z: Any, W_hh: Any, S: Any) -> None:
    """Fills S[1:] one step after another, and Z with the gates, which a step leaves in R."""
    for t in range(len(Z)):
        S[t + 1] = S[t]
        R = S[t, :, : len(W_hh)] @ W_hh
        cell.step(Z[t], R, S[t + 1])
        Z[t] = R


class GRU:
    """R = σ(Z_r + H W_r), U = σ(Z_u + H W_u), N = tanh(Z_n + R ⊙ H W_n), H_t = (1 − U) ⊙ N + U ⊙ H."""

    gates, states, keeps_Z = 3, 1, True

    def __init__(self, activation: str) -> None:
        pass

    def forward(self, Z: Any, W_hh: Any, S: Any, buffers: Any) -> None:
        stepwise(self, Z, W_hh, S)

    def step(self, Z: Any, R: Any, S: Any) -> None:
        h = S.shape[-1]
        reset, U = sigmoid(Z[..., :h] + R[..., :h]), sigmoid(Z[..., h : 2 * h] + R[..., h : 2 * h])
        N = np.tanh(Z[..., 2 * h :] + reset * R[..., 2 * h :])
        S[...] = (1 - U) * N + U * S
        R[...] = np.concatenate([reset, U, N], axis=-1)

    def local(self, dH: Any, Z_t: Any, H: Any, W_hh: Any) -> tuple[Any, Any, Any]:
        R, U, N = np.split(Z_t, 3, axis=-1)
        HW_n = H @ W_hh[:, 2 * U.shape[-1] :]
        dN = dH * (1 - U) * (1 - N**2)
        dU = dH * (H - N) * U * (1 - U)
        dR = dN * HW_n * R * (1 - R)
        return np.concatenate([dR, dU, dN], -1), np.concatenate([dR, dU, dN * R], -1), dH * U

    def backward(self, dS: Any, Z: Any, W_hh: Any, S: Any, gains: Any, dS_T: Any, buffers: Any) -> Any:
        dZ, dR = np.empty_like(Z), np.empty_like(Z)
        direct = dS_T if dS_T is not None else np.zeros_like(S[0])
        for t in range(len(Z) - 1, -1, -1):
            dH = dS[t] + direct
            dZ[t], dR[t], passed = self.local(dH, Z[t], S[t], W_hh)
            direct = gains[t] * (passed + dR[t] @ W_hh.T)
        return dZ, dR, passed

    def backward_one_lag(self, dS: Any, Z: Any, W_hh: Any, S: Any, buffers: Any) -> Any:
        return self.local(dS, Z, S[:-1], W_hh)


class LSTM:
    """I, F, O = σ, G = tanh of Z + H W_hh; C_t = F ⊙ C + I ⊙ G, H_t = O ⊙ tanh C_t."""

    gates, states, keeps_Z = 4, 2, True

    def __init__(self, activation: str) -> None:
        pass

    def forward(self, Z: Any, W_hh: Any, S: Any, buffers: Any) -> None:
        stepwise(self, Z, W_hh, S)

    def step(self, Z: Any, R: Any, S: Any) -> None:
        h = S.shape[-1] // 2
        raw = Z + R
        R[...] = np.concatenate([sigmoid(raw[..., : 3 * h]), np.tanh(raw[..., 3 * h :])], axis=-1)
        I, F, O, G = np.split(R, 4, axis=-1)  # noqa: E741
        S[..., h:] = F * S[..., h:] + I * G
        S[..., :h] = O * np.tanh(S[..., h:])

    def local(self, dS: Any, Z_t: Any, before: Any, after: Any) -> tuple[Any, Any, Any]:
        I, F, O, G = np.split(Z_t, 4, axis=-1)  # noqa: E741
        h = I.shape[-1]
        dH, tanh_C = dS[..., :h], np.tanh(after[..., h:])
        dC = dS[..., h:] + dH * O * (1 - tanh_C**2)
        parts = [
            dC * G * I * (1 - I),
            dC * before[..., h:] * F * (1 - F),
            dH * tanh_C * O * (1 - O),
            dC * I * (1 - G**2),
        ]
        dZ = np.concatenate(parts, -1)
        return dZ, dZ, np.concatenate([np.zeros_like(dH), dC * F], -1)

    def backward(self, dS: Any, Z: Any, W_hh: Any, S: Any, gains: Any, dS_T: Any, buffers: Any) -> Any:
        h, dZ = W_hh.shape[0], np.empty_like(Z)
        arriving = dS_T if dS_T is not None else np.zeros_like(S[0])
        for t in range(len(Z) - 1, -1, -1):
            dZ[t], _, passed = self.local(dS[t] + arriving, Z[t], S[t], S[t + 1])
            arriving = passed.copy()
            arriving[:, :h] += dZ[t] @ W_hh.T
            arriving *= gains[t]
        return dZ, dZ, passed

    def backward_one_lag(self, dS: Any, Z: Any, W_hh: Any, S: Any, buffers: Any) -> Any:
        return self.local(dS, Z, S[:-1], S[1:])


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS, "gru", GRU)  # type: ignore[arg-type]
    monkeypatch.setitem(CELLS, "lstm", LSTM)  # type: ignore[arg-type]


def problem(cell: str, hidden: tuple[int, ...], T: int = 6) -> Problem:
    rng = np.random.default_rng(0)
    parameters = Parameters(Architecture(5, hidden, "tanh", cell), np.float64)
    parameters.vector[:] = 0.5 * rng.standard_normal(parameters.vector.size)
    ids, targets = rng.integers(0, 5, (2, T, 3))
    states = CELLS[cell]("tanh").states
    return Problem(parameters, ids, targets, [0.3 * rng.standard_normal((3, states * h)) for h in hidden])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("hidden", [(4,), (4, 3)])
@pytest.mark.parametrize("name", ["full", "fixed", "sliding", "random"])
def test_a_cell_with_gates_and_memories_has_exact_gradients_under_every_truncation(
    cell: str, hidden: tuple[int, ...], name: str
) -> None:
    policy = Policy(name, 6, None if name == "full" else 2)
    assert all(check.passed for check in gradcheck(problem(cell, hidden), policy))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_its_errors_cross_the_borders_of_segments(cell: str) -> None:
    steps = 300
    p = problem(cell, (3, 4), steps)
    gradients = []
    for name, tau in (("full", None), ("sliding", steps)):  # several segments; one, by definition
        gradient = Parameters(p.parameters.architecture, np.float64)
        truncation = Policy(name, steps, tau).window(0, steps, ())
        Stack(p.parameters.architecture, np.float64).loss_and_gradient(
            p.parameters, p.ids, p.targets, p.H_0, truncation, gradient
        )
        gradients.append(gradient.vector)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_it_is_sampled_step_by_step_as_it_is_trained(cell: str, n: int) -> None:
    parameters = problem(cell, (4, 3)).parameters
    drawn = np.array(list(islice(sample(parameters, np.array([2, 0]), 7, n=n), 60)))
    ids = np.concatenate([np.repeat([[2], [0]], n, axis=1), drawn])
    stack = Stack(parameters.architecture, np.float64)
    A = stack.probabilities(parameters, stack.forward(parameters, ids, zero_state(parameters, n)))
    pick = _picker(Choice(), np.random.default_rng(7), n, 5)
    assert len(np.unique(drawn)) > 2
    np.testing.assert_array_equal(drawn, [pick(np.log(A_t.squeeze())) for A_t in A[1:-1]])
