"""The hand-written gradient against numerical ones, for every parameter and every truncation.

A truncated gradient is the exact gradient of another objective: the one in which the states at a cut are constants.
That objective is evaluated here one step at a time, with the states of an undisturbed run as the constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack, State
from charrnn.network.truncation import Full, Random, Truncation, Window

COMPLEX, CENTRAL, ENUMERATION = "complex-step", "central", "enumeration"
TOLERANCE = {COMPLEX: 1e-10, CENTRAL: 1e-6, ENUMERATION: 1e-10}
H = 1e-6  # step of the central differences
ROUNDING = 4  # rounding errors of ε |L| that an evaluation of the loss may add up
ENTRIES = 400  # for a larger parameter: this many random entries, and one random directional derivative


@dataclass(frozen=True)
class Check:
    """max |analytical − numerical| / max |analytical| over one parameter."""

    parameter: str
    policy: str
    tau: int
    method: str
    max_relative_error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is below the tolerance."""
        return self.max_relative_error < self.tolerance


@dataclass(frozen=True)
class Problem:
    """A network, a batch (T, n) for it and the state that comes in: what a gradient is checked on."""

    parameters: Parameters
    ids: Array
    targets: Array
    H_0: State | None  # None where the text begins

    @property
    def T(self) -> int:
        """Steps."""
        return len(self.ids)


def small_problem(
    hidden: tuple[int, ...] = (5, 4),
    activation: str = "tanh",
    T: int = 8,
    n: int = 3,
    d: int = 6,
    seed: int = 0,
    cell: str = "rnn",
) -> Problem:
    """A small random network in float64 with a random batch."""
    rng = np.random.default_rng(seed)
    parameters = Parameters(Architecture(d, hidden, activation, cell), np.float64)
    # Small enough that the widest layer does not saturate.
    parameters.vector[:] = rng.standard_normal(parameters.vector.size) * min(0.4, 1 / max(hidden) ** 0.5)
    ids, targets = rng.integers(0, d, (2, T, n))
    return Problem(parameters, ids, targets, _random_state(parameters.architecture, n, rng))


def problem_of(parameters: Parameters, T: int = 8, n: int = 3, seed: int = 0) -> Problem:
    """A network as it is, in float64, with a random batch."""
    rng = np.random.default_rng(seed)
    double = Parameters(parameters.architecture, np.float64, parameters.vector.astype(np.float64))
    ids, targets = rng.integers(0, parameters.architecture.symbols, (2, T, n))
    return Problem(double, ids, targets, _random_state(parameters.architecture, n, rng))


def _random_state(architecture: Architecture, n: int, rng: np.random.Generator) -> State | None:
    """A state that came in, so that the first step's H_{t-1} counts; None for a cell that learns its beginning."""
    cell = architecture.made_cell
    if cell.learns_begin:
        return None
    return [0.3 * rng.standard_normal(cell.state_shape(n, h)) for h in architecture.hidden]


def gradcheck(problem: Problem, truncation: Truncation, seed: int = 0) -> Iterator[Check]:
    """Checks every parameter by complex-step (h = 1e-30) and central (h = 1e-6) differences.

    With random truncation also the mean over all cut patterns, weighted by their probability, against full.

    A difference of two losses carries their rounding, ε |L| / h. Where a gradient is so small that this exceeds the
    usual share of it, that is the tolerance of the central differences.
    """
    window = replace(truncation, seq_length=problem.T).draw(problem.T, seed)
    analytical = _gradient(problem, window)
    objective = _objective(problem, window)
    parameters = problem.parameters
    name, tau = type(truncation).__name__.lower(), getattr(truncation, "tau", problem.T)
    rng = np.random.default_rng(seed)
    rounding = ROUNDING * np.finfo(float).eps * abs(objective(parameters.vector)) / H
    for method, derivative in ((COMPLEX, _complex_step), (CENTRAL, _central)):
        start = 0
        for parameter in parameters:
            size = parameters[parameter].size
            part = analytical[start : start + size]
            scale = np.abs(part).max() or 1.0
            error = 0.0
            chosen = range(size) if size <= ENTRIES else rng.choice(size, ENTRIES, replace=False)
            for i in chosen:
                direction = np.zeros(parameters.vector.size)
                direction[start + int(i)] = 1
                error = max(error, abs(derivative(objective, parameters.vector, direction) - part[int(i)]) / scale)
            if size > ENTRIES:
                direction = np.zeros(parameters.vector.size)
                direction[start : start + size] = rng.standard_normal(size) / np.sqrt(size)
                along = float(direction @ analytical)
                error = max(error, abs(derivative(objective, parameters.vector, direction) - along) / scale)
            tolerance = max(TOLERANCE[method], rounding / scale if method == CENTRAL else 0.0)
            yield Check(parameter, name, tau, method, float(error), float(tolerance))
            start += size
    if isinstance(truncation, Random):
        yield from _expectation(problem, truncation)


