"""The engines: whoever computes the shards, the result is the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from engines import HIDDEN, batch_of, d, dropout, filled, network, outcome, same_bits, started_once
from oracle import gradient, losses, random_parameters

from charrnn import engine
from charrnn.engine.batch import Batch
from charrnn.engine.local import LocalEngine
from charrnn.engine.schedule import Schedule
from charrnn.engine.workers import WorkerEngine
from charrnn.network.parameters import Architecture, initial
from charrnn.network.products import grouping
from charrnn.network.truncation import Window, truncation

CELLS, NAMES = ["rnn", "gru", "lstm"], ["full", "fixed", "sliding", "random"]


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    with started_once() as of:
        yield of


def kinds_of_batches(n: int, cell: str) -> dict[str, Batch]:
    """Every truncation, dropout, long sequences in segments kept and run again, and the beginning of a text."""
    batches = {name: batch_of(n, name, cell=cell) for name in NAMES}
    batches |= {f"{name}, dropout": batch_of(n, name, cell=cell, dropout=dropout(1, 2)) for name in ("full", "sliding")}
    batches["segments"] = batch_of(n, steps=300, cell=cell, keep=100)
    batches["recompute"] = batch_of(n, steps=300, cell=cell, keep=100, recompute=True, dropout=dropout(7))
    batches["beginning"] = batch_of(n, cell=cell)
    batches["beginning"].state = None
    batches["a gain for each sequence"] = batch_of(n, cell=cell)
    batches["a gain for each sequence"].window = Window(np.random.default_rng(0).random((6, n)), 0, 6)
    batches["pieces"] = batch_of(n, cell=cell)
    batches["pieces"].window = Window(np.ones(6), 0, 6, None, np.random.default_rng(0).random((6, n)) < 0.4)
    return batches


ENGINES = [("rnn", shards, 2) for shards in (1, 2, 3, 4)]
ENGINES += [("rnn", 3, 3), ("rnn", 4, 3), ("gru", 3, 2), ("lstm", 3, 2), ("lstm", 4, 3)]


@pytest.mark.parametrize("cell, shards, count", ENGINES)
def test_the_bits_do_not_depend_on_who_computes_the_shards(workers: Any, cell: str, shards: int, count: int) -> None:
    local, shared = filled(LocalEngine(network(cell), np.float64, shards)), workers(cell, shards, count)
    assert (local.workers, shared.workers, shared.shards) == (1, count, shards)
    for n in (1, 3, 7, 8):  # fewer sequences than shards, uneven and even parts
        for kind, batch in kinds_of_batches(n, cell).items():
            ours, theirs = outcome(local, batch), outcome(shared, batch)
            assert same_bits(ours, theirs), (n, kind)
            assert ours[1].any() and [S.shape[-2] for S in ours[0].state or ()] == [n, n], (n, kind)


@pytest.mark.parametrize("dealt", [(0, 3), (1, 2), (2, 1), (3, 0)], ids=str)
def test_every_way_to_deal_the_shards_gives_the_same_bits(
    workers: Any, monkeypatch: pytest.MonkeyPatch, dealt: tuple[int, int]
) -> None:
    monkeypatch.setattr(Schedule, "deal", lambda schedule, shards: [range(dealt[0]), range(dealt[0], 3)])
    batch = batch_of(7, dropout=dropout(3))
    local, shared = filled(LocalEngine(network(), np.float64, 3)), workers("rnn", 3, 2)
    assert same_bits(outcome(local, batch), outcome(shared, batch))


def test_the_bits_are_the_same_for_products_in_panels_and_in_single_precision() -> None:
    architecture = Architecture(d, (128,))
    assert grouping(66, 128, 128)  # panels, where the kernel multiplies them unpacked
    local, shared = LocalEngine(architecture, np.float32, 2), WorkerEngine(architecture, np.float32, 2, 2)
    weights = initial(architecture, np.random.default_rng(0)).vector
    ids, targets = np.random.default_rng(3).integers(0, d, (2, 5, 132))
    for made in (local, shared):
        made.parameters.vector[:] = weights
    batch = Batch(ids, targets, None, truncation("full", 5).window(0, 5))
    assert same_bits(outcome(local, batch), outcome(shared, batch))
    shared.close()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cell", CELLS)
def test_the_sharded_gradient_is_that_of_the_whole_batch_to_rounding(cell: str, name: str) -> None:
    for n, shards in ((7, 2), (7, 3), (7, 4), (3, 4)):
        for kind, batch in kinds_of_batches(n, cell).items():
            if batch.dropout or (kind in NAMES and kind != name):  # each shard drops units of its own
                continue
            whole, dW = outcome(filled(LocalEngine(network(cell), np.float64, 1)), batch)
            parts, sharded = outcome(filled(LocalEngine(network(cell), np.float64, shards)), batch)
            np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-13, err_msg=kind)
            assert np.abs(sharded - dW).max() < 1e-13 * np.abs(dW).max(), kind
            for ours, theirs in zip(parts.state or (), whole.state or (), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15, err_msg=kind)


@pytest.mark.parametrize("cell", CELLS)
def test_loss_and_gradient_of_shards_are_the_mean_of_the_naive_losses_of_all_sequences(workers: Any, cell: str) -> None:
    batch, p = batch_of(7, cell=cell), random_parameters(HIDDEN, d, cell=cell)
    result, dW = outcome(workers(cell, 3, 2), batch)

    def mean(q: Any) -> Any:
        return losses(q, batch.inputs, batch.targets, batch.state or [])[0].sum() / batch.targets.size

    np.testing.assert_allclose(result.loss, mean(p), rtol=1e-13)
    exact = gradient(p, mean)
    assert np.abs(dW - exact).max() < 1e-12 * np.abs(exact).max()


def test_each_shard_drops_units_of_its_own_and_another_update_others() -> None:
    masks = [dropout(1, 2).masks(shard, 2)(0, 1, 50) for shard in (0, 1)]
    masks += [dropout(1, 3).masks(0, 2)(0, 1, 50), dropout(1, 2).masks(0, 2)(1, 1, 50)]
    for i, mask in enumerate(masks):
        assert set(np.unique(mask)) == {0, 2} and abs(mask.mean() - 1) < 0.3
        assert not any((mask == other).all() for other in masks[:i])
    assert (dropout(1, 2).masks(0, 2)(0, 1, 50) == masks[0]).all()


def test_workers_follow_the_weights(workers: Any) -> None:
    local, shared, batch = filled(LocalEngine(network(), np.float64, 3)), workers("rnn", 3, 3), batch_of(7)
    seen = []
    for _ in range(3):
        assert same_bits(outcome(local, batch), outcome(shared, batch))
        seen.append(local.gradient.vector.copy())
        for one in (local, shared):
            one.parameters.vector[:] -= one.gradient.vector
    assert not (seen[0] == seen[1]).any()


def test_there_are_workers_where_more_than_one_was_asked_for_and_no_more_than_shards(workers: Any) -> None:
    assert isinstance(engine.make(network(), np.float32, 3, 1), LocalEngine)
    assert isinstance(engine.make(network(), np.float32, 1, 8), LocalEngine)
    made = engine.make(network(), np.float32, 2, 8)
    assert isinstance(made, WorkerEngine) and (made.workers, made.shards) == (2, 2)
    made.close()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_begin_at_a_cache_line(dtype: type) -> None:
    for made in (LocalEngine(network(), dtype, 3), WorkerEngine(network(), dtype, 3, 2)):
        vectors = [made.parameters.vector, made.gradient.vector]
        assert [vector.ctypes.data % 64 for vector in vectors] == [0, 0]
        assert vectors[0].dtype == dtype and not vectors[0].any() and not np.shares_memory(*vectors)
        made.close()


def test_memory_counts_weights_gradients_and_the_buffers_of_every_worker() -> None:
    local, shared = LocalEngine(network(), np.float64, 2), WorkerEngine(network(), np.float64, 2, 2)
    vector = local.parameters.vector.nbytes
    assert (local.memory_bytes(), shared.memory_bytes()) == (3 * vector, 3 * vector)
    batch = batch_of(8, steps=300)
    for made in (local, shared):
        made.loss_and_gradient(batch)
    of_a_shard = local.memory_bytes() - 3 * vector - batch.nbytes
    assert of_a_shard > 300 * 4 * sum(HIDDEN) * 8  # the states of four sequences
    assert shared.memory_bytes() - local.memory_bytes() == of_a_shard
    shared.close()


def test_recomputing_takes_less_memory_in_every_worker() -> None:
    made = [WorkerEngine(network(), np.float64, 2, 2) for _ in range(2)]
    held = []
    for one, recompute in zip(made, (True, False), strict=True):
        one.loss_and_gradient(batch_of(8, steps=1200, recompute=recompute))
        held.append(one.memory_bytes())
        one.close()
    assert held[0] < 0.7 * held[1]


@pytest.mark.parametrize("count", range(1, 12))
def test_additions_sum_every_shard_once_in_a_tree_that_neighbours_share(count: int) -> None:
    from charrnn.engine.addition import additions, within

    tree = list(additions(0, count))
    sums = [{i} for i in range(count)]
    for addition in tree:
        assert not sums[addition.left] & sums[addition.right]
        sums[addition.left] |= sums[addition.right]
        assert sums[addition.left] == set(range(addition.left, addition.end))
    assert sums[0] == set(range(count)) and len(tree) == count - 1
    for middle in range(count + 1):  # what two workers add among their own, and what is left, is all of it once
        parts = [*within(tree, 0, middle), *within(tree, middle, count)]
        rest = [addition for addition in tree if addition not in parts]
        assert len(parts) + len(rest) == count - 1
        assert all(addition.left < middle < addition.end for addition in rest)


def test_what_only_this_process_knows_is_trained_by_it_alone() -> None:
    from charrnn.engine import make
    from charrnn.network.activations import Activation
    from charrnn.registry import ACTIVATIONS

    ACTIVATIONS["local"] = Activation(lambda Z, out: np.tanh(Z, out), lambda H, out: np.subtract(1, H * H, out))
    try:
        engine = make(Architecture(5, (64,), "local"), np.float32, 2, 2)
        assert engine.workers == 1 and engine.shards == 2
    finally:
        del ACTIVATIONS["local"]
    two = make(Architecture(5, (64,)), np.float32, 2, 2)
    assert two.workers == 2
    two.close()


def test_a_window_for_more_sequences_than_there_are_is_refused_for_any_number_of_shards() -> None:
    ids = np.zeros((3, 8), int)
    batch = Batch(ids, ids, None, Window(np.ones((3, 16)), 0, 3))
    for count in (1, 2):
        with pytest.raises(ValueError, match=r"gains must be \(3,\) or \(3, 8\) here, are \(3, 16\)"):
            LocalEngine(Architecture(4, (3,)), np.float64, count).loss_and_gradient(batch)
