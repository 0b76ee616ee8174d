"""`gradcheck` passes what is right and fails what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charrnn.network import backward
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.truncation import Truncation, truncation
from charrnn.verify.gradcheck import gradcheck, problem_of, small_problem

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
