"""Several temperatures, beams, and samples as data."""

from __future__ import annotations

import io
import json
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn as command
from oracle import probabilities

import charrnn
from charrnn.cli.written import write_apart, write_pieces
from charrnn.inference.pieces import Pieces
from charrnn.network.parameters import Architecture, Parameters
from charrnn.registry import BYTES

SMALL: dict[str, Any] = dict(hidden=(8,), seq_length=10, batch_size=4, max_steps=20, threads=1)
KEYS = {"run", "prompt", "samples", "thrown_away", "top_k", "top_p", "repetition_penalty", "seed", "unknown"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    (folder / "t").write_text("the cat sat on the mat.\n" * 60)
    charrnn.train(folder / "t", out=folder / "runs" / "t", **SMALL)
    charrnn.train(folder / "t", out=folder / "runs" / "lines", pieces="lines", **SMALL)
    return folder


@pytest.fixture(autouse=True)
def there(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)


def test_each_temperature_writes_below_its_heading_from_the_same_seed() -> None:
    model = charrnn.load("runs/t")
    texts = [model.sample(9, "the ", temperature=t, seed=4) for t in (0.5, 1.1)] + [
        model.sample(9, "the ", greedy=True)
    ]
    done = command("sample", "t", "--temperature", "0.5,1.1,0", "--length", "9", "--prompt", "the ", "--seed", "4")
    headed = [f"temperature {t}\n\nthe {text}\n" for t, text in zip(("0.5", "1.1", "0"), texts, strict=True)]
    assert done.code == 0 and done.out == "\n".join(headed)
    same = command("sample", "t", "--temperature", "1,1", "--length", "30").out  # of one seed, whichever it is
    assert same[: len(same) // 2] == same[len(same) // 2 + 1 :]
    two = command("sample", "t", "--temperature", "0.5,1.1", "--num-samples", "2", "--length", "9", "--json")
    assert [sample["temperature"] for sample in json.loads(two.out)["samples"]] == [0.5, 0.5, 1.1, 1.1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--temperature", "0.5,x"], "--temperature 0.5,x: must be a number, or several"),
        (["--temperature", "0.5,"], "--temperature 0.5,: must be"),
        (["--temperature", "0.5,-1"], "--temperature -1: must be from"),
        (["--temperature", "nan"], "--temperature nan: must be from"),
        (["--temperature", "0.5,1", "--length", "0"], "--length 0"),
        (["--temperature", "0.5,1", "--pieces", "2"], "--pieces and several temperatures"),
        (["--temperature", "0.5,1", "-i"], "--interactive"),
        (["--temperature", "0.5,1", "--greedy"], "several temperatures and --greedy"),
        (["--temperature", "0.5,1", "--top-k", "1"], "several temperatures and --top-k 1"),
        (["--beam", "2", "--temperature", "0.5"], "--beam and --temperature"),
        (["--beam", "2", "--num-samples", "2"], "--beam and --num-samples"),
        (["--beam", "2", "--novelty", "own"], "--beam and --novelty"),
        (["--beam", "2", "--length", "0"], "--length 0"),
        (["--beam", "2", "--stop", "Ω"], "--stop 'Ω'"),
        (["--beam", "0"], "--beam"),
        (["--show-probs", "--novelty", "own"], "--show-probs and --novelty"),
        (["--show-probs", "--length", "0"], "--length 0"),
        (["--show-probs", "-i"], "--interactive"),
        (["--beam", "10001"], "--beam: must be at most 10000"),
    ],
)
def test_what_does_not_go_together_is_told(arguments: list[str], words: str) -> None:
    refused = command("sample", "t", *arguments)
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1) and words in refused.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["t"],
        ["t", "--num-samples", "3"],
        ["t", "--temperature", "0.5,0"],
        ["t", "--novelty", "own"],
        ["t", "--stop", "\\n", "--stop", "a"],
        ["lines", "--pieces", "3", "--temperature", "1.5", "--seed", "2"],
        ["t", "--beam", "3"],
        ["t", "--show-probs", "--novelty", "own"],
        ["lines", "--show-probs", "--pieces", "3", "--seed", "2"],
    ],
    ids=" ".join,
)
def test_every_kind_of_sample_is_data_of_one_shape(arguments: list[str]) -> None:
    done = command("sample", *arguments, "--length", "60", "--json")
    data = json.loads(done.out)
    assert done.code == 0 and set(data) == KEYS
    for sample in data["samples"]:
        assert set(sample) == {"text", "temperature", "log_probability", "novelty", "characters"} and sample["text"]
        assert (sample["characters"] is not None) == ("--show-probs" in arguments)
        assert (sample["log_probability"] is None) == (sample["temperature"] is not None) == ("--beam" not in arguments)
        assert (sample["novelty"] is not None) == ("--novelty" in arguments)
    assert (data["thrown_away"] is not None) == ("--pieces" in arguments)


