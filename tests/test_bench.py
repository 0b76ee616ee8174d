"""The race: everybody does the same mathematics, and the figures are what they say."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from calls import charrnn as command
from oracle import random_state
from typer.testing import CliRunner

from charrnn import blas, engine
from charrnn.bench import race as race_module
from charrnn.bench import scaling as scaling_module
from charrnn.bench.breakdown import breakdown
from charrnn.bench.competitors import Shape, jax_loss, torch_loss, trainer
from charrnn.bench.race import Result, race
from charrnn.bench.scaling import ASSUMED, Parts, measured, modelled, scaling
from charrnn.cli.main import app
from charrnn.errors import CheckFailed, ConfigError
from charrnn.network import layer
from charrnn.network.buffers import Array
from charrnn.network.stack import Stack
from charrnn.training.loop import Trainer

ROOT = Path(__file__).parents[1]
SMALL = Shape((8, 8), 3, 6, symbols=7)


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Put back after each test, since `blas.configure` changes it."""
    with patch.dict(os.environ):
        yield


def problem(cell: str = "rnn") -> tuple[Any, Array, Array, float, list[Array]]:
    """Our trainer at weights and a state that are nowhere zero; its inputs, targets, loss and the states after."""
    ours = trainer(dataclasses.replace(SMALL, cell=cell))
    rng = np.random.default_rng(1)
    ours.parameters.vector[...] = rng.uniform(-0.5, 0.5, ours.parameters.vector.size)
    ours.state = [H.astype(np.float32) for H in random_state(ours.parameters, SMALL.n)]
    inputs, targets = ours.streams.read(0, 0, SMALL.T)
    result, _ = ours.loss_and_gradient()
    return ours, inputs, targets, result.loss, result.state


def assert_same(ours: Any, theirs: Any) -> None:
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5 * np.abs(ours).max())


@pytest.mark.torch
def test_pytorch_as_it_is_raced_has_our_loss_gradient_and_state() -> None:
    # Of the simple cell; tests/test_cells.py compares every cell with PyTorch's.
    import torch

    ours, inputs, targets, loss, kept = problem()
    rnn, head = torch.nn.RNN(7, 8, 2), torch.nn.Linear(8, 7)
    pairs: list[tuple[Any, Array, Array]] = []  # PyTorch's parameter, our weights, our gradient
    for i in (1, 2):
        weights, gradients = ours.parameters.layer(i), ours.gradient.layer(i)
        for theirs, name in (("weight_ih", "W_x"), ("weight_hh", "W_hh"), ("bias_ih", "b")):
            pairs.append((getattr(rnn, f"{theirs}_l{i - 1}"), weights[name].T, gradients[name].T))
        torch.nn.init.zeros_(getattr(rnn, f"bias_hh_l{i - 1}"))  # its second bias, which we do not have
    outputs = zip((head.weight, head.bias), ours.parameters.output(), ours.gradient.output(), strict=True)
    pairs += [(parameter, W.T, g.T) for parameter, W, g in outputs]
    with torch.no_grad():
        for parameter, W, _ in pairs:
            parameter.copy_(torch.from_numpy(W.copy()))
    state = torch.from_numpy(np.stack(ours.state))
    their_loss, state = torch_loss(rnn, head, torch.eye(7), state, torch.from_numpy(inputs), torch.from_numpy(targets))
    their_loss.backward()
    assert_same(loss, their_loss.detach())
    assert_same(np.stack(kept), state)
    for parameter, _, g in pairs:
        assert_same(g, parameter.grad)


def beside(S: Array) -> Array:
    """A state as it is raced, H and C beside each other."""
    return S if S.ndim == 2 else np.concatenate(list(S), axis=1)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_jax_as_it_is_raced_has_our_loss_gradient_and_state(cell: str) -> None:
    jax = pytest.importorskip("jax")
    ours, inputs, targets, loss, kept = problem(cell)

    def tree(parameters: Any) -> Any:
        none = np.zeros(8, np.float32)  # c is a GRU's alone
        layers = [tuple(parameters.layer(i).get(name, none) for name in ("W_x", "W_hh", "b", "c")) for i in (1, 2)]
        return layers, *parameters.output()

    weights = jax.tree.map(jax.numpy.array, tree(ours.parameters))
    (their_loss, states), g = jax.value_and_grad(partial(jax_loss, cell), has_aux=True)(
        weights, [beside(S) for S in ours.state], inputs, targets
    )
    assert_same(loss, their_loss)
    for S, theirs in zip(kept, states, strict=True):
        assert_same(beside(S), theirs)
    for mine, theirs in zip(jax.tree.leaves(tree(ours.gradient)), jax.tree.leaves(g), strict=True):
        assert_same(mine, theirs)


