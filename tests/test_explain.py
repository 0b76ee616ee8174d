"""What is explained is what the program computes, number by number, and it can be read."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from calls import charrnn as command

import charrnn
from charrnn.errors import ConfigError
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.truncation import truncation
from charrnn.registry import CELLS
from charrnn.report.explain import lines, page
from charrnn.verify.explain import Explanation, Stage, explain


def named(stage: Stage) -> dict[str, np.ndarray]:
    return {quantity.symbol: quantity.value for quantity in stage.quantities}


@pytest.mark.parametrize("name", ["full", "fixed", "random"])
@pytest.mark.parametrize("hidden", [(3,), (2, 4, 3)])
@pytest.mark.parametrize("cell", CELLS)
def test_the_gradient_found_step_by_step_is_that_of_the_program(cell: str, hidden: tuple[int, ...], name: str) -> None:
    made = explain("hello you", hidden, cell, truncation=truncation(name, 8, tau=None if name == "full" else 3), seed=5)
    assert made.error < 1e-14
    assert made.after < made.loss


def test_every_number_follows_by_its_formula_from_those_before_it() -> None:
    """Of the document's network, recomputed from what is shown."""
    made = explain("hello", (3,), truncation=truncation("fixed", 4, tau=2))
    W = named(made.weights)
    H, sums = np.zeros(3), {name: np.zeros_like(value) for name, value in W.items()}
    shown = [named(stage) for stage in made.forward]
    for t, stage in enumerate(shown, 1):
        Z, R = stage[f"X_{t}"] @ W["W_xh1"] + W["b_h1"], H @ W["W_h1h1"]
        H = np.tanh(Z + R)
        O = H @ W["W_h1a"] + W["b_a"]  # noqa: E741  the document's symbol
        A = np.exp(O) / np.exp(O).sum()
        target = made.symbols.index(made.text[t])
        for symbol, value in (("Z", Z), ("R", R), ("H", H), ("O", O), ("A", A), ("L", -np.log(A[target]))):
            np.testing.assert_allclose(stage[f"{symbol}_{t}"], value, rtol=1e-12, atol=1e-15)
    from_next = np.zeros(3)
    for t, stage in zip(range(4, 0, -1), map(named, made.backward), strict=True):
        Y = np.eye(len(made.symbols))[made.symbols.index(made.text[t])]
        H, H_before = shown[t - 1][f"H_{t}"], shown[t - 2][f"H_{t - 1}"] if t > 1 else np.zeros(3)
        dO = (shown[t - 1][f"A_{t}"] - Y) / 4
        dH = dO @ W["W_h1a"].T + from_next
        dZ = dH * (1 - H**2)
        for symbol, value in (("dO", dO), ("dH", dH), ("dZ", dZ)):
            np.testing.assert_allclose(stage[f"{symbol}_{t}"], value, rtol=1e-12, atol=1e-15)
        from_next = dZ @ W["W_h1h1"].T if (t - 1) % 2 else np.zeros(3)  # steps 1 and 2, and 3 and 4, are the blocks
        for name, dW in (
            ("W_h1a", np.outer(H, dO)),
            ("b_a", dO),
            ("W_xh1", np.outer(shown[t - 1][f"X_{t}"], dZ)),
            ("W_h1h1", np.outer(H_before, dZ)),
            ("b_h1", dZ),
        ):
            sums[name] += dW
    for name, gradient in named(made.gradient).items():
        np.testing.assert_allclose(gradient, sums[name[1:]], rtol=1e-12, atol=1e-15)
    assert [q.formula for q in made.backward[2].quantities if q.symbol == "dH_2"] == [
        "dO_2 W_h1aᵀ (cut: nothing from step 3)"
    ]


def test_the_loss_is_the_score_of_the_model_with_these_weights() -> None:
    made = explain("banana", (4,), "gru")
    parameters = Parameters(Architecture(3, (4,), cell="gru"), np.float64)
    for quantity in made.weights.quantities:
        parameters[quantity.symbol][...] = quantity.value
    assert charrnn.Model(parameters, made.symbols).score("banana").nats_per_char == pytest.approx(made.loss, rel=1e-12)


@pytest.mark.parametrize("cell, hidden", [("rnn", (3,)), ("lstm", (8, 8)), ("gru", (3, 2))])
def test_what_is_printed_fits_80_columns_and_shows_every_quantity(cell: str, hidden: tuple[int, ...]) -> None:
    made = explain("hello world", hidden, cell)
    printed = list(lines(made))
    assert max(len(line) for line in printed if line not in made.cell.splitlines()) <= 80
    for stage in quantities(made):
        for quantity in stage.quantities:
            assert any(line.split()[:1] == [quantity.symbol] for line in printed if line.strip()), quantity.symbol


def quantities(made: Explanation) -> list[Stage]:
    return [made.weights, *made.forward, *made.backward, made.gradient]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts, self.cells, self.text = 0, 0, ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag in ("script", "img", "link")
        self.cells += tag == "td"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_every_quantity_and_escapes_what_it_is_about() -> None:
    made = explain("</b><i>", (2,))
    tags = Tags()
    tags.feed(page(made, f"On {made.text!r}"))
    assert tags.scripts == 0 and "'</b><i>'" in tags.text
    total = sum(q.value.size + 2 for stage in quantities(made) for q in stage.quantities)
    assert tags.cells == total
    assert f"{made.loss:.4f}" in tags.text


def test_the_command_prints_writes_and_gives_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    printed = command("explain", "hello", "--cell", "gru")
    assert printed.code == 0 and printed.out.splitlines() == list(lines(explain("hello", (3,), "gru")))
    data = json.loads(command("explain", "hello", "--json", "--truncation", "fixed").out)
    assert len(data["forward"]) == len(data["backward"]) == 4 and data["difference_from_program"] < 1e-14
    assert command("explain", "hello", "--write", "e.html").out == ""
    assert Path("e.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["a"], "2 to 12 characters, has 1"),
        (["abcdefghijklm"], "2 to 12 characters, has 13"),
        (["ab", "--hidden", "9"], "at most 3 layers of 8 units"),
        (["ab", "--hidden", "2,2,2,2"], "at most 3 layers of 8 units"),
        (["ab", "--truncation", "sliding"], "choose full, fixed or random"),
        (["ab", "--tau", "2"], "takes none"),
        (["ab", "--write", "e.txt"], "must end in .html"),
    ],
)
def test_what_cannot_be_followed_by_eye_is_refused_in_one_line(arguments: list[str], words: str) -> None:
    done = command("explain", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1) and words in done.err


def test_a_truncation_by_lags_is_refused_from_python() -> None:
    with pytest.raises(ConfigError, match="lag by lag"):
        explain("hello", truncation=truncation("sliding", 4, tau=2))


def test_the_steps_are_in_the_order_of_the_text_and_back() -> None:
    made = explain("hello", (2,))
    assert [stage.title.split(":")[0] for stage in made.forward] == ["step 1", "step 2", "step 3", "step 4"]
    assert all(int(a.title[5:]) == int(b.title[5:]) + 1 for a, b in pairwise(made.backward))