@pytest.mark.parametrize(
    "how", [["--temperature", "0.5", "--top-k", "3"], ["--greedy"], ["--num-samples", "2", "--repetition-penalty", "2"]]
)
def test_probabilities_are_those_of_the_network_however_the_text_was_drawn(how: list[str]) -> None:
    model = charrnn.load("runs/t")
    done = command("sample", "t", "--prompt", "the ", "--length", "30", "--seed", "1", "--json", "--show-probs", *how)
    for sample in json.loads(done.out)["samples"]:
        assert "".join(one["character"] for one in sample["characters"]) == sample["text"]
        ids = model.encode("the " + sample["text"])
        A = probabilities(model.parameters, ids[:-1])[3:]
        for one, a, i in zip(sample["characters"], A, ids[4:], strict=True):
            assert one["probability"] == pytest.approx(a[i], rel=1e-4)
            assert one["rank"] == 1 + (a > a[i]).sum()
            best = sorted(range(len(a)), key=lambda k: -a[k])[:3]
            assert dict(one["alternatives"]) == pytest.approx({model.symbols[k]: a[k] for k in best}, abs=1e-5)


def test_the_probabilities_of_a_beam_and_of_a_piece_make_up_those_of_the_whole() -> None:
    arguments = ["sample", "t", "--beam", "3", "--length", "30", "--prompt", "the ", "--stop", ".", "--json"]
    for sample in json.loads(command(*arguments, "--show-probs").out)["samples"]:
        total = sum(one["log_probability"] for one in sample["characters"])
        assert total == pytest.approx(sample["log_probability"], abs=1e-4)
    model, arguments = charrnn.load("runs/lines"), ["sample", "lines", "--pieces", "3", "--prompt", "th", "--json"]
    for sample in json.loads(command(*arguments, "--show-probs").out)["samples"]:
        nats = [one["log_probability"] for one in sample["characters"]]
        # `score` reads the same piece from its beginning to its end, which the sample leaves out.
        assert nats == pytest.approx(model.score(sample["text"]).log_probabilities[:-1].tolist(), abs=1e-5)


def test_each_character_has_its_mark_below_or_its_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    model = charrnn.load("runs/t")
    drawn = ((seed, model.sample(40, "the ", temperature=0.8, seed=seed)) for seed in range(1000))
    seed, text = next((seed, text) for seed, text in drawn if "\n" not in text)
    arguments = ["sample", "t", "--prompt", "the ", "--length", "40", "--seed", str(seed), "--show-probs"]
    marks = "".join(
        " .:+#"[sum(p.probability <= 2.0**-b for b in (1, 2, 4, 8))] for p in model.predictions(text, "the ")
    )
    assert marks.strip()
    done = command(*arguments)
    legend = "probability at temperature 1: . <50%  : <25%  + <6%  # <0.4%; unmarked: more"
    assert done.out == f"the {text}\n    {marks}".rstrip() + f"\n\n{legend}\n"
    monkeypatch.setattr("charrnn.cli.terminal.colours", lambda: True)
    coloured = command(*arguments).out
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.split("\n")[0]) == f"the {text}"
    painted = "".join(m[1] for m in re.finditer(r"\x1b\[38;5;16;48;5;\d+m(.*?)\x1b\[0m", coloured.split("\n")[0]))
    assert painted == "".join(c for c, mark in zip(text, marks, strict=True) if mark != " ")