@pytest.mark.parametrize("options", [["--hidden", "8,8"], ["--hidden", "8,8", "--peers"]], ids=["alone", "peers"])
def test_a_shape_that_is_given_is_the_one_that_is_raced(monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    raced = []

    def record(shape: Shape, *_: object) -> Result:
        raced.append(shape)
        return Result(shape, {"charrnn": [0.01] * 4, "limit": [0.1] * 4})

    monkeypatch.setattr(race_module, "race", record)
    done = CliRunner().invoke(app, ["bench", *options, "--batch-size", "2", "--seq-length", "5"])
    assert done.exit_code == 0 and done.stdout
    assert raced == [Shape((8, 8), 2, 5)]


def test_peers_without_a_shape_are_raced_on_the_standard_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    raced = []

    def record(shape: Shape) -> Result:
        raced.append(shape)
        return Result(shape, {"charrnn": [0.01] * 4})

    monkeypatch.setattr(race_module, "race", record)
    assert CliRunner().invoke(app, ["bench", "--peers", "--threads", "1"]).exit_code == 0
    assert raced == [dataclasses.replace(shape, threads=1) for shape in race_module.SHAPES]


def test_the_wish_for_threads_reaches_the_product_that_is_raced(monkeypatch: pytest.MonkeyPatch) -> None:
    raced = []

    def record(shape: Shape, names: object) -> None:
        raced.append(shape)
        raise CheckFailed("enough")

    monkeypatch.setattr(race_module, "race", record)
    CliRunner().invoke(app, ["bench", "--hidden", "512", "--batch-size", "64", "--threads", "3"])
    (shape,) = raced
    assert Shape.loads(shape.dumps()) == shape
    code = "import sys; from charrnn.bench.competitors import Shape, trainer; "
    code += "print(trainer(Shape.loads(sys.argv[1])).engine.workers)"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENBLAS", "OMP"))}
    environment["PYTHONPATH"] = str(ROOT)
    shown = subprocess.check_output([sys.executable, "-c", code, shape.dumps()], env=environment, text=True)
    assert shown == "3\n"


def test_the_written_file_keeps_its_prose_and_names_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text("# Speed\n\nProse.\n\n## Measured\n\nold\n")
    shape = Shape((4,), 2, 5)
    monkeypatch.setattr(race_module, "SHAPES", [shape])
    seconds = {"charrnn": [0.01] * 4, "JAX": [0.02] * 4}
    monkeypatch.setattr(race_module, "race", lambda one: Result(one, seconds))
    assert CliRunner().invoke(app, ["bench", "--peers", "--write", str(path)]).exit_code == 0
    text = path.read_text()
    assert text.startswith("# Speed\n\nProse.\n\n## Measured\n")
    assert "old" not in text
    assert "| hidden; n; T | k chars/s | spread | × JAX | × best |\n|---|---|---|---|---|\n" in text
    assert "| 4; 2; 5 | 1.0 | 0% | 2.00 | 2.00 |" in text
    assert "PyTorch" not in text and "Sampling" not in text  # what was not raced has no column and no table
    assert ", kernel " in text


def test_ratios_shares_and_medians_are_those_of_the_seconds() -> None:
    shape = Shape((4, 3), 2, 5, symbols=7)
    assert shape.multiplications == 6 * (16 + 9 + 12 + 21) * 10
    seconds = {
        "charrnn": [1.0, 2.0, 3.0],
        "PyTorch, 1 thread": [8.0] * 3,
        "PyTorch, all cores": [6.0] * 3,
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


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_breakdown_adds_up_and_puts_the_functions_back(cell: str) -> None:
    before = layer.forward, Stack.forward
    parts = breakdown(Shape((8, 8), 4, 5, cell=cell), steps=3)
    assert (layer.forward, Stack.forward) == before
    assert {"recurrent loop, forward", "weight gradients", "softmax", "output layer's products, loss"} <= set(parts)
    assert all(seconds >= 0 for seconds in parts.values())


def test_the_breakdown_is_of_one_worker_where_training_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(*arguments: Any) -> Any:
        made.append(engine_of(*arguments))
        return made[-1]

    engine_of = engine.make
    monkeypatch.setattr(engine, "make", make)
    monkeypatch.setattr(blas, "cores", lambda: 2)
    breakdown(Shape((64,), 32, 5), steps=1)
    (one,) = made
    assert (one.shards, one.workers) == (2, 1)


@pytest.mark.torch
def test_pytorch_as_it_is_raced_learns_and_does_not_break() -> None:
    result = race(Shape((8, 8), 2, 5), ("PyTorch, 1 thread",), rounds=1)
    assert result.median("PyTorch, 1 thread") > 0


PARTS = Parts(shards=8, shard=0.010, update=0.002, addition=0.001, gradient_bytes=1000, shard_bytes=100)


def test_the_model_of_ranks_is_the_sum_of_its_parts_and_more_ranks_than_shards_bring_nothing() -> None:
    one, two, _, eight, twelve = scaling(PARTS, 12, bandwidth=1e6, latency=0.0001)
    assert [one.ranks, two.ranks, eight.ranks, twelve.ranks] == [1, 2, 8, 12]
    assert one.sending == 0 and one.seconds == pytest.approx(8 * 0.010 + 7 * 0.001 + 0.002)
    # Two vectors of 1.1 ms, a shard's job and answer of 0.1 ms each, and 0.1 ms for each of four other shards.
    assert two.sending == pytest.approx(2 * 0.0011 + 2 * 0.0001 + 4 * 0.0001)
    assert two.seconds == pytest.approx(4 * 0.010 + (3 + 1) * 0.001 + 0.002 + two.sending)
    assert eight.sending == pytest.approx(2 * 3 * 0.0011 + 14 * 0.0001 + 7 * 0.0001)
    assert twelve.seconds == eight.seconds and twelve.sending == eight.sending


def test_the_bench_of_ranks_prints_the_model_with_what_it_assumes() -> None:
    arguments = ["bench", "--hidden", "8", "--batch-size", "8", "--seq-length", "5", "--ranks", "3"]
    done = CliRunner().invoke(app, [*arguments, "--bandwidth", "2", "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [point["ranks"] for point in told["updates"]] == [1, 2, 3]
    assert told["assumed"] == {"bandwidth": 2e9, "latency": pytest.approx(50e-6)}
    parts = Parts(**told["parts"])
    assert parts.shards == 3 and parts.shard > 0 and parts.gradient_bytes == 4 * (65 * 8 + 8 * 8 + 8 + 8 * 65 + 65)
    assert told["updates"][2] == modelled(parts, 3, 2e9, 50e-6).as_dict()
    shown = CliRunner().invoke(app, arguments).stdout
    assert "assumed: links of 1.25 GB/s, 50 µs a message" in shown and all(line in shown for line in ASSUMED)


@pytest.mark.parametrize("more, line", [(["--peers"], "--ranks is a model"), (["--batch-size", "2"], "ranks 3: ")])
def test_a_model_of_ranks_that_cannot_be_is_refused(more: list[str], line: str) -> None:
    done = CliRunner().invoke(app, ["bench", "--hidden", "8", "--ranks", "3", *more])
    assert isinstance(done.exception, ConfigError) and line in str(done.exception)


def test_the_time_of_an_update_does_not_vanish_in_the_noise_of_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling_module, "MOST", 4)
    compute, calls = Trainer.loss_and_gradient, iter(range(1000))

    def slow_at_first(self: Trainer) -> Any:
        time.sleep(0.02 if next(calls) < 7 else 0)
        return compute(self)

    monkeypatch.setattr(Trainer, "loss_and_gradient", slow_at_first)
    assert measured(Shape((8,), 8, 5, 10, threads=1), 2).update > 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bandwidth", "2"],
        ["--latency", "9"],
        ["--ranks", "2", "--latency", "inf"],
        ["--ranks", "2", "--bandwidth", "inf"],
    ],
    ids=" ".join,
)
def test_a_link_without_ranks_or_without_measure_is_refused(arguments: list[str]) -> None:
    done = command("bench", "--hidden", "8", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert arguments[-2] in done.err
