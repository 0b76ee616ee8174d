"""Sampled text against what the equations say."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest
from oracle import probabilities

from charrnn.inference.sampling import Choice, Sampler, picker, until
from charrnn.network.parameters import Architecture, Parameters, initial


def network() -> Parameters:
    return initial(Architecture(7, (8, 6)), np.random.default_rng(0), np.float64)


def draw(choice: Choice, count: int = 400, n: int = 1, prompt: Any = (3, 1), seed: int = 5) -> np.ndarray:
    return np.array(list(islice(Sampler(network(), np.array(prompt), seed, choice, n), count)))


def test_greedy_takes_the_most_probable_symbol_of_the_naive_network() -> None:
    ids = [3, 1, *draw(Choice(greedy=True), 50)[:, 0]]
    assert (probabilities(network(), ids[:-1]).argmax(1)[1:] == ids[2:]).all()


@pytest.mark.parametrize("n", [1, 50])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_A_to_the_power_of_one_over_temperature(n: int, temperature: float) -> None:
    # The first symbol after a prompt, many times over: its frequencies against the naive probabilities.
    A = probabilities(network(), [3, 1])[-1] ** (1 / temperature)
    A /= A.sum()
    firsts = np.concatenate([draw(Choice(temperature), 1, n, seed=s)[0] for s in range(1500 // n)])
    frequencies = np.bincount(firsts, minlength=7) / len(firsts)
    chi2 = len(firsts) * ((frequencies - A) ** 2 / A).sum()
    assert chi2 < 22.5  # 99.9 % of six degrees of freedom


def test_every_sample_of_a_batch_goes_on_from_its_own_text() -> None:
    columns = draw(Choice(temperature=1e-4), 30, n=3)
    assert (columns == draw(Choice(greedy=True), 30)).all()


def test_top_k_and_top_p_draw_from_the_most_probable_symbols_only() -> None:
    A = probabilities(network(), [3, 1])[-1]
    order, mass = np.argsort(-A), np.sort(A)[::-1].cumsum()
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
    assert "".join(until(iter("abcbbcabc"), "bbc")) == "abcbbc"


@pytest.mark.parametrize("n", [1, 2])
def test_a_draw_next_to_one_still_takes_an_allowed_symbol(n: int) -> None:
    class AlmostOne:
        def random(self, shape: tuple[int, int]) -> Any:
            return np.full(shape, 1 - 2.0**-30)  # is 1 in single precision

    pick = picker(Choice(top_k=1), AlmostOne(), n, 5)  # type: ignore[arg-type]
    logits = np.tile(np.array([0.1, 0.9, 0.3, 0.2, 0.1], np.float32), (n, 1))
    assert pick(logits if n > 1 else logits[0]).tolist() == [1] * n
