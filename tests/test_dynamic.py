"""Dynamic evaluation: the loss of a network that goes on learning from what it has been scored on."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import oracle
import pytest

from charrnn.errors import CharrnnError, ConfigError, CorpusError, DivergedError
from charrnn.inference.dynamic import WINDOW, evaluate_dynamically
from charrnn.inference.scoring import evaluate
from charrnn.model import Model
from charrnn.network.parameters import Parameters
from charrnn.registry import CELLS

SYMBOLS = "abc\n"
IDS = np.random.default_rng(1).integers(0, 4, 2 * WINDOW + 9)


def in_float32(p: Parameters) -> Parameters:
    return Parameters(p.architecture, np.float32, p.vector.astype(np.float32))


@pytest.mark.parametrize("cell", CELLS)
def test_a_score_that_learns_is_that_of_a_naive_loop_with_gradients_by_complex_step(cell: str) -> None:
    p = oracle.random_parameters((3, 2), 4, cell=cell)
    theta, rate = Parameters(p.architecture, np.float64, p.vector.copy()), 0.01
    v, expected = np.zeros_like(p.vector), []
    state: Any = oracle.zero_state(p, 1)
    for k, start in enumerate(range(0, len(IDS) - 1, WINDOW), 1):
        inputs, targets = IDS[:-1][start : start + WINDOW, None], IDS[1:][start : start + WINDOW, None]
        each, trace = oracle.losses(theta, inputs, targets, state)
        expected += [-loss for loss in each]
        g = oracle.gradient(theta, lambda q, x=inputs, y=targets, s=state: sum(oracle.losses(q, x, y, s)[0]) / len(x))
        v = 0.999 * v + 0.001 * g**2
        theta.vector[:] -= rate * g / (np.sqrt(v / (1 - 0.999**k)) + 1e-8)
        state = trace[-1]
    score = evaluate_dynamically(p, IDS, rate, keep=True)
    np.testing.assert_allclose(score.log_probabilities, expected, rtol=0, atol=1e-9)
    assert score.nats_per_char == pytest.approx(-np.mean(expected))


@pytest.mark.parametrize("end", [None, 3])
def test_a_score_that_learns_next_to_nothing_is_the_plain_score(end: int | None) -> None:
    p = oracle.random_parameters((5,), 4, cell="gru")
    plain, learning = evaluate(p, IDS, keep=True, end=end), evaluate_dynamically(p, IDS, 1e-14, keep=True, end=end)
    np.testing.assert_allclose(learning.log_probabilities, plain.log_probabilities, atol=1e-10)
    assert learning.accuracy == plain.accuracy and learning.characters == plain.characters == len(IDS) - 1


def test_no_character_is_learnt_from_before_it_is_predicted() -> None:
    p = oracle.random_parameters((5,), 4)
    whole = evaluate_dynamically(p, IDS, 0.01, keep=True).log_probabilities
    for at in (3, WINDOW - 1, WINDOW, WINDOW + 1, len(IDS) - 1):
        changed = IDS.copy()
        changed[at:] = (changed[at:] + 1) % 4
        other = evaluate_dynamically(p, changed, 0.01, keep=True).log_probabilities
        assert whole is not None and other is not None
        assert (other[: at - 1] == whole[: at - 1]).all() and (other[at - 1 :] != whole[at - 1 :]).all()


def test_the_model_stays_as_it_was_and_learns_a_text_that_repeats_itself() -> None:
    p = oracle.random_parameters((12,), 4)
    model = Model(in_float32(p), SYMBOLS)
    before, text = model.parameters.vector.copy(), "abcab\n" * 100
    plain, learning = model.score(text), model.score(text, dynamic=0.01)
    assert learning.nats_per_char < 0.5 * plain.nats_per_char
    assert learning.nats_per_char == model.score(text, dynamic=0.01).nats_per_char
    assert (model.parameters.vector == before).all()


@pytest.mark.parametrize("rate", [0, -1e-4, math.nan, math.inf, "much", True])
def test_a_rate_that_is_none_is_refused_in_one_line(rate: Any) -> None:
    with pytest.raises(ConfigError, match=r"^dynamic [^\n]*$"):
        evaluate_dynamically(oracle.random_parameters((3,), 4), IDS, rate)


def test_what_does_not_go_with_learning_is_refused() -> None:
    model = Model(oracle.random_parameters((3,), 4), SYMBOLS)
    state = model.score("abc").state
    options: list[dict[str, Any]] = [{"streams": 4}, {"state": state}]
    for option in options:
        with pytest.raises(ConfigError, match="as one stream; leave state and streams out"):
            model.score("abcabc", dynamic=1e-4, **option)
    with pytest.raises(CorpusError, match="at least 2 characters"):
        model.score("a", dynamic=1e-4)


def test_a_rate_that_ruins_the_weights_is_named_in_one_line_without_a_warning() -> None:
    p = in_float32(oracle.random_parameters((3, 3), 4, "relu"))
    with warnings.catch_warnings(), pytest.raises(CharrnnError) as raised:
        warnings.simplefilter("error")
        evaluate_dynamically(p, np.tile(IDS, 4), 1e38)
    assert isinstance(raised.value, DivergedError)
    assert str(raised.value) == "dynamic evaluation at a rate of 1e+38 diverged after 32 characters; try a lower one"
