"""The hand-written gradient against numerical ones, for every parameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.network import truncation
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import State, backward, cross_entropy, forward

TOLERANCE = {"complex-step": 1e-10, "central": 1e-6}


@dataclass(frozen=True)
class Check:
    """max |analytical − numerical| / max |numerical| over one parameter."""

    parameter: str
    policy: str
    tau: int
    method: str
    max_relative_error: float

    @property
    def passed(self) -> bool:
        """Whether the error is below the tolerance of its method."""
        return self.max_relative_error < TOLERANCE[self.method]


def gradcheck(
    hidden: tuple[int, ...] = (5, 4), activation: str = "tanh", tau: int | None = None, T: int = 8, seed: int = 0
) -> list[Check]:
    """Checks a small network in float64 by complex-step (h = 1e-30) and central (h = 1e-6) differences.

    With `tau`, the truncated gradient against differences of the objective whose states at a cut are constant.
    """
    rng = np.random.default_rng(seed)
    n, d = 3, 6
    parameters = Parameters(Architecture(d, hidden, activation), np.float64)
    parameters.vector[:] = rng.standard_normal(parameters.vector.size) * 0.4
    ids, targets = rng.integers(0, d, (2, T, n))
    H_0: State = [0.3 * rng.standard_normal((n, h)) for h in hidden]

    tape = forward(parameters, ids, H_0)
    gradient = Parameters(parameters.architecture, np.float64)
    gains = truncation.full(T) if tau is None else truncation.fixed(T, tau)
    backward(parameters, tape, targets, gains, gradient)
    block = tau or T

    def objective(vector: Array) -> complex:
        moved, total = Parameters(parameters.architecture, vector.dtype, vector), 0j
        for start in range(0, T, block):
            part = slice(start, start + block)
            state = [H[start] for H in tape.H]
            total += complex(cross_entropy(forward(moved, ids[part], state), targets[part]).sum())
        return total / (n * T)

    numerical: dict[str, Array] = {method: np.empty_like(parameters.vector) for method in TOLERANCE}
    for i in range(parameters.vector.size):
        shifted = parameters.vector.astype(complex)
        shifted[i] += 1e-30j
        numerical["complex-step"][i] = objective(shifted).imag / 1e-30
        up, down = parameters.vector.copy(), parameters.vector.copy()
        up[i] += 1e-6
        down[i] -= 1e-6
        numerical["central"][i] = (objective(up) - objective(down)).real / 2e-6
    policy = "full" if tau is None else "fixed"
    checks = []
    for method, vector in numerical.items():
        views = Parameters(parameters.architecture, np.float64, vector)
        for name in parameters:
            error = np.abs(gradient[name] - views[name]).max() / max(np.abs(views[name]).max(), 1e-300)
            checks.append(Check(name, policy, block, method, float(error)))
    return checks
