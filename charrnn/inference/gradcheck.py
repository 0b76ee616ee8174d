"""The hand-written gradient against numerical ones, for every parameter and every truncation.

A truncated gradient is the exact gradient of another objective: the one in which the states at a cut are constants.
That objective is evaluated here one step at a time, with the states of an undisturbed run as the constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack, State
from charrnn.network.truncation import Policy, Truncation

COMPLEX, CENTRAL, ENUMERATION = "complex-step", "central", "enumeration"
TOLERANCE = {COMPLEX: 1e-10, CENTRAL: 1e-6, ENUMERATION: 1e-10}
ENTRIES = 400  # of a larger parameter, so many entries are checked, and the sum over all along one random direction


@dataclass(frozen=True)
class Check:
    """max |analytical − numerical| / max |analytical| over one parameter."""

    parameter: str
    policy: str
    tau: int
    method: str
    max_relative_error: float

    @property
    def passed(self) -> bool:
        """Whether the error is below the tolerance of its method."""
        return self.max_relative_error < TOLERANCE[self.method]


@dataclass(frozen=True)
class Problem:
    """A network, a batch (T, n) for it and the state that comes in: what a gradient is checked on."""

    parameters: Parameters
    ids: Array
    targets: Array
    H_0: State

    @property
    def T(self) -> int:
        """Steps."""
        return len(self.ids)


def small_problem(
    hidden: tuple[int, ...] = (5, 4), activation: str = "tanh", T: int = 8, n: int = 3, d: int = 6, seed: int = 0
) -> Problem:
    """A small random network in float64 with a random batch."""
    rng = np.random.default_rng(seed)
    parameters = Parameters(Architecture(d, hidden, activation), np.float64)
    # Small enough that the widest layer does not saturate.
    parameters.vector[:] = rng.standard_normal(parameters.vector.size) * min(0.4, 1 / max(hidden) ** 0.5)
    ids, targets = rng.integers(0, d, (2, T, n))
    return Problem(parameters, ids, targets, [0.3 * rng.standard_normal((n, h)) for h in hidden])


def problem_of(parameters: Parameters, T: int = 8, n: int = 3, seed: int = 0) -> Problem:
    """A network as it is, in float64, with a random batch."""
    rng = np.random.default_rng(seed)
    double = Parameters(parameters.architecture, np.float64, parameters.vector.astype(np.float64))
    ids, targets = rng.integers(0, parameters.architecture.symbols, (2, T, n))
    state = [0.3 * rng.standard_normal((n, h)) for h in parameters.architecture.hidden]
    return Problem(double, ids, targets, state)


def gradcheck(problem: Problem, policy: Policy, seed: int = 0) -> Iterator[Check]:
    """Checks every parameter by complex-step (h = 1e-30) and central (h = 1e-6) differences.

    With random truncation also the mean over all cut patterns, weighted by their probability, against full.
    """
    T = problem.T
    truncation = _window(policy, T, seed)
    analytical = _gradient(problem, truncation)
    objective = _objective(problem, truncation)
    parameters = problem.parameters
    rng = np.random.default_rng(seed)
    for method, derivative in ((COMPLEX, _complex_step), (CENTRAL, _central)):
        start = 0
        for name in parameters:
            size = parameters[name].size
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
            yield Check(name, policy.name, policy.tau or T, method, float(error))
            start += size
    if policy.name == "random":
        yield from _expectation(problem, policy)


def _window(policy: Policy, T: int, seed: int) -> Truncation:
    """The policy's window over all T steps; for random one draw of cuts, without the end at a cut."""
    if policy.name != "random":
        return Policy(policy.name, T, policy.tau).window(0, T, ())
    cuts = np.random.default_rng(seed).random(T - 1) < policy.cut_probability(1)
    return _pattern(policy, cuts)[0]


