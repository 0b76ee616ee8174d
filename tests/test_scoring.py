"""The loss on a text against what the equations say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from oracle import probabilities

from charrnn.errors import CorpusError
from charrnn.inference.scoring import evaluate
from charrnn.model import Model, load
from charrnn.network.parameters import Architecture, Parameters, initial

IDS = np.random.default_rng(1).integers(0, 7, 1200)


def network(hidden: tuple[int, ...] = (8, 6)) -> Parameters:
    return initial(Architecture(7, hidden), np.random.default_rng(0), np.float64)


def test_exact_evaluation_is_the_mean_of_the_naive_losses() -> None:
    A = probabilities(network(), IDS[:-1])
    score = evaluate(network(), IDS)
    np.testing.assert_allclose(score.nats_per_char, -np.log(A[np.arange(1199), IDS[1:]]).mean(), rtol=1e-12)
    assert score.accuracy == (A.argmax(1) == IDS[1:]).mean()
    assert score.characters == 1199


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("streams", [2, 3, 7, 64, 5000])
def test_many_streams_predict_each_character_once_and_agree_when_warmed_up_from_the_start(
    streams: int, workers: int
) -> None:
    exact = evaluate(network(), IDS)
    score = evaluate(network(), IDS, streams=streams, workers=workers)
    assert score.characters == exact.characters
    assert abs(score.nats_per_char - exact.nats_per_char) < 1e-3 * np.log(2)


def test_each_part_is_scored_after_its_own_warm_up_and_the_first_from_nothing() -> None:
    parameters, ids, warmup = network(), IDS[:101], 7
    nats = 0.0
    for start in range(0, 100, 25):
        before = min(warmup, start)
        A = probabilities(parameters, ids[start - before : start + 25])[before:]
        nats -= np.log(A[np.arange(25), ids[start + 1 : start + 26]]).sum()
    score = evaluate(parameters, ids, streams=4, warmup=warmup)
    np.testing.assert_allclose(score.nats_per_char, nats / 100, rtol=1e-12)


def test_streams_equal_exact_for_a_network_that_forgets_at_once() -> None:
    parameters = network()
    for layer in (1, 2):
        parameters.layer(layer)["W_hh"][...] = 0
    counted: list[int] = []
    for streams in (3, 13, 1199):
        score = evaluate(parameters, IDS, streams=streams, progress=counted.append)
        np.testing.assert_allclose(score.nats_per_char, evaluate(parameters, IDS).nats_per_char, rtol=1e-12)
        assert sum(counted) == 1199
        counted.clear()


def test_what_goes_on_from_a_state_counts_every_right_prediction_its_first_included() -> None:
    right = probabilities(network(), IDS[:-1]).argmax(1) == IDS[1:]
    assert 0 < right[:300].sum() < 300
    for border in (int(right[9:].argmax()) + 10, int(right[9:].argmin()) + 10):  # the first is right; it is wrong
        state = evaluate(network(), IDS[:border]).state
        for stop in (border + 1, border + 2, 300):
            score = evaluate(network(), IDS[border:stop], state=state)
            assert score.accuracy == right[border - 1 : stop - 1].mean()
            assert score.characters == stop - border


def test_a_text_of_one_character_cannot_be_scored() -> None:
    with pytest.raises(CorpusError, match="length 1 cannot be scored"):
        evaluate(network(), IDS[:1])


def test_a_network_rebuilt_from_its_file_in_plain_numpy_gives_the_same_loss(tmp_path: Path) -> None:
    parameters = network((9, 5))
    Model(parameters, "abcdefg").save(tmp_path / "c.npz")
    W = np.load(tmp_path / "c.npz", allow_pickle=False)
    H1, H2, nats = np.zeros(9), np.zeros(5), 0.0
    for x, y in pairwise(IDS):
        H1 = np.tanh(W["W_xh1"][x] + H1 @ W["W_h1h1"] + W["b_h1"])
        H2 = np.tanh(H1 @ W["W_h1h2"] + H2 @ W["W_h2h2"] + W["b_h2"])
        Z = H2 @ W["W_h2a"] + W["b_a"]
        nats += np.log(np.exp(Z).sum()) - Z[y]
    loaded = load(tmp_path / "c.npz")
    np.testing.assert_allclose(evaluate(loaded.parameters, IDS).nats_per_char, nats / (len(IDS) - 1), rtol=1e-12)
    assert (bytes(W["vocabulary"].astype(np.uint8)).decode(), loaded.symbols) == ("abcdefg", "abcdefg")


@pytest.mark.torch
def test_a_network_rebuilt_from_its_file_as_torch_rnn_gives_the_same_loss(tmp_path: Path) -> None:
    import torch

    Model(network((6, 6)), "abcdefg").save(tmp_path / "c.npz")
    W = {k: torch.from_numpy(v) for k, v in np.load(tmp_path / "c.npz").items() if v.dtype == np.float64}
    rnn = torch.nn.RNN(7, 6, 2).double()
    zero = torch.zeros(6, dtype=torch.float64)
    rnn.load_state_dict(
        {
            "weight_ih_l0": W["W_xh1"].T,
            "weight_hh_l0": W["W_h1h1"].T,
            "bias_ih_l0": W["b_h1"],
            "bias_hh_l0": zero,
            "weight_ih_l1": W["W_h1h2"].T,
            "weight_hh_l1": W["W_h2h2"].T,
            "bias_ih_l1": W["b_h2"],
            "bias_hh_l1": zero,
        }
    )
    H, _ = rnn(torch.from_numpy(np.eye(7)[IDS[:-1]]))
    loss = torch.nn.functional.cross_entropy(H @ W["W_h2a"] + W["b_a"], torch.from_numpy(IDS[1:]))
    exact = evaluate(load(tmp_path / "c.npz").parameters, IDS)
    np.testing.assert_allclose(exact.nats_per_char, loss.item(), rtol=1e-12)


def test_the_bits_of_a_score_do_not_depend_on_the_number_of_workers() -> None:
    exact, ids = network(), np.random.default_rng(2).integers(0, 7, 40_000)
    parameters = Parameters(exact.architecture, np.float32, exact.vector.astype(np.float32))
    one, *others = (evaluate(parameters, ids, streams=100, workers=workers, keep=True) for workers in (1, 2, 3, 7))
    for other in others:
        assert other == one
        np.testing.assert_array_equal(other.log_probabilities, one.log_probabilities)
