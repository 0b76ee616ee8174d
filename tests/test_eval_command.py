"""`charrnn eval`: a score stands beside what it can be compared with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.inference.yardsticks import yardsticks
from charrnn.text.corpus import checksum
from charrnn.text.reading import Reading
from charrnn.text.tokenizer import Tokenizer
from charrnn.text.unknown import encode_counted

ROOT = Path(__file__).parents[1]
WORDS = ["the ", "old ", "king ", "sat ", "on ", "a ", "mat.\n", "cats ", "and ", "dogs "]
TEXT = "".join(np.random.default_rng(0).choice(WORDS, 600))
SMALL = ["--hidden", "8,6", "--seq-length", "10", "--batch-size", "4", "--max-steps", "60"]


def charrnn(*arguments: str, cwd: Path, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "charrnn", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        input=stdin,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with text, and run, trained on it."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "text").write_text(TEXT)
    done = charrnn("train", "text", "--out", "run", "--test-frac", "0.2", *SMALL, cwd=directory)
    assert done.returncode == 0, done.stderr
    return directory


def told(*arguments: str, cwd: Path, stdin: bytes = b"") -> dict[str, object]:
    done = charrnn("eval", "--ckpt", "run", "--json", *arguments, cwd=cwd, stdin=stdin)
    assert done.returncode == 0, done.stderr
    values: dict[str, object] = json.loads(done.stdout)
    return values


def ids(text: str) -> tuple[np.ndarray, str]:
    symbols = "".join(sorted(set(TEXT)))
    return np.array([symbols.index(c) for c in text]), symbols


def test_the_yardsticks_learn_from_the_training_part_and_are_measured_on_the_validation_part(trained: Path) -> None:
    n = len(TEXT)
    test, validation = int(n * 0.2), int(n * 0.1)
    training = n - test - validation
    own, symbols = ids(TEXT)
    expected = yardsticks(own[:training], own[training : training + validation], Tokenizer(symbols))
    assert told(cwd=trained)["yardsticks"] == told("text", cwd=trained)["yardsticks"] == expected.as_dict()
    other, _ = ids("the king and the cats ")
    (trained / "other").write_text("the king and the cats ")
    assert told("other", cwd=trained)["yardsticks"] == yardsticks(own[:training], other, Tokenizer(symbols)).as_dict()


def test_an_evaluation_ends_with_a_verdict_and_yardsticks_can_be_left_out(trained: Path) -> None:
    values = told(cwd=trained)
    shown = charrnn("eval", "--ckpt", "run", cwd=trained).stdout.decode()
    assert values["verdict"] and shown.splitlines()[-len(values["verdict"]) :] == values["verdict"]  # type: ignore
    assert max(map(len, shown.splitlines())) <= 80 or max(map(len, values["verdict"])) > 80  # type: ignore
    assert "a uniform guess" in shown and "numbers kept" in shown
    assert told("--no-yardsticks", cwd=trained)["yardsticks"] is None
    assert "uniform" not in charrnn("eval", "--ckpt", "run", "--no-yardsticks", cwd=trained).stdout.decode()


def test_a_checkpoint_without_its_run_has_no_yardsticks_and_says_why(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes((trained / "run" / "best.npz").read_bytes())
    (tmp_path / "other").write_text("the cats and dogs")
    done = charrnn("eval", "other", "--ckpt", "c.npz", "--json", cwd=tmp_path)
    assert b"which only a run knows" in done.stderr and json.loads(done.stdout)["yardsticks"] is None
    alone = charrnn("eval", "--ckpt", "c.npz", cwd=tmp_path)
    assert alone.returncode == 2 and b"its own text is not known" in alone.stderr


def test_a_text_from_standard_input_that_the_run_has_kept_is_its_own(tmp_path: Path) -> None:
    done = charrnn("train", "-", "--out", "run", *SMALL, cwd=tmp_path, stdin=TEXT.encode())
    assert done.returncode == 0, done.stderr
    kept, piped = told(cwd=tmp_path), told("-", cwd=tmp_path, stdin=TEXT.encode())
    assert kept["parts"] == piped["parts"] and kept["yardsticks"] == piped["yardsticks"]
    (tmp_path / "run" / "ids.bin").unlink()
    gone = charrnn("eval", "--ckpt", "run", cwd=tmp_path)
    assert gone.returncode == 3 and b"came from a pipe, and is gone" in gone.stderr


@pytest.mark.parametrize("treatment, done", [("replace", "replaced"), ("skip", "skipped")])
def test_the_share_of_unknown_characters_is_told(trained: Path, treatment: str, done: str) -> None:
    text = "the Ж cat ЖЖ sat ÿЖЖЖя".encode()
    characters, foreign = len(text.decode()), sum(c not in TEXT for c in text.decode())
    values = told("-", "--unknown", treatment, "--no-yardsticks", cwd=trained, stdin=text)
    assert values["unknown"] == {
        **{"count": foreign, "characters": characters, "share": foreign / characters},
        **{"symbols": "Жÿя", "treatment": treatment},
    }
    assert values["characters"] == (characters if treatment == "replace" else characters - foreign) - 1
    shown = charrnn("eval", "-", "--ckpt", "run", "--unknown", treatment, cwd=trained, stdin=text).stdout.decode()
    line = (
        f"{foreign} of {characters} characters ({foreign / characters:.1%}) are unknown to the model and were {done}:"
    )
    assert f"{line} 'Ж' 'ÿ' 'я'" in shown


@pytest.mark.parametrize("treatment", ["replace", "skip"])
@pytest.mark.parametrize("symbols", ["abc ", "abc", "\ufffdbc"])
def test_a_text_that_is_counted_is_encoded_as_by_the_tokenizer(tmp_path: Path, treatment: str, symbols: str) -> None:
    (tmp_path / "text").write_text("a b?c🙂 ca?", encoding="utf-8")
    expected = Tokenizer(symbols).encode("a b?c🙂 ca?", unknown=treatment)
    corpus, missing = encode_counted([str(tmp_path / "text")], Reading(), Tokenizer(symbols), treatment)
    assert corpus.ids.tolist() == expected.tolist() and corpus.ids.dtype == expected.dtype
    assert corpus.sha256 == checksum([str(tmp_path / "text")])
    assert missing.count == sum(c not in symbols for c in "a b?c🙂 ca?")


def test_a_training_can_be_told_to_leave_its_yardsticks_out(tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    for option, present in (("--yardsticks", True), ("--no-yardsticks", False)):
        done = charrnn("train", "text", "--out", option[2:], "--json", option, *SMALL, cwd=tmp_path)
        assert (json.loads(done.stdout)["yardsticks"] is not None) == present
        assert (b"a uniform guess" in done.stderr) == present and b"left out" not in done.stderr


def test_yardsticks_that_take_more_than_a_tenth_of_the_training_are_left_out_and_the_training_says_so(
    tmp_path: Path,
) -> None:
    (tmp_path / "text").write_text(TEXT * 900)
    done = charrnn("train", "text", "--out", "run", "--json", *SMALL[:-1], "5", cwd=tmp_path)
    assert json.loads(done.stdout)["yardsticks"] is None
    assert b"more than a tenth of the training; charrnn eval --ckpt run measures them" in done.stderr


def test_dynamic_evaluation_stands_apart_from_the_score_and_is_better_on_the_same_text(trained: Path) -> None:
    values: Any = told("--dynamic", "3e-3", "--no-yardsticks", cwd=trained)
    plain: Any = told("--no-yardsticks", cwd=trained)
    assert plain["dynamic"] is None and values["parts"] == plain["parts"]
    assert values["dynamic"]["rate"] == 3e-3 and [*values["dynamic"]["scores"]] == ["validation", "test"]
    for name, score in values["dynamic"]["scores"].items():
        assert score["characters"] == plain["parts"][name]["characters"]
        assert score["nats_per_char"] < plain["parts"][name]["nats_per_char"]
    done = charrnn("eval", "run", "--dynamic", "3e-3", "--no-yardsticks", cwd=trained).stdout.decode()
    first = values["dynamic"]["scores"]["validation"]
    assert f"dynamic evaluation, at a rate of 0.003:\nvalidation {first['nats_per_char']:.4f} nats, " in done
    whole: Any = told("text", "--dynamic", "3e-3", "--no-yardsticks", cwd=trained)
    assert [*whole["dynamic"]["scores"]] == ["text"]


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf"])
def test_a_rate_of_dynamic_evaluation_that_cannot_be_is_one_line_and_code_2(trained: Path, rate: str) -> None:
    done = charrnn("eval", "run", "--dynamic", rate, cwd=trained)
    assert done.returncode == 2 and done.stderr.decode().startswith(f"error: --dynamic {float(rate)}: the rate must be")