def _pattern(policy: Policy, cuts: Array) -> tuple[Truncation, float]:
    """The truncation with a cut after step t where cuts[t], and its probability."""
    gains, probability, since = [0.0], 1.0, 1
    for cut in cuts:
        c = policy.cut_probability(since)
        probability *= c if cut else 1 - c
        gains.append(0.0 if cut else 1 / (1 - c))
        since = 1 if cut else since + 1
    return Truncation(np.array(gains), 0, len(gains)), probability


def _expectation(problem: Problem, policy: Policy) -> Iterator[Check]:
    T = problem.T
    mean = np.zeros(problem.parameters.vector.size)
    for bits in range(2 ** (T - 1)):
        cuts = (bits >> np.arange(T - 1)) & 1 == 1
        if policy.tau == 1 and not cuts.all():
            continue  # mean length 1 cuts everywhere
        truncation, probability = _pattern(policy, cuts)
        mean += probability * _gradient(problem, truncation)
    full = _gradient(problem, Policy("full", T).window(0, T, ()))
    means, fulls = (Parameters(problem.parameters.architecture, np.float64, v) for v in (mean, full))
    for name in fulls:
        scale = np.abs(fulls[name]).max() or 1.0
        error = float(np.abs(means[name] - fulls[name]).max() / scale)
        yield Check(name, policy.name, policy.tau or T, ENUMERATION, error)


def _gradient(problem: Problem, truncation: Truncation) -> Array:
    """The program's gradient, flat."""
    gradient = Parameters(problem.parameters.architecture, np.float64)
    Stack(problem.parameters.architecture, np.float64).loss_and_gradient(
        problem.parameters, problem.ids, problem.targets, problem.H_0, truncation, gradient
    )
    return gradient.vector


def _objective(problem: Problem, truncation: Truncation) -> Callable[[Array], complex]:
    """The mean loss as a function of the flat weights, with the states at the cuts held constant."""
    architecture, T, n = problem.parameters.architecture, problem.T, problem.ids.shape[1]
    stacks = {kind: Stack(architecture, kind) for kind in (float, complex)}
    reference = [problem.H_0]
    for t in range(T):
        tape = stacks[float].forward(problem.parameters, problem.ids[t : t + 1], reference[-1])
        reference.append(tape.state(1))

    def by_gains(parameters: Parameters, stack: Stack) -> complex:
        state, total = [H.astype(parameters.vector.dtype) for H in problem.H_0], 0j
        for t in range(T):
            gain = truncation.gains[t]
            if t > 0 and gain != 1:  # the value stays, its derivative is scaled
                state = [H_0 + gain * (H - H_0) for H, H_0 in zip(state, reference[t], strict=True)]
            tape = stack.forward(parameters, problem.ids[t : t + 1], state)
            total += complex(stack.losses(parameters, tape, problem.targets[t : t + 1]).sum())
            state = tape.state(1)
        return complex(total / (n * T))

    def by_lags(parameters: Parameters, stack: Stack) -> complex:
        assert truncation.lags is not None
        total = 0j
        for t in range(T):
            start = max(t - truncation.lags + 1, 0)
            state = [H.astype(parameters.vector.dtype) for H in reference[start]]
            tape = stack.forward(parameters, problem.ids[start : t + 1], state)
            losses = stack.losses(parameters, tape, problem.targets[start : t + 1])
            total += complex(losses[-1].sum())
        return complex(total / (n * T))

    def objective(vector: Array) -> complex:
        kind = complex if np.iscomplexobj(vector) else float
        evaluate = by_gains if truncation.lags is None else by_lags
        return evaluate(Parameters(architecture, vector.dtype, vector), stacks[kind])

    return objective


def _complex_step(objective: Callable[[Array], complex], vector: Array, direction: Array) -> float:
    return objective(vector + 1e-30j * direction).imag / 1e-30


def _central(objective: Callable[[Array], complex], vector: Array, direction: Array) -> float:
    h = 1e-6
    return (objective(vector + h * direction) - objective(vector - h * direction)).real / (2 * h)
