"""Truncations by name, and one of your own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from charrnn.errors import ConfigError
from charrnn.network.buffers import Array
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
        ("random", {"tau": 0}, "tau 0: must be at least 1"),
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
    assert [gain is WHOLE for gain in Window(np.array([0.0, 1.0, 0.5]), 0, 3).crossings()] == [False, True, False]
    first, second, third = Window(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), 0, 3).crossings()
    assert first is CUT and second is WHOLE
    np.testing.assert_array_equal(third, [[1], [0]])


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
