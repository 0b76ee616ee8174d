"""Truncations by name, and one of your own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from oracle import gradient, losses, random_parameters, random_state

from charrnn.errors import ConfigError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack
from charrnn.network.truncation import CUT, WHOLE, Fixed, Full, Random, Sliding, Truncation, Window, truncation
from charrnn.registry import TRUNCATIONS
from charrnn.text.batches import Streams
from charrnn.training.loop import Trainer
from charrnn.training.settings import Settings
from charrnn.verify.gradcheck import gradcheck, small_problem


def test_a_name_and_its_options_make_a_truncation() -> None:
    assert truncation("full", 8, cut="constant", alpha=4.0, tau=None) == Full(8)
    assert truncation("fixed", 8, tau=3, cut="constant") == Fixed(8, 3)
    assert truncation("sliding", 8, tau=3) == Sliding(8, 3)
    assert truncation("random", 8, tau=3, cut="polynomial", alpha=5.0) == Random(8, 3, "polynomial", 5.0)


@pytest.mark.parametrize(
    "name, options, words",
    [
        ("full", {"tau": 4}, "tau: full truncation takes none"),
        ("fixed", {}, "tau: fixed truncation needs it"),
        ("sliding", {"tau": None}, "tau: sliding truncation needs it"),
        ("random", {"tau": 0}, "tau 0: must be a whole number of at least 1"),
        ("random", {"tau": 4, "cut": "linear"}, "cut linear: must be one of constant, polynomial"),
        ("random", {"tau": 4, "alpha": 3.0}, "alpha 3.0: must be above 3"),
        ("slidding", {"tau": 4}, "truncation 'slidding': must be one of .*did you mean sliding"),
    ],
)
def test_what_is_missing_or_not_taken_is_said(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        truncation(name, 8, **options)


def test_blocks_are_cut_along_the_stream_and_begun_again_for_a_window_inside_one() -> None:
    window = Fixed(4, 3).window(8, 100)
    assert (window.context, window.divisor, window.lags) == (2, 4, None)
    np.testing.assert_array_equal(window.gains, [0, 1, 1, 0, 1, 1])  # steps 6 to 11


def test_a_sliding_window_reaches_back_before_its_first_loss_but_not_before_the_text() -> None:
    assert [Sliding(4, 3).window(position, 100).context for position in (0, 1, 2, 50)] == [0, 1, 2, 2]
    window = Sliding(4, 3).window(50, 2)  # at the end of the stream
    assert (len(window.gains), window.divisor, window.lags) == (4, 2, 3)


def test_gains_of_one_and_zero_are_told_by_identity_and_sequences_may_differ() -> None:
    assert [gain is WHOLE for gain in Window(np.array([0.0, 1.0, 0.5]), 0, 3).crossings(3, 2)] == [False, True, False]
    first, second, third = Window(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), 0, 3).crossings(3, 2)
    assert first is CUT and second is WHOLE
    np.testing.assert_array_equal(third, [[1], [0]])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gains": None}, "gains must be numbers (T,) or (T, n), are object ()"),
        ({"gains": [[1.0], [1.0, 2.0]]}, "gains must be numbers"),
        ({"gains": np.ones((3, 1, 1))}, "gains must be numbers (T,) or (T, n), are float64 (3, 1, 1)"),
        ({"gains": np.ones(0)}, "gains must be numbers"),
        ({"gains": np.full(3, 1j)}, "are complex128 (3,)"),
        ({"gains": np.full(3, "1")}, "gains must be numbers"),
        ({"gains": [1.0, np.nan, 1.0]}, "gains must be finite"),
        ({"gains": [1.0, 1.0, np.inf]}, "gains must be finite"),
        ({"context": -1}, "context -1: must be a whole number of at least 0"),
        ({"context": 3}, "context 3: must be a whole number from 0 to 2"),
        ({"context": 1.0}, "context 1.0: must be a whole number"),
        ({"divisor": 0}, "divisor 0.0: must be above 0"),
        ({"divisor": np.nan}, "divisor nan: must be above 0"),
        ({"divisor": "3"}, "divisor '3': must be a number"),
        ({"lags": 0}, "lags 0: must be a whole number of at least 1"),
        ({"lags": -3}, "lags -3: must be"),
        ({"lags": 2.5}, "lags 2.5: must be"),
        ({"lags": True}, "lags True: must be"),
        ({"fresh": np.zeros((3, 2))}, "fresh must be true or false (3, n), is float64 (3, 2)"),
        ({"fresh": np.zeros(3, bool)}, "fresh must be true or false (3, n), is bool (3,)"),
        ({"fresh": np.zeros((4, 2), bool)}, "fresh must be true or false (3, n), is bool (4, 2)"),
    ],
)
def test_a_window_that_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        Window(**{"gains": np.ones(3), "context": 0, "divisor": 3, **values})
    assert words in str(caught.value)


def test_a_window_takes_lists_whole_numbers_and_more_lags_than_steps_as_what_they_mean() -> None:
    window = Window([True, 0, 2], np.int64(1), 3, 10**9)  # type: ignore[arg-type]
    assert (window.gains.tolist(), window.gains.dtype, window.context, window.lags) == ([1.0, 0.0, 2.0], float, 1, 3)


@pytest.mark.parametrize("shape", [(4, 3), (4, 1), (4, 4), (3, 2), (5,)])
def test_gains_must_be_for_the_steps_and_sequences_at_hand(shape: tuple[int, ...]) -> None:
    p = random_parameters((3,), 5)
    ids, targets = np.random.default_rng(0).integers(0, 5, (2, 4, 2))
    window = Window(np.full(shape, 0.5), 0, 4)
    with pytest.raises(ValueError, match=re.escape(f"gains must be (4,) or (4, 2) here, are {shape}")):
        Stack(p.architecture, np.float64).loss_and_gradient(
            p, ids, targets, None, window, Parameters(p.architecture, np.float64)
        )


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"gains": lambda self, steps: steps * np.nan}, "gains must be finite"),
        ({"gains": lambda self, steps: 1.0}, "gains must be numbers"),
        ({"gains": lambda self, steps: np.ones(2)}, "gave 2 gains for 5 steps"),
        ({"context": lambda self, position: position + 1}, "context 9: must be a whole number from 0 to 8"),
        ({"context": lambda self, position: position / 2}, "context 4.0: must be a whole number"),
        ({"lags": 0}, "lags 0: must be a whole number of at least 1"),
    ],
)
def test_the_error_of_a_truncation_names_it(broken: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        type("Mine", (Truncation,), broken)(5).window(8, 100)
    assert "Mine" in str(caught.value)


@pytest.mark.parametrize("tau", [0, -1, 2.5, True, "4", 10**30, np.nan, None])
def test_tau_is_a_whole_number(tau: Any) -> None:
    for make in (Fixed, Sliding, Random):
        with pytest.raises(ConfigError, match=r"tau .*: must be a whole number"):
            make(8, tau)


class OwnLags(Truncation):
    """Every loss reaches 3 steps, and less of it arrives at every other one."""

    lags = 3

    def gains(self, steps: Array) -> Array:
        return np.where(steps % 2 == 0, 0.5, 1.0)


@pytest.mark.parametrize("recompute", [False, True])
def test_lags_of_ones_own_over_many_steps_have_the_gradient_of_their_objective_kept_or_recomputed(
    recompute: bool,
) -> None:
    steps, p = 300, random_parameters((4,), 5)
    ids, targets = np.random.default_rng(0).integers(0, 5, (2, steps, 2))
    state, window, into = random_state(p, 2), OwnLags(steps).window(0, steps), Parameters(p.architecture, np.float64)
    Stack(p.architecture, np.float64).loss_and_gradient(p, ids, targets, state, window, into, recompute=recompute)
    _, reference = losses(p, ids, targets, state)

    def objective(q: Parameters, t: int) -> Any:
        start = max(t - 2, 0)
        before = state if start == 0 else reference[start - 1]

        def scaled(i: int, layer: int, S: Any) -> Any:
            """The value stays; its derivative is scaled where the error crosses."""
            constant = reference[start + i - 1][layer] if i else S
            return constant + window.gains[start + i] * (S - constant)

        return losses(q, ids[start : t + 1], targets[start : t + 1], before, scaled)[0][-1]

    exact = gradient(p, lambda q: sum(objective(q, t) for t in range(steps)) / (2 * steps))
    assert np.abs(into.vector - exact).max() < 1e-12 * np.abs(exact).max()


@dataclass(frozen=True)
class Fading(Truncation):
    tau: int

    def gains(self, steps: Array) -> Array:
        return np.where(steps % 4 == 0, 0.0, 1 - 1 / self.tau)


@pytest.fixture
def fading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNCATIONS, "fading", Fading)


@pytest.mark.usefixtures("fading")
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_one_of_your_own_is_checked_like_the_others(cell: str) -> None:
    own = truncation("fading", 6, tau=3, cut="constant", alpha=4.0)
    checks = list(gradcheck(small_problem((4, 3), T=6, seed=1, cell=cell), own))
    assert checks and all(check.passed for check in checks)
    assert {(check.policy, check.tau) for check in checks} == {("fading", 3)}
    with pytest.raises(ConfigError, match="tau: fading truncation needs it"):
        truncation("fading", 6)


@pytest.mark.usefixtures("fading")
def test_one_of_your_own_is_trained_with_by_its_name_alone() -> None:
    ids = np.random.default_rng(0).integers(0, 5, 200)
    gradients = []
    for name, tau in (
        ("fading", 10**9),
        ("fixed", 4),
        ("fading", 2),
    ):  # gains of almost 1 between cuts are fixed blocks
        config = Settings(
            hidden=(4,), seq_length=8, batch_size=2, truncation=name, tau=tau, dtype="float64", max_steps=9
        )
        trainer = Trainer(config, 5, Streams(ids, 2, 8))
        trainer.update()
        gradients.append(trainer.gradient.vector)
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-6, atol=1e-9)
    assert np.abs(gradients[2] - gradients[1]).max() > 0.01 * np.abs(gradients[1]).max()