def _expectation(problem: Problem, truncation: Random) -> Iterator[Check]:
    """Compares the gradient's mean over all 2^(T − 1) cut patterns, weighted by probability, with the full one."""
    T = problem.T
    mean = np.zeros(problem.parameters.vector.size)
    for bits in range(2 ** (T - 1)):
        cuts = (bits >> np.arange(T - 1)) & 1 == 1
        if truncation.tau == 1 and not cuts.all():
            continue  # mean length 1 cuts everywhere
        gains, probability = truncation.pattern(cuts)
        mean += probability * _gradient(problem, Window(gains, 0, T))
    full = _gradient(problem, Full(T).window(0, T))
    means, fulls = (Parameters(problem.parameters.architecture, np.float64, v) for v in (mean, full))
    for name in fulls:
        error = np.abs(means[name] - fulls[name]).max() / (np.abs(fulls[name]).max() or 1.0)
        yield Check(name, "random", truncation.tau, ENUMERATION, float(error), TOLERANCE[ENUMERATION])


def _gradient(problem: Problem, window: Window) -> Array:
    architecture = problem.parameters.architecture
    gradient = Parameters(architecture, np.float64)
    Stack(architecture, np.float64).loss_and_gradient(
        problem.parameters, problem.ids, problem.targets, problem.H_0, window, gradient
    )
    return gradient.vector


def _objective(problem: Problem, window: Window) -> Callable[[Array], complex]:
    """The mean loss as a function of the flat weights, with the states at the cuts held constant."""
    architecture, (T, n) = problem.parameters.architecture, problem.ids.shape
    stacks = {kind: Stack(architecture, kind) for kind in (float, complex)}
    before = problem.H_0 or stacks[float].begin(problem.parameters, n)
    reference = [before]  # the states of an undisturbed run
    for t in range(T):
        tape = stacks[float].forward(problem.parameters, problem.ids[t : t + 1], reference[-1])
        reference.append(tape.state(1))

    def state_at(t: int, parameters: Parameters, stack: Stack) -> State:
        """The state before step t, as a constant; a learned initial state is computed from `parameters` instead."""
        if t == 0 and problem.H_0 is None:
            return stack.begin(parameters, n)
        return [S.astype(parameters.vector.dtype) for S in reference[t]]

    def by_gains(parameters: Parameters, stack: Stack) -> complex:
        state, total = state_at(0, parameters, stack), 0j
        for t in range(T):
            gain = window.gains[t]
            if t > 0 and gain != 1:  # the value stays, its derivative is scaled
                state = [S_0 + gain * (S - S_0) for S, S_0 in zip(state, reference[t], strict=True)]
            tape = stack.forward(parameters, problem.ids[t : t + 1], state)
            total += complex(stack.losses(parameters, tape, problem.targets[t : t + 1]).sum())
            state = tape.state(1)
        return complex(total / (n * T))

    def by_lags(parameters: Parameters, stack: Stack, lags: int) -> complex:
        total = 0j
        for t in range(T):
            start = max(t - lags + 1, 0)
            tape = stack.forward(parameters, problem.ids[start : t + 1], state_at(start, parameters, stack))
            losses = stack.losses(parameters, tape, problem.targets[start : t + 1])
            total += complex(losses[-1].sum())
        return complex(total / (n * T))

    def objective(vector: Array) -> complex:
        stack = stacks[complex if np.iscomplexobj(vector) else float]
        parameters = Parameters(architecture, vector.dtype, vector)
        return by_gains(parameters, stack) if window.lags is None else by_lags(parameters, stack, window.lags)

    return objective


def _complex_step(objective: Callable[[Array], complex], vector: Array, direction: Array) -> float:
    return objective(vector + 1e-30j * direction).imag / 1e-30


def _central(objective: Callable[[Array], complex], vector: Array, direction: Array) -> float:
    return (objective(vector + H * direction) - objective(vector - H * direction)).real / (2 * H)
