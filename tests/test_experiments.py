"""The experiments stand on what is known of their systems."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.experiments import Result, influence, recall
from charrnn.network.truncation import Fixed, Random


def truncated_derivative(T: int) -> float:
    """d s_T[0] / dθ through the last T steps, through the product's backward pass: the gradient of its last loss."""
    s = np.ones((1, influence.H))
    whole = influence.gradient(0.7, s, np.array([0.0, *np.ones(T - 1)]), influence.Memory())[0]
    most = influence.gradient(0.7, s, np.array([0.0, *np.ones(T - 2)]), influence.Memory())[0] if T > 1 else 0.0
    state = s
    for _ in range(T):
        state = state @ influence.A.T + 0.7 * influence.V
    return (whole - most) / float(state[0, 0] - 1)


# Published and checked: +10 at T = 10, its peak +16.48 at 19, first negative at 41, −6.000 by 100.
@pytest.mark.parametrize("T, value", [(10, 10.0), (19, 16.48), (100, -6.0)])
def test_truncated_derivatives_of_influence_balancing_are_the_known_ones(T: int, value: float) -> None:
    assert truncated_derivative(T) == pytest.approx(value, abs=5e-3)


def test_the_truncated_derivative_turns_negative_at_41_steps() -> None:
    assert truncated_derivative(40) > 0 > truncated_derivative(41)


def test_short_blocks_diverge_and_artbp_with_a_shorter_mean_finds_the_optimum() -> None:
    assert np.isinf(influence.run(Fixed(10, 10)))
    assert influence.run(Random(1, 16, "polynomial"), seed=1, steps=60_000) == pytest.approx(-1 / 6, abs=0.02)


def test_a_letter_comes_again_after_k_dots() -> None:
    ids = recall.text(50, 4, seed=0).reshape(50, 6)
    assert (ids[:, 0] == ids[:, -1]).all() and (ids[:, 1:-1] == recall.DOT).all()
    assert set(ids[:, 0]) == set(range(recall.LETTERS))


def test_recall_needs_a_gradient_of_more_than_k_steps() -> None:
    assert recall.run("fixed", 2, lag=4, steps=1500) < 0.6
    assert recall.run("full", None, lag=4, steps=1500) > 0.9


def test_a_result_is_a_markdown_table() -> None:
    assert Result(["a", "b"], [["1", "2"]]).markdown() == "| a | b |\n|---|---|\n| 1 | 2 |\n"
