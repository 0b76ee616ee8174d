"""Sampling and evaluation against what the equations say."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.errors import CorpusError
from charrnn.inference.evaluation import evaluate
from charrnn.inference.gradcheck import gradcheck, problem_of, small_problem
from charrnn.inference.sampling import Choice, _picker, characters_until, sample
from charrnn.model import Model, load
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import Stack
from charrnn.network.truncation import Policy


def network(hidden: tuple[int, ...] = (8, 6), scale: float = 1.0, dtype: Any = np.float64) -> Parameters:
    parameters = initial(Architecture(7, hidden), np.random.default_rng(0), dtype)
    parameters.vector *= scale
    return parameters


def naive_A(parameters: Parameters, ids: Any) -> np.ndarray:
    """A_t (T, a) of one stream, from the document's equations."""
    H = [np.zeros(h) for h in parameters.architecture.hidden]
    A = []
    for i in ids:
        X = np.eye(parameters.architecture.symbols)[i]
        for layer in range(len(H)):
            W_x, W_hh, b = parameters.layer(layer + 1)
            H[layer] = X = np.tanh(X @ W_x + H[layer] @ W_hh + b)
        W_ha, b_a = parameters.output()
        e = np.exp(X @ W_ha + b_a)
        A.append(e / e.sum())
    return np.array(A)


IDS = np.random.default_rng(1).integers(0, 7, 1200)


def test_exact_evaluation_is_the_mean_of_the_naive_losses() -> None:
    A = naive_A(network(), IDS[:-1])
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
        A = naive_A(parameters, ids[start - before : start + 25])[before:]
        nats -= np.log(A[np.arange(25), ids[start + 1 : start + 26]]).sum()
    score = evaluate(parameters, ids, streams=4, warmup=warmup)
    np.testing.assert_allclose(score.nats_per_char, nats / 100, rtol=1e-12)


def test_streams_equal_exact_for_a_network_that_forgets_at_once() -> None:
    parameters = network()
    for layer in (1, 2):
        parameters.layer(layer)[1][...] = 0
    counted: list[int] = []
    for streams in (3, 13, 1199):
        score = evaluate(parameters, IDS, streams=streams, progress=counted.append)
        np.testing.assert_allclose(score.nats_per_char, evaluate(parameters, IDS).nats_per_char, rtol=1e-12)
        assert sum(counted) == 1199
        counted.clear()


def test_a_text_of_one_character_cannot_be_scored() -> None:
    with pytest.raises(CorpusError, match="length 1 cannot be scored"):
        evaluate(network(), IDS[:1])


def draw(choice: Choice, count: int = 400, n: int = 1, prompt: Any = (3, 1), seed: int = 5) -> np.ndarray:
    return np.array(list(islice(sample(network(), np.array(prompt), seed, choice, n), count)))


def test_greedy_takes_the_most_probable_symbol_of_the_naive_network() -> None:
    ids = [3, 1, *draw(Choice(greedy=True), 50)[:, 0]]
    assert (naive_A(network(), ids[:-1]).argmax(1)[1:] == ids[2:]).all()


@pytest.mark.parametrize("n", [1, 50])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_A_to_the_power_of_one_over_temperature(n: int, temperature: float) -> None:
    # The first symbol after a prompt, many times over: its frequencies against the naive probabilities.
    A = naive_A(network(), [3, 1])[-1] ** (1 / temperature)
    A /= A.sum()
    firsts = np.concatenate([draw(Choice(temperature), 1, n, seed=s)[0] for s in range(1500 // n)])
    frequencies = np.bincount(firsts, minlength=7) / len(firsts)
    chi2 = len(firsts) * ((frequencies - A) ** 2 / A).sum()
    assert chi2 < 22.5  # 99.9 % of six degrees of freedom


def test_every_sample_of_a_batch_goes_on_from_its_own_text() -> None:
    columns = draw(Choice(temperature=1e-9), 30, n=3)
    assert (columns == draw(Choice(greedy=True), 30)).all()


def test_top_k_and_top_p_draw_from_the_most_probable_symbols_only() -> None:
    order = np.argsort(-naive_A(network(), [3, 1])[-1])
    mass = np.sort(naive_A(network(), [3, 1])[-1])[::-1].cumsum()
    for choice, allowed in (
        (Choice(top_k=2), order[:2]),
        (Choice(top_p=float(mass[2]) - 1e-9), order[:3]),
        (Choice(top_k=1), order[:1]),
        (Choice(top_p=1e-9), order[:1]),
    ):
        firsts = {int(draw(choice, 1, seed=s)[0, 0]) for s in range(300)}
        assert firsts == set(map(int, allowed))


def test_same_seed_same_text_and_another_seed_another() -> None:
    assert (draw(Choice()) == draw(Choice())).all()
    assert (draw(Choice()) != draw(Choice(), seed=6)).any()


def test_a_sample_ends_with_the_stop_text() -> None:
    ids = ([int(i)] for i in [0, 1, 2, 1, 1, 2, 0, 0])
    assert "".join(characters_until(ids, "abc", 100, "bbc")) == "abcbbc"
    assert "".join(characters_until(([i] for i in [0, 1, 2]), "abc", 2)) == "ab"


@pytest.mark.parametrize("n", [1, 2])
def test_a_draw_next_to_one_still_takes_an_allowed_symbol(n: int) -> None:
    class AlmostOne:
        def random(self, shape: tuple[int, int]) -> Any:
            return np.full(shape, 1 - 2.0**-30)  # is 1 in single precision

    pick = _picker(Choice(top_k=1), AlmostOne(), n, 5)  # type: ignore[arg-type]
    logits = np.tile(np.array([0.1, 0.9, 0.3, 0.2, 0.1], np.float32), (n, 1))
    assert pick(logits if n > 1 else logits[0]).tolist() == [1] * n


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "identity"])
@pytest.mark.parametrize("name", ["full", "fixed", "sliding", "random"])
def test_gradcheck_passes_under_every_truncation(name: str, activation: str) -> None:
    problem = small_problem((4, 3), activation, T=5)
    checks = list(gradcheck(problem, Policy(name, 5, None if name == "full" else 2)))
    assert {check.parameter for check in checks} == set(problem.parameters)
    assert all(check.passed for check in checks)


def test_gradcheck_of_a_larger_network_looks_at_some_weights_and_one_direction() -> None:
    assert all(check.passed for check in gradcheck(problem_of(network((24,), dtype=np.float32)), Policy("full", 8)))


@pytest.mark.parametrize("name", ["full", "fixed", "sliding", "random"])
def test_gradcheck_fails_when_a_transpose_is_missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def with_W_hh_transposed(method: Any) -> Any:
        def call(stack: Stack, parameters: Parameters, *arguments: Any) -> Any:
            wrong = Parameters(parameters.architecture, vector=parameters.vector.copy())
            for index in (1, 2):
                W_hh = wrong.layer(index)[1]
                W_hh[...] = W_hh.T.copy()
            return method(stack, wrong, *arguments)

        return call

    monkeypatch.setattr(Stack, "backward", with_W_hh_transposed(Stack.backward))
    monkeypatch.setattr(Stack, "backward_by_lag", with_W_hh_transposed(Stack.backward_by_lag))
    checks = list(gradcheck(small_problem((4, 3), T=5), Policy(name, 5, None if name == "full" else 2)))
    assert not all(check.passed for check in checks)


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
