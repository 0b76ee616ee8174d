"""Every registered cell, through everything that a cell has to do: one test each, and a naive loop as the oracle."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from oracle import gradient, logits, losses, random_parameters, random_state, zero_state

from charrnn.errors import ConfigError
from charrnn.inference.sampling import Choice, Sampler, picker
from charrnn.inference.scoring import evaluate
from charrnn.network.cells import Cell, summed
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import Stack, segment_length
from charrnn.network.truncation import Random, Window, truncation
from charrnn.registry import CELLS
from charrnn.verify.gradcheck import gradcheck, small_problem
from charrnn.verify.inspection import inspect

T, n, d = 6, 3, 5
STACKS = [(4,), (4, 3)]
NAMES = ["full", "fixed", "sliding", "random"]


def program(p: Parameters, ids: Any, targets: Any, state: Any, window: Window, **options: Any) -> Any:
    """The mean loss, the gradient and the state after the last step."""
    into = Parameters(p.architecture, p.vector.dtype)
    total, kept = Stack(p.architecture, p.vector.dtype).loss_and_gradient(
        p, ids, targets, state, window, into, **options
    )
    return total / targets.size, into.vector, kept


def problem(cell: str, hidden: tuple[int, ...], steps: int = T) -> Any:
    p = random_parameters(hidden, d, cell=cell)
    ids, targets = np.random.default_rng(3).integers(0, d, (2, steps, n))
    return p, ids, targets, random_state(p, n)


@pytest.mark.parametrize("hidden", STACKS)
@pytest.mark.parametrize("cell", CELLS)
def test_loss_gradient_and_state_are_those_of_a_naive_loop(cell: str, hidden: tuple[int, ...]) -> None:
    p, ids, targets, state = problem(cell, hidden)
    loss, ours, kept = program(p, ids, targets, state, truncation("full", T).window(0, T))
    each, trace = losses(p, ids, targets, state)
    np.testing.assert_allclose(loss, each.sum() / (T * n), rtol=1e-13)
    for mine, naive in zip(kept, trace[-1], strict=True):
        np.testing.assert_allclose(mine, naive, rtol=1e-12, atol=1e-15)
    exact = gradient(p, lambda q: losses(q, ids, targets, state)[0].sum() / (T * n))
    assert np.abs(ours - exact).max() < 1e-12 * np.abs(exact).max()


@pytest.mark.parametrize("hidden", STACKS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_a_truncated_gradient_is_that_of_the_objective_whose_cut_states_are_constant(
    cell: str, name: str, hidden: tuple[int, ...]
) -> None:
    p, ids, targets, state = problem(cell, hidden)
    made = truncation(name, T, tau=None if name == "full" else 2)
    window = made.window(0, T) if name != "random" else Window(Random(T, 2).pattern(np.array([0, 0, 1, 0, 1]))[0], 0, T)
    _, reference = losses(p, ids, targets, state)

    def scaled(t: int, i: int, S: Any) -> Any:
        return S if t == 0 else reference[t - 1][i] + window.gains[t] * (S - reference[t - 1][i])

    def objective(q: Parameters) -> Any:
        if window.lags is None:
            return losses(q, ids, targets, state, scaled)[0].sum() / (T * n)
        total = 0
        for t in range(T):
            start = max(t - window.lags + 1, 0)
            before = state if start == 0 else reference[start - 1]
            total += losses(q, ids[start : t + 1], targets[start : t + 1], before)[0][-1]
        return total / (T * n)

    exact = gradient(p, objective)
    assert np.abs(program(p, ids, targets, state, window)[1] - exact).max() < 1e-12 * np.abs(exact).max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_gradcheck_passes_for_every_parameter_and_truncation(cell: str, name: str) -> None:
    small = small_problem((4, 3), T=5, cell=cell)
    checks = list(gradcheck(small, truncation(name, 5, tau=None if name == "full" else 2)))
    assert {check.parameter for check in checks} == set(small.parameters)
    assert all(check.passed for check in checks)
    assert all(check.max_relative_error < 1e-12 for check in checks if check.method == "complex-step")


@pytest.mark.parametrize("cell", CELLS)
def test_errors_cross_the_borders_of_segments_and_recomputing_gives_the_same_bits(cell: str) -> None:
    steps = 300
    p, ids, targets, state = problem(cell, (3, 4), steps)
    p.vector *= 0.5
    by_segments = program(p, ids, targets, state, truncation("full", steps).window(0, steps))
    whole = program(p, ids, targets, state, truncation("sliding", steps, tau=steps).window(0, steps))
    np.testing.assert_allclose(by_segments[1], whole[1], rtol=1e-9, atol=1e-12)
    again = program(p, ids, targets, state, truncation("full", steps).window(0, steps), recompute=True)
    assert (again[1] == by_segments[1]).all() and again[0] == by_segments[0]


@pytest.mark.parametrize("cell", CELLS)
def test_a_gain_for_each_sequence_holds_at_the_borders_of_segments_too(cell: str) -> None:
    steps, border = 260, segment_length(260)
    p, ids, targets, state = problem(cell, (2,), steps)
    gains = np.random.default_rng(6).choice([0.0, 0.3, 1.0, 1.7], (steps, n))
    gains[border] = [0.0, 1.7, 1.0]
    window = Window(gains, 0, steps)
    _, reference = losses(p, ids, targets, state)

    def scaled(t: int, i: int, S: Any) -> Any:
        return S if t == 0 else reference[t - 1][i] + gains[t][:, None] * (S - reference[t - 1][i])

    exact = gradient(p, lambda q: losses(q, ids, targets, state, scaled)[0].sum() / (steps * n))
    for recompute in (False, True):
        ours = program(p, ids, targets, state, window, recompute=recompute)[1]
        assert np.abs(ours - exact).max() < 1e-12 * np.abs(exact).max()


@pytest.mark.parametrize("cell", CELLS)
def test_single_precision_is_close_to_double(cell: str) -> None:
    exact = initial(Architecture(9, (64, 128), cell=cell), np.random.default_rng(0), np.float64)
    ids, targets = np.random.default_rng(1).integers(0, 9, (2, 5, 64))
    gradients = []
    for dtype in (np.float64, np.float32):
        p = Parameters(exact.architecture, dtype, exact.vector.astype(dtype))
        gradients.append(program(p, ids, targets, None, truncation("full", 5).window(0, 5))[1])
    assert np.abs(gradients[1] - gradients[0]).max() < 1e-5 * np.abs(gradients[0]).max()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_it_is_sampled_step_by_step_as_it_is_trained(cell: str, count: int) -> None:
    p = random_parameters((4, 3), d, cell=cell)
    drawn = np.array(list(islice(Sampler(p, np.array([2, 0]), 7, n=count), 60)))
    ids = np.concatenate([np.repeat([[2], [0]], count, axis=1), drawn])
    O, _ = logits(p, ids, zero_state(p, count))  # noqa: E741
    pick = picker(Choice(), np.random.default_rng(7), count, d)
    assert len(np.unique(drawn)) > 2
    np.testing.assert_array_equal(drawn, [pick(Z.squeeze()) for Z in O[1:-1]])


@pytest.mark.parametrize("cell", CELLS)
def test_a_sampler_goes_on_from_a_state_as_if_it_had_read_the_text_itself(cell: str) -> None:
    p = random_parameters((4, 3), d, cell=cell)
    whole = list(islice(Sampler(p, np.array([2, 0, 1]), choice=Choice(greedy=True)), 40))
    first = Sampler(p, np.array([2, 0, 1]), choice=Choice(greedy=True))
    start = list(islice(first, 15))
    rest = list(islice(Sampler(p, np.array([], int), choice=Choice(greedy=True), state=first.state), 25))
    np.testing.assert_array_equal(whole, start + rest)


@pytest.mark.parametrize("cell", CELLS)
def test_scores_in_parts_add_up_to_that_of_the_whole_and_are_the_naive_ones(cell: str) -> None:
    p = random_parameters((4, 3), d, cell=cell)
    ids = np.random.default_rng(5).integers(0, d, 90)
    whole = evaluate(p, ids, keep=True)
    each, _ = losses(p, ids[:-1, None], ids[1:, None], zero_state(p, 1))
    assert whole.log_probabilities is not None
    np.testing.assert_allclose(-whole.log_probabilities, each, rtol=1e-11)
    first = evaluate(p, ids[:30], keep=True)
    second = evaluate(p, ids[30:31], keep=True, state=first.state)
    third = evaluate(p, ids[31:], keep=True, state=second.state)
    parts = [part.log_probabilities for part in (first, second, third)]
    np.testing.assert_allclose(np.concatenate(parts), whole.log_probabilities, rtol=1e-12)  # type: ignore[arg-type]
    for ours, theirs in zip(third.state or [], whole.state or [], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_inspection_measures_every_layer(cell: str) -> None:
    p = random_parameters((6, 4), d, cell=cell)
    reports = inspect(p, np.random.default_rng(5).integers(0, d, 400), lags=10)
    assert [report.units for report in reports] == [6, 4]
    for report in reports:
        assert report.norms[0] == 1 and len(report.norms) == 11 and 0 <= report.saturated <= 1


@pytest.mark.torch
@pytest.mark.parametrize("hidden", [(6,), (6, 6)])
@pytest.mark.parametrize("cell", CELLS)
def test_losses_and_gradients_equal_those_of_torch(cell: str, hidden: tuple[int, ...]) -> None:
    import torch

    h, p, ids, targets, state = 6, *problem(cell, hidden)
    # Where torch has the columns of a gate, and its second bias, which only the GRU's candidate needs.
    order = {"rnn": [0], "gru": [0, 1, 2], "lstm": [0, 1, 3, 2]}[cell]
    columns = np.concatenate([np.arange(k * h, (k + 1) * h) for k in order])
    net = getattr(torch.nn, cell.upper())(d, h, len(hidden)).double()
    head = torch.nn.Linear(h, d).double()
    pairs: list[tuple[Any, str, Any]] = []
    for i in range(len(hidden)):
        for theirs, ours in (("weight_ih", "W_x"), ("weight_hh", "W_hh"), ("bias_ih", "b")):
            pairs.append((getattr(net, f"{theirs}_l{i}"), p.architecture.layer_names(i + 1)[ours], columns))
        second = getattr(net, f"bias_hh_l{i}")
        torch.nn.init.zeros_(second)
        if cell == "gru":
            pairs.append((second[2 * h :], f"c_h{i + 1}", slice(None)))
    pairs += [(head.weight, f"W_h{len(hidden)}a", slice(None)), (head.bias, "b_a", slice(None))]
    with torch.no_grad():
        for parameter, name, part in pairs:
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(p[name][..., part].T)))
    S = torch.from_numpy(np.stack(state))  # (L, n, h), or (L, 2, n, h) for H and C
    came_in = tuple(S.swapaxes(0, 1).contiguous()) if cell == "lstm" else S
    out, _ = net(torch.from_numpy(np.eye(d)[ids]), came_in)
    loss = torch.nn.functional.cross_entropy(head(out).reshape(-1, d), torch.from_numpy(targets.reshape(-1)))
    loss.backward()
    mean, vector, _ = program(p, ids, targets, state, truncation("full", T).window(0, T))
    np.testing.assert_allclose(mean, loss.item(), rtol=1e-12)
    g = Parameters(p.architecture, np.float64, vector)
    for parameter, name, part in pairs:
        second = getattr(net, f"bias_hh_l{int(name[-1]) - 1}").grad if name.startswith("c_") else None
        theirs = parameter.grad if second is None else second[2 * h :]
        np.testing.assert_allclose(g[name][..., part].T, theirs.numpy(), rtol=1e-9, atol=1e-14)


def test_the_forget_gate_of_an_lstm_is_open_at_the_start() -> None:
    p = initial(Architecture(d, (4, 3), cell="lstm"), np.random.default_rng(0), np.float64)
    for layer, h in ((1, 4), (2, 3)):
        np.testing.assert_array_equal(p[f"b_h{layer}"], np.repeat([0, 1, 0, 0], h))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_gated_cells_refuse_another_activation(cell: str) -> None:
    with pytest.raises(ConfigError, match="activation relu"):
        Architecture(d, (4,), "relu", cell)


class Own(Cell):
    """H_t = tanh(γ ⊙ (Z_t + R_t)): a gain γ and a learned beginning of its own."""

    def shapes(self, d: int, h: int) -> dict[str, tuple[int, ...]]:
        return {**super().shapes(d, h), "gamma": (h,), "H_0": (h,)}

    def initial(self, W: Any, fan_in: int, fill: Any, rng: Any) -> None:
        super().initial(W, fan_in, fill, rng)
        W["gamma"][...] = 1

    def begin(self, W: Any, n: int) -> Any:
        return np.repeat(W["H_0"][None], n, axis=0)

    def begin_gradient(self, W: Any, dS_0: Any, dW: Any) -> None:
        dW["H_0"][...] += dS_0.sum(axis=0)

    keeps = ("Z",)

    def step(self, W: Any, Z: Any, R: Any, S: Any, out: Any) -> None:
        np.add(Z, R, Z)
        np.tanh(W["gamma"] * Z, out)

    slopes_per_unit = 2

    def slopes(self, W: Any, Z: Any, R: Any, S: Any, out: Any, K: Any) -> None:
        np.multiply(1 - out**2, W["gamma"], K[0])
        np.multiply(1 - out**2, Z, K[1])

    one_error = True

    def pull(self, W: Any, dS: Any, K: Any, dZ: Any, dR: Any, direct: Any) -> None:
        np.multiply(dS, K[0], dZ)

    def own_gradients(self, W: Any, dS: Any, K: Any, dZ: Any, dR: Any, dW: Any) -> None:
        dW["gamma"][...] += summed(dS * K[1])

    def saturated(self, Z: Any, S: Any) -> float:
        return 0.0


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(CELLS)
    CELLS["own"] = Own
    yield
    del CELLS["own"]
    assert dict(CELLS) == before


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("name", NAMES)
def test_a_cell_with_parameters_and_a_beginning_of_its_own_is_checked_saved_and_begun_with_nothing_else_changed(
    name: str,
) -> None:
    small = small_problem((4, 3), T=5, cell="own")
    checks = list(gradcheck(small, truncation(name, 5, tau=None if name == "full" else 2)))
    assert {"gamma_h1", "H_0_h1", "gamma_h2", "H_0_h2"} <= {check.parameter for check in checks}
    assert all(check.passed for check in checks)
    started = initial(small.parameters.architecture, np.random.default_rng(0), np.float64)
    assert (started["gamma_h1"] == 1).all()
    np.testing.assert_array_equal(
        Stack(started.architecture, np.float64).begin(small.parameters, 2)[0],
        small.parameters["H_0_h1"][None].repeat(2, 0),
    )


@pytest.mark.usefixtures("own")
def test_a_learned_beginning_of_a_long_sequence_has_the_gradient_of_a_naive_loop() -> None:
    steps = 260
    assert segment_length(steps) < steps
    p = Parameters(Architecture(d, (3, 2), cell="own"), np.float64)
    p.vector[:] = np.random.default_rng(3).standard_normal(p.vector.size) * 0.5
    ids, targets = np.random.default_rng(3).integers(0, d, (2, steps, n))

    def mean_loss(q: Parameters) -> Any:
        H, total = [np.repeat(q.layer(i)["H_0"][None], n, axis=0) for i in (1, 2)], 0
        W_ha, b_a = q.output()
        for x, y in zip(ids, targets, strict=True):
            X = np.eye(d)[x]
            for i in (1, 2):
                W = q.layer(i)
                X = H[i - 1] = np.tanh(W["gamma"] * (X @ W["W_x"] + W["b"] + H[i - 1] @ W["W_hh"]))
            Z = X @ W_ha + b_a
            total += (np.log(np.exp(Z).sum(1)) - Z[np.arange(n), y]).sum()
        return total / (steps * n)

    exact = gradient(p, mean_loss)
    for recompute in (False, True):
        window = truncation("full", steps).window(0, steps)
        loss, ours, _ = program(p, ids, targets, None, window, recompute=recompute)
        np.testing.assert_allclose(loss, mean_loss(p), rtol=1e-12)
        assert np.abs(ours - exact).max() < 1e-12 * np.abs(exact).max()
        for name in ("H_0_h1", "H_0_h2"):  # small beside the rest, so compared on their own
            mine, theirs = (Parameters(p.architecture, np.float64, g)[name] for g in (ours, exact))
            np.testing.assert_allclose(mine, theirs, rtol=1e-9)
            assert np.abs(theirs).min() > 0


class WrongSlope(Own):
    """Forgets γ in the derivative."""

    def slopes(self, W: Any, Z: Any, R: Any, S: Any, out: Any, K: Any) -> None:
        super().slopes(W, Z, R, S, out, K)
        K[0] /= W["gamma"]


class WrongGain(Own):
    """Forgets the gradient of γ."""

    def own_gradients(self, W: Any, dS: Any, K: Any, dZ: Any, dR: Any, dW: Any) -> None:
        return


class WrongBeginning(Own):
    """Forgets half of the gradient of H_0."""

    def begin_gradient(self, W: Any, dS_0: Any, dW: Any) -> None:
        dW["H_0"][...] += dS_0.sum(axis=0) / 2


class WrongShape(Own):
    """Two gates' worth of W_hh for one gate."""

    def shapes(self, d: int, h: int) -> dict[str, tuple[int, ...]]:
        return {**super().shapes(d, h), "W_hh": (h, 2 * h)}


