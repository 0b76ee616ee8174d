"""What a sample has in common with a text, against a slow search for substrings."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
from test_eval_command import TEXT, charrnn, trained

from charrnn.inference import novelty as module
from charrnn.inference.novelty import novelty
from charrnn.report.novelty import lines, marked
from charrnn.text.tokenizer import code_points

__all__ = ["trained"]


def slow_longest(sample: str, text: str) -> int:
    spans = [(i, j) for i in range(len(sample)) for j in range(i + 1, len(sample) + 1)]
    return max((j - i for i, j in spans if sample[i:j] in text), default=0)


def slow_passages(sample: str, text: str, length: int) -> list[tuple[int, int]]:
    inside = [False] * (len(sample) + 1)
    for i in range(len(sample) - length + 1):
        if sample[i : i + length] in text:
            inside[i : i + length] = [True] * length
    runs, start = [], None
    for i, now in enumerate(inside):
        if now and start is None:
            start = i
        if not now and start is not None:
            runs.append((start, i))
            start = None
    return runs


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 20])
@pytest.mark.parametrize("seed", range(4))
def test_everything_that_is_told_agrees_with_a_search_for_substrings(
    monkeypatch: pytest.MonkeyPatch, piece: int, seed: int
) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    draw = random.Random(seed)
    text = "".join(draw.choices("abc", k=400))
    copied = text[100 : 100 + draw.randrange(5, 60)]
    sample = "".join(draw.choices("abcd", k=30)) + copied + "".join(draw.choices("abcd", k=30)) + text[-9:]
    found = novelty(code_points(sample), code_points(text), [1, 2, 3, 5, 8], 6)
    for n, share in found.new.items():
        windows = [sample[i : i + n] for i in range(len(sample) - n + 1)]
        assert share == pytest.approx(sum(window not in text for window in windows) / len(windows))
    assert found.longest == slow_longest(sample, text)
    passage = sample[found.at : found.at + found.longest]
    assert text[found.source : found.source + found.longest] == passage
    assert found.passages == slow_passages(sample, text, 6)
    assert found.copied == sum(stop - start for start, stop in found.passages)
    assert json.loads(json.dumps(found.as_dict()))["new"]["8"] == found.new[8]


def test_a_text_against_itself_is_copied_whole_and_another_alphabet_not_at_all() -> None:
    ids = np.arange(300) % 50
    same = novelty(ids, ids)
    assert (same.longest, same.at, same.source, same.passages) == (300, 0, 0, [(0, 300)])
    assert set(same.new) == set(range(8, 13)) and set(same.new.values()) == {0.0}
    other = novelty(ids + 100, ids)
    assert (other.longest, other.passages, set(other.new.values())) == (0, [], {1.0})


@pytest.mark.parametrize("sample, text", [("", "abc"), ("abc", ""), ("", "")])
def test_an_empty_sample_or_text_has_nothing_in_common(sample: str, text: str) -> None:
    found = novelty(code_points(sample), code_points(text))
    assert (found.characters, found.longest, found.passages, found.new) == (len(sample), 0, [], {})


def test_a_text_that_repeats_one_character_takes_no_longer() -> None:
    started = time.perf_counter()
    found = novelty(np.zeros(5000, int), np.zeros(300_000, int))
    assert found.longest == 5000 and time.perf_counter() - started < 5


def test_lines_quote_the_longest_passage_and_marks_leave_the_text_as_it_is() -> None:
    text = "all the king's horses and all the king's men\n"
    sample = "xx horses and all the king's\tyy"
    found = novelty(code_points(sample), code_points(text), [8, 12], 20)
    told = lines(found, sample)
    assert "longest passage that stands in the text too: 26 characters" in told[1]
    assert repr(" horses and all the king's") in told[1] and max(map(len, told)) <= 120
    assert marked(sample, found.passages) == "xx\x1b[4m horses and all the king's\x1b[0m\tyy"
    assert marked(sample, []) == sample


def test_sample_compares_with_a_text_or_with_the_runs_own(trained: Path) -> None:
    arguments = ["sample", "--ckpt", "run", "--length", "200", "--seed", "1", "--prompt", "the "]
    plain = charrnn(*arguments, cwd=trained)
    n = len(TEXT)
    training = TEXT[: n - int(n * 0.2) - int(n * 0.1)]
    written = plain.stdout.decode()[len("the ") : -1]
    (trained / "training").write_text(training)
    expected = lines(novelty(code_points(written), code_points(training)), written)
    for corpus in ("own", "training"):
        done = charrnn(*arguments, "--novelty", corpus, cwd=trained)
        assert done.stdout == plain.stdout  # the text and nothing else
        assert done.stderr.decode().splitlines() == expected
    three = charrnn(*arguments, "--num-samples", "3", "--novelty", "own", cwd=trained)
    assert three.stderr.count(b"longest passage") == 3
    missing = charrnn(*arguments, "--novelty", "missing", cwd=trained)
    assert missing.returncode == 3 and missing.stdout == b"" and b"missing" in missing.stderr


def test_a_training_that_has_learnt_by_heart_says_what_a_sample_copies(tmp_path: Path) -> None:
    draw = random.Random(0)
    (tmp_path / "poem").write_text("".join(draw.choices("abcdefgh ", k=1500)))
    command = ["train", "poem", "--hidden", "64", "--max-steps", "120", "--batch-size", "4", "--learning-rate", "0.01"]
    done = charrnn(*command, "--out", "run", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert "by heart" in " ".join(told["verdict"])
    assert told["novelty"]["characters"] == 1000 and b"a sample of 1,000 characters" in done.stderr
    other = charrnn(*command, "--out", "none", "--no-yardsticks", "--json", cwd=tmp_path)
    assert json.loads(other.stdout)["novelty"] is None and b"a sample of" not in other.stderr
