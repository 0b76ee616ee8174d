"""What `inspect` says about a network against what the equations say."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from oracle import logits, zero_state

from charrnn.errors import CorpusError
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.registry import ACTIVATIONS
from charrnn.report.lags import picture, svg
from charrnn.verify.inspection import inspect

IDS = np.random.default_rng(0).integers(0, 7, 4000)


def network(gain: float, activation: str = "identity", hidden: tuple[int, ...] = (16,)) -> Parameters:
    parameters = initial(Architecture(7, hidden, activation), np.random.default_rng(0), np.float64)
    for layer in range(1, len(hidden) + 1):
        parameters.layer(layer)["W_hh"][...] *= gain
    parameters["W_xh1"][...] *= 0.01
    return parameters


@pytest.mark.parametrize("gain", [0.8, 1.0, 1.1])
def test_in_a_linear_network_the_error_grows_by_the_gain_of_an_orthogonal_matrix_at_every_lag(gain: float) -> None:
    (report,) = inspect(network(gain), IDS, lags=40)
    np.testing.assert_allclose(report.norms, gain ** np.arange(41), rtol=1e-9)
    np.testing.assert_allclose([report.spectral_radius, report.largest_singular_value], gain, rtol=1e-9)
    # The first lag with gain^k < 1 %.
    assert report.memory == (int(np.ceil(np.log(0.01) / np.log(0.8))) if gain == 0.8 else None)


def test_error_norms_by_lag_are_those_of_each_loss_followed_back_alone() -> None:
    parameters, lags = network(1.0, "tanh", (5,)), 6
    W_hh, W_ha = parameters["W_h1h1"], parameters["W_h1a"]
    steps, streams = lags + 16, 32
    starts = np.linspace(0, len(IDS) - 1 - steps, streams).astype(int)
    ids = IDS[np.arange(steps + 1)[:, None] + starts]
    O, trace = logits(parameters, ids[:-1], zero_state(parameters, streams))  # noqa: E741
    H = [state[0] for state in trace]
    squares = np.zeros(lags + 1)
    for t in range(lags, steps):
        A = np.exp(O[t]) / np.exp(O[t]).sum(axis=1, keepdims=True)
        error = (A - np.eye(7)[ids[t + 1]]) @ W_ha.T
        for k in range(lags + 1):
            error = error * (1 - H[t - k] ** 2)
            squares[k] += (error**2).sum()
            error = error @ W_hh.T
    (report,) = inspect(parameters, IDS, lags)
    np.testing.assert_allclose(report.norms, np.sqrt(squares / squares[0]), rtol=1e-9)


def test_saturated_units_are_counted() -> None:
    parameters = network(0.0, "tanh", (10,))
    parameters.vector[...] = 0
    parameters["b_h1"][:3] = 5.0
    assert inspect(parameters, IDS, 5)[0].saturated == pytest.approx(0.3)


@pytest.mark.parametrize("cell, gates", [("gru", 3), ("lstm", 4)])
def test_saturated_gates_and_candidates_are_counted_where_their_slope_is_below_a_tenth_of_its_largest(
    cell: str, gates: int
) -> None:
    parameters = initial(Architecture(7, (10,), cell=cell), np.random.default_rng(0), np.float64)
    parameters.vector[...] = 0
    # σ′ is a tenth of 1/4 at Z = ±3.637, tanh′ a tenth of 1 at ±1.818. The candidate's b is the last.
    parameters["b_h1"][:6] = [3.6, 3.7, 9, -3.6, -3.7, -9]
    parameters["b_h1"][-5:] = [1.8, 1.81, 9, 1.85, -1.85]
    assert inspect(parameters, IDS, 5)[0].saturated == pytest.approx((4 + 3) / (10 * gates))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_steepest_slope_of_an_activation_is_the_largest_of_its_differences(name: str) -> None:
    Z = np.linspace(-6, 6, 12_001)
    H = ACTIVATIONS[name].phi(Z, np.empty_like(Z))
    assert (np.diff(H) / np.diff(Z)).max() == pytest.approx(ACTIVATIONS[name].steepest, rel=1e-6)


def test_the_pictures_of_a_vanishing_a_healthy_and_an_exploding_network_differ() -> None:
    drawn = {gain: picture(inspect(network(gain), IDS, 60)[0]) for gain in (0.8, 1.0, 1.2)}
    heights = {gain: [sum(line[8 + k] == "█" for line in drawn[gain][:-1]) for k in (0, 20, 60)] for gain in drawn}
    assert heights[1.0] == [4, 4, 4]  # decades above 10⁻⁴
    assert heights[0.8] == [4, 2, 0]  # 0.8²⁰ = 0.012, 0.8⁶⁰ = 1.5e-6
    assert heights[1.2] == [4, 5, 8]  # 1.2²⁰ = 38, 1.2⁶⁰ = 56,000
    assert [line[:8] for line in drawn[1.0]][3:5] == ["     1 ┤", " 10^-1 ┤"]
    assert drawn[1.0][3][8:] == "_" * 61  # the line at 1


def test_the_svg_is_well_formed_with_a_line_for_every_layer() -> None:
    reports = inspect(network(0.9, "tanh", (6, 4)), IDS, 20)
    root = ElementTree.fromstring(svg(reports, "a < b & c"))
    assert len(root.findall(".//{*}polyline")) == 2
    assert any(text.text == "a < b & c" for text in root.findall(".//{*}text"))


def test_a_text_too_short_for_the_lags_is_refused() -> None:
    with pytest.raises(CorpusError, match="fewer lags"):
        inspect(network(1.0), IDS[:50], 100)
