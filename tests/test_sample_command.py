"""Several temperatures, beams, and samples as data."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from calls import charrnn as command

import charrnn
from charrnn.cli.written import write_pieces
from charrnn.inference.pieces import Pieces

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
        (["--beam", "2", "--temperature", "0.5"], "--beam and --temperature"),
        (["--beam", "2", "--num-samples", "2"], "--beam and --num-samples"),
        (["--beam", "2", "--novelty", "own"], "--beam and --novelty"),
        (["--beam", "2", "--length", "0"], "--length 0"),
        (["--beam", "2", "--stop", "Ω"], "--stop 'Ω'"),
        (["--beam", "0"], "--beam"),
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
    ],
    ids=" ".join,
)
def test_every_kind_of_sample_is_data_of_one_shape(arguments: list[str]) -> None:
    done = command("sample", *arguments, "--length", "60", "--json")
    data = json.loads(done.out)
    assert done.code == 0 and set(data) == KEYS
    for sample in data["samples"]:
        assert set(sample) == {"text", "temperature", "log_probability", "novelty"} and sample["text"]
        assert (sample["log_probability"] is None) == (sample["temperature"] is not None) == ("--beam" not in arguments)
        assert (sample["novelty"] is not None) == ("--novelty" in arguments)
    assert (data["thrown_away"] is not None) == ("--pieces" in arguments)


def test_pieces_as_data_are_those_that_are_printed() -> None:
    arguments = ["sample", "lines", "--pieces", "4", "--length", "60", "--temperature", "1.5", "--seed", "2"]
    data = json.loads(command(*arguments, "--json").out)
    assert "".join(f"{sample['text']}\n" for sample in data["samples"]) == command(*arguments).out


def test_beams_are_printed_with_their_log_probabilities() -> None:
    found = charrnn.load("runs/t").beam(3, 20, "the ", stop=".")
    done = command("sample", "t", "--beam", "3", "--length", "20", "--prompt", "the ", "--stop", ".")
    assert done.code == 0
    assert done.out == "\n\n".join(f"log-probability {p:.4f} nats\nthe {text}" for text, p in found) + "\n"


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
