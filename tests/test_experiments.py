"""The experiments stand on what is known of their systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charrnn.experiments import Result, influence, recall, regularisation
from charrnn.network.truncation import Fixed, Random
from charrnn.training.settings import Settings


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


def test_at_equal_updates_each_tau_has_the_mean_and_spread_of_its_seeds_and_gaps_are_taken_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regularisation, "TAUS", (1, 8))
    losses = {(1, 1): (2.0, 2.5), (1, 2): (4.0, 4.0), (8, 1): (1.0, 1.1), (8, 2): (1.0, 1.3)}
    asked = []

    def run(config: Settings, corpus: Path) -> tuple[int, float, float]:
        asked.append(config)
        return 5, *losses[config.tau or 0, config.seed]

    monkeypatch.setattr(regularisation, "run", run)
    rows = regularisation.equal_updates(tmp_path, updates=5, seeds=2).rows
    assert rows == [
        ["1", "3.000 ± 1.414", "3.250 ± 1.061", "0.250 ± 0.354"],
        ["8", "1.000 ± 0.000", "1.200 ± 0.141", "0.200 ± 0.141"],
    ]
    assert {(c.max_steps, c.truncation, c.seq_length) for c in asked} == {(5, "fixed", 128)}


def test_a_training_of_the_experiment_is_scored_on_its_text_and_on_the_last_tenth(tmp_path: Path) -> None:
    corpus = tmp_path / "text"
    corpus.write_text("ab" * 900 + "ba" * 100)
    config = Settings(hidden=(8,), batch_size=2, seq_length=16, max_steps=60, learning_rate=0.01, warmup_steps=0)
    updates, training, validation = regularisation.run(config, corpus)
    assert updates == 60 and training < 0.1 and validation < 0.2
    corpus.write_text("ab" * 900 + "bb" * 100)
    assert regularisation.run(config, corpus)[2] > 1