class Overwrites(Own):
    """Destroys S_{t-1}."""

    def step(self, W: Any, Z: Any, R: Any, S: Any, out: Any) -> None:
        super().step(W, Z, R, S, out)
        S[...] = 0


class Forgets(Own):
    """Reads Z in slopes without keeping it."""

    keeps = ()


class InPlace(Own):
    """Lets dZ be written over dS, and then needs dS for the gradient of γ."""

    in_place = True


class Rowwise(Own):
    """Takes the second axis for that of the units, which it is for a single step only."""

    def own_gradients(self, W: Any, dS: Any, K: Any, dZ: Any, dR: Any, dW: Any) -> None:
        dW["gamma"][...] += (dS * K[1]).sum(axis=0) if dS.ndim == 2 else 0


@pytest.mark.parametrize(
    "cell, words",
    [
        (Forgets, "its `keeps` does not name"),
        (InPlace, "the gradient of gamma differs"),
        (Rowwise, "the gradient of gamma differs"),
        (WrongSlope, "dZ differs"),
        (WrongGain, "the gradient of gamma differs"),
        (WrongBeginning, "the gradient of H_0 differs"),
        (WrongShape, "W_hh"),
        (Overwrites, "overwrites"),
        (object, "must be a"),
    ],
)
def test_a_cell_that_breaks_the_contract_is_refused_when_it_is_registered(cell: Any, words: str) -> None:
    make = cell if cell is not object else lambda activation: object()
    with pytest.raises((TypeError, ValueError), match=words):
        CELLS["broken"] = make
    assert "broken" not in CELLS


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_cells_of_the_package_keep_their_own_contract(cell: str) -> None:
    from charrnn.network.cells.contract import check

    check(cell, CELLS[cell])
