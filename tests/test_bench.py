"""The race: everybody does the same mathematics, and the figures are what they say."""

from __future__ import annotations

import pytest

from charrnn.bench.breakdown import breakdown
from charrnn.bench.competitors import Shape
from charrnn.bench.race import Result, race
from charrnn.errors import CheckFailed


def test_ratios_shares_and_medians_are_those_of_the_seconds() -> None:
    shape = Shape((4, 3), 2, 5, symbols=7)
    assert shape.multiplications == 6 * (16 + 9 + 12 + 21) * 10
    seconds = {
        "charrnn": [1.0, 2.0, 3.0],
        "PyTorch, 1 thread": [8.0] * 3,
        "PyTorch, 2 threads": [6.0] * 3,
        "JAX": [4.0] * 3,
        "limit": [2 * 2048**3 / 1740] * 3,
    }
    result = Result(shape, seconds)
    assert (result.times("PyTorch"), result.times("JAX"), result.times("")) == (3.0, 2.0, pytest.approx(2.0))
    assert result.characters_per_second == 5.0
    assert result.limit_share == pytest.approx(1.0)
    assert result.possible == pytest.approx(3.0)


def test_the_product_and_the_limit_take_turns() -> None:
    result = race(Shape((8,), 2, 5), ("charrnn", "limit"), rounds=2)
    assert all(len(result.seconds[name]) >= 4 for name in ("charrnn", "limit"))


def test_a_competitor_that_breaks_is_named() -> None:
    with pytest.raises(CheckFailed, match="charrnn on 0; 2; 5"):
        race(Shape((0,), 2, 5), ("charrnn",), rounds=1)


def test_the_breakdown_adds_up_and_puts_the_functions_back() -> None:
    from charrnn.network.cells.rnn import RNN

    before = RNN.forward
    parts = breakdown(Shape((8, 8), 4, 5), None, steps=3)
    assert RNN.forward is before
    assert {"recurrent loop, forward", "weight gradients", "softmax and loss"} <= set(parts)
    assert all(seconds >= 0 for seconds in parts.values())


@pytest.mark.torch
def test_pytorch_as_it_is_raced_learns_and_does_not_break() -> None:
    result = race(Shape((8, 8), 2, 5), ("PyTorch, 1 thread",), rounds=1)
    assert result.median("PyTorch, 1 thread") > 0
