"""Pieces of text that lie one after another in a stream: each has the loss and gradient that it has alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracle import gradient, losses, random_parameters, random_state

from charrnn.network.cells.lstm import LSTM
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack
from charrnn.network.truncation import Window, truncation
from charrnn.registry import CELLS

T, n, d, HIDDEN = 6, 3, 3, (2, 2)
# Where pieces begin: the second stream begins inside a piece, and has pieces of one step; the third is one piece.
FRESH = np.zeros((T, n), bool)
FRESH[[0, 2, 3], 0] = FRESH[[2, 4, 5], 1] = True


class Learned(LSTM):
    """An lstm that learns the state that a text begins with."""

    def shapes(self, d: int, h: int) -> dict[str, tuple[int, ...]]:
        return {**super().shapes(d, h), "S_0": (2, h)}

    def begin(self, W: Any, n: int) -> Any:
        return np.repeat(W["S_0"][:, None], n, axis=1)

    def begin_gradient(self, W: Any, dS_0: Any, dW: Any) -> None:
        dW["S_0"][...] += dS_0.sum(axis=1)


@pytest.fixture(autouse=True)
def learned() -> Iterator[None]:
    CELLS["learned"] = Learned
    yield
    del CELLS["learned"]


def spans(j: int, fresh: Any = FRESH) -> list[tuple[int, int]]:
    """First step, and the one after the last, of every piece of a stream; the first may have begun before."""
    return list(pairwise(sorted({0, len(fresh), *np.flatnonzero(fresh[:, j]).tolist()})))


def problem(cell: str) -> Any:
    p = random_parameters(HIDDEN, d, cell=cell)
    ids, targets = np.random.default_rng(3).integers(0, d, (2, T, n))
    return p, ids, targets, random_state(random_parameters(HIDDEN, d, cell="lstm" if cell == "learned" else cell), n)


def begun(p: Parameters) -> list[Any]:
    return Stack(p.architecture).begin(p, 1)


def naive(p: Parameters, *arguments: Any) -> Any:
    """`oracle.losses`, which knows nothing of a learned beginning."""
    if p.architecture.cell == "learned":
        plain = Parameters(Architecture(d, HIDDEN, cell="lstm"), p.vector.dtype)
        for name in plain:
            plain[name][...] = p[name]
        p = plain
    return losses(p, *arguments)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "learned"])
@pytest.mark.parametrize("name, tau", [("full", None), ("fixed", 2), ("sliding", 3), ("random", 3)])
def test_loss_and_gradient_are_the_sums_over_the_pieces_each_alone_in_a_naive_loop(
    cell: str, name: str, tau: int | None
) -> None:
    p, ids, targets, S_0 = problem(cell)
    seed = 0 if name != "random" else 4
    window = truncation(name, T, tau=tau).draw(T, seed)
    assert name != "random" or len(set(window.gains.tolist())) == 3 - 1
    packed = Window(window.gains, 0, T, window.lags, FRESH)
    into = Parameters(p.architecture, np.float64)
    loss, state = Stack(p.architecture, np.float64).loss_and_gradient(p, ids, targets, S_0, packed, into)

    def alone(q: Parameters, j: int, start: int, stop: int) -> Any:
        """The losses of one piece (stop − start,), whose states at cuts are constants."""
        S = begun(q) if FRESH[start, j] else [s[..., j : j + 1, :] for s in S_0]
        X, Y = ids[start:stop, j : j + 1], targets[start:stop, j : j + 1]
        constant = [s.real for s in (begun(p) if FRESH[start, j] else S)]
        before = [constant, *naive(p, X, Y, constant)[1]]
        if name == "sliding":
            return sum(
                naive(q, X[max(t - 2, 0) : t + 1], Y[max(t - 2, 0) : t + 1], S if t <= 2 else before[t - 2])[0][-1]
                for t in range(stop - start)
            )

        def scaled(t: int, i: int, s: Any) -> Any:
            return s if t == 0 else before[t][i] + window.gains[start + t] * (s - before[t][i])

        return naive(q, X, Y, S, scaled)[0].sum()

    def objective(q: Parameters) -> Any:
        return sum(alone(q, j, *span) for j in range(n) for span in spans(j))

    np.testing.assert_allclose(loss, objective(p), rtol=1e-12)
    exact = gradient(p, objective) / (T * n)
    assert np.abs(into.vector - exact).max() < 1e-12 * np.abs(exact).max()
    for j in range(n):
        start, stop = spans(j)[-1]
        S = begun(p) if FRESH[start, j] else [s[..., j : j + 1, :] for s in S_0]
        last = naive(p, ids[start:stop, j : j + 1], targets[start:stop, j : j + 1], S)[1][-1]
        for ours, theirs in zip(state or (), last, strict=True):
            np.testing.assert_allclose(ours[..., j : j + 1, :], theirs, rtol=1e-12)


@pytest.mark.parametrize("recompute, lags", [(False, None), (True, None), (False, 4)])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "learned"])
@pytest.mark.parametrize("width", [1, 2])
def test_long_windows_in_segments_with_dropout_are_the_sums_over_the_pieces_too(
    cell: str, recompute: bool, lags: int | None, width: int
) -> None:
    steps, rng = 300, np.random.default_rng(0)  # segments of 64
    p = random_parameters(HIDDEN, d, cell=cell)
    p.vector *= 0.5  # or the errors of hundreds of steps grow
    ids, targets = rng.integers(0, d, (2, steps, width))
    fresh = rng.random((steps, width)) < 0.1
    fresh[0], fresh[64, 0] = True, True  # and a piece that begins with a segment
    factors = [2.0 * (rng.random((steps, width, h)) < 0.5) for h in HIDDEN]
    stack, into = Stack(p.architecture, np.float64), Parameters(p.architecture, np.float64)
    loss, _ = stack.loss_and_gradient(
        p,
        ids,
        targets,
        None,
        Window(np.ones(steps), 0, steps, lags, fresh),
        into,
        masks=lambda segment, layer, length: factors[layer - 1][64 * segment :][:length],
        recompute=recompute,
    )
    total, summed = 0.0, np.zeros_like(into.vector)
    for j in range(width):
        for start, stop in spans(j, fresh):
            own = slice(start, stop), slice(j, j + 1)
            one, _ = stack.loss_and_gradient(
                p,
                ids[own],
                targets[own],
                None,
                Window(np.ones(stop - start), 0, 1, lags),
                into_one := Parameters(p.architecture, np.float64),
                masks=lambda segment, layer, length, own=own: factors[layer - 1][own],
            )
            total, summed = total + one, summed + into_one.vector
    np.testing.assert_allclose(loss, total, rtol=1e-12)
    summed /= steps * width
    assert np.abs(into.vector - summed).max() < 1e-12 * np.abs(summed).max()


def test_a_window_without_fresh_steps_has_the_bits_of_one_that_knows_of_none() -> None:
    for cell in ("rnn", "gru", "lstm"):
        p, ids, targets, S_0 = problem(cell)
        results = []
        for fresh in (None, np.zeros((T, n), bool)):
            into = Parameters(p.architecture, np.float64)
            window = Window(np.ones(T), 0, T, None, fresh)
            loss, _ = Stack(p.architecture, np.float64).loss_and_gradient(p, ids, targets, S_0, window, into)
            results.append((loss, into.vector.tobytes()))
        assert results[0] == results[1]
