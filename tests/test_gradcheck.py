"""`gradcheck` passes what is right and fails what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charrnn.network import backward
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import Stack
from charrnn.network.truncation import Truncation, truncation
from charrnn.verify.gradcheck import CENTRAL, TOLERANCE, Problem, gradcheck, problem_of, small_problem

NAMES = ["full", "fixed", "sliding", "random"]


def cuts(name: str) -> Truncation:
    return truncation(name, 5, tau=None if name == "full" else 2)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck_passes_under_every_truncation(name: str, activation: str) -> None:
    problem = small_problem((4, 3), activation, T=5)
    checks = list(gradcheck(problem, cuts(name)))
    assert {check.parameter for check in checks} == set(problem.parameters)
    assert all(check.passed for check in checks)


def test_gradcheck_of_a_larger_network_looks_at_some_weights_and_one_direction() -> None:
    parameters = initial(Architecture(7, (24,)), np.random.default_rng(0), np.float32)
    assert all(check.passed for check in gradcheck(problem_of(parameters), truncation("full", 8)))


def vanishing() -> Problem:
    """Three layers of sigmoids with large weights: its smallest gradients drown in the rounding of the loss."""
    problem = small_problem((6, 6, 6), "sigmoid", seed=4)
    problem.parameters.vector[:] *= 10
    return problem


@pytest.mark.parametrize("name", ["full", "sliding"])
def test_the_rounding_of_a_central_difference_fails_no_gradient_that_is_right(name: str) -> None:
    checks = list(gradcheck(vanishing(), truncation(name, 8, tau=None if name == "full" else 3)))
    assert max(check.max_relative_error for check in checks if check.method == CENTRAL) > TOLERANCE[CENTRAL]
    assert max(check.tolerance for check in checks) < 1e-5
    assert all(check.passed for check in checks)


def test_a_fault_of_a_thousandth_is_found_where_rounding_is_allowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By both methods, in the parameter that has it and in no other."""
    right = Stack.loss_and_gradient

    def wrong(self: Any, parameters: Parameters, *arguments: Any) -> Any:
        found = right(self, parameters, *arguments)
        arguments[-1]["W_h1h1"][...] *= 1.001
        return found

    monkeypatch.setattr(Stack, "loss_and_gradient", wrong)
    failed = {(c.parameter, c.method) for c in gradcheck(vanishing(), truncation("full", 8)) if not c.passed}
    assert failed == {("W_h1h1", "complex-step"), ("W_h1h1", CENTRAL)}


@pytest.mark.parametrize("name", NAMES)
def test_gradcheck_fails_when_a_transpose_is_missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def with_W_hh_transposed(function: Any) -> Any:
        def call(cell: Any, parameters: Parameters, *arguments: Any) -> Any:
            wrong = Parameters(parameters.architecture, vector=parameters.vector.copy())
            for index in (1, 2):
                W_hh = wrong.layer(index)["W_hh"]
                W_hh[...] = W_hh.T.copy()
            return function(cell, wrong, *arguments)

        return call

    for function in ("in_one_pass", "by_lag"):
        monkeypatch.setattr(backward, function, with_W_hh_transposed(getattr(backward, function)))
    checks = list(gradcheck(small_problem((4, 3), T=5), cuts(name)))
    assert not all(check.passed for check in checks)
    assert {check.parameter for check in checks if check.passed} >= {"W_h2a", "b_a"}  # which no W_hh reaches