@pytest.mark.parametrize(
    "how",
    [["--num-samples", "2"], ["--beam", "2"], ["--temperature", "0.5,1"], ["--temperature", "0.7"]],
    ids=" ".join,
)
def test_with_probabilities_the_same_text_is_written_under_one_legend(how: list[str]) -> None:
    seed = [] if "--beam" in how else ["--seed", "3"]
    arguments = ["sample", "t", "--length", "30", "--prompt", "the ", *seed, *how]
    texts = [sample["text"] for sample in json.loads(command(*arguments, "--json").out)["samples"]]
    done = command(*arguments, "--show-probs")
    assert done.out.count("probability at temperature 1") == 1 and done.out.splitlines()[-1].startswith("probability")
    for text in texts:
        first = f"the {text}".replace("\n", "⏎\n").split("\n")[0]
        assert first in done.out.splitlines()


def test_what_a_model_of_bytes_or_graphemes_wrote_is_read_as_it_was_written() -> None:
    weights = Parameters(Architecture(256, (4,)), np.float64)
    weights["b_a"][[0x61, 0xC3, 0xA9]] = 9.0  # a, and the two bytes of é, in any order
    model = charrnn.Model(weights, BYTES, unit="byte")
    for text in [
        model.sample(60, "a", seed=1),
        *model.samples(3, 61, "a", seed=2, stop="aaa"),
        model.beam(2, 9, "a")[1][0],
    ]:
        found = model.predictions(text, "a")
        assert "".join(one.text for one in found) == text
        p = np.exp(9) / (3 * np.exp(9) + 253)
        assert [one.probability for one in found] == pytest.approx([p] * len(text.ids))
        assert bytes(text.ids).decode("utf-8", "replace") == text == pickle.loads(pickle.dumps(text))
    assert "\ufffd" in model.sample(60, "a", seed=1)
    joining = charrnn.Model(Parameters(Architecture(3, (4,)), np.float64), ["a", "e", "\u0301"], unit="grapheme")
    text = joining.sample(30, "a", seed=1)
    assert "e\u0301" in text  # which would be another grapheme, unknown to the model
    assert [one.symbol for one in joining.predictions(text, "a")] == list(text)


def test_pieces_as_data_are_those_that_are_printed() -> None:
    arguments = ["sample", "lines", "--pieces", "4", "--length", "60", "--temperature", "1.5", "--seed", "2"]
    data = json.loads(command(*arguments, "--json").out)
    assert "".join(f"{sample['text']}\n" for sample in data["samples"]) == command(*arguments).out


def test_beams_are_printed_with_their_log_probabilities() -> None:
    found = charrnn.load("runs/t").beam(3, 20, "the ", stop=".")
    done = command("sample", "t", "--beam", "3", "--length", "20", "--prompt", "the ", "--stop", ".")
    assert done.code == 0
    assert done.out == "\n\n".join(f"log-probability {p:.4f} nats\nthe {text}" for text, p in found) + "\n"


def test_what_was_copied_is_told_below_each_temperature() -> None:
    done = command("sample", "t", "--temperature", "0.5,1.1", "--length", "9", "--novelty", "own")
    headings = [line for line in done.err.splitlines() if line.startswith("temperature")]
    assert done.code == 0 and headings == ["temperature 0.5", "temperature 1.1"]


def test_what_is_wrong_is_said_before_anything_is_written() -> None:
    for several in ([], ["--num-samples", "2"], ["--temperature", "0.5,1"]):
        answer = command("sample", "t", "--stop", "Ω", *several)
        assert (answer.code, answer.out) == (2, "") and "'Ω' (U+03A9)" in answer.err


@pytest.mark.parametrize("kind, shown", [("lines", "a\\x1b[2J\nb\n"), ("blank", "a\\x1b[2J\n\nb\n")])
def test_pieces_on_a_terminal_have_their_control_characters_escaped(
    kind: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout", screen)
    model = charrnn.load("runs/lines")
    monkeypatch.setattr(type(model), "piece_kind", kind)
    write_pieces(model, 2, Pieces(["a\x1b[2J", "b"], 0, 0, 0), new=False, quiet=False)
    assert screen.getvalue() == shown


def test_texts_that_end_with_a_line_end_stand_one_empty_line_apart(capsys: pytest.CaptureFixture[str]) -> None:
    write_apart(["a\n", "b", "c\n"])
    assert capsys.readouterr().out == "a\n\nb\n\nc\n"
