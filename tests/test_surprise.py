"""What a network thought of each character, against the naive recursion, in files and on a terminal."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import probabilities
from test_eval_command import ROOT, TEXT, charrnn, trained

from charrnn.errors import ConfigError, CorpusError
from charrnn.inference import surprise
from charrnn.inference.scoring import evaluate
from charrnn.inference.surprise import Tally, bits, surprises
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.report.per_character import writing
from charrnn.report.surprise import joined, legend, legend_of_probabilities, shown

__all__ = ["trained"]
IDS = np.random.default_rng(1).integers(0, 7, 500)
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def network() -> Parameters:
    return initial(Architecture(7, (8, 6)), np.random.default_rng(0), np.float64)


@pytest.mark.parametrize("rows", [1, 7, 499, 4096])
def test_each_prediction_is_that_of_the_naive_recursion_whatever_the_pieces(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(surprise, "ROWS", rows)
    A = probabilities(network(), IDS[:-1])
    position = 0
    for part in surprises(network(), IDS):
        assert part.start == position + 1 and len(part.targets) <= rows
        for i, target in enumerate(part.targets):
            a = A[position]
            assert target == IDS[position + 1]
            assert part.log_probabilities[i] == pytest.approx(math.log(a[target]), rel=1e-10)
            order = sorted(range(7), key=lambda c: -a[c])
            assert part.ranks[i] == order.index(target) + 1
            assert part.alternatives[i].tolist() == order[:3]
            np.testing.assert_allclose(part.probabilities[i], a[order[:3]], rtol=1e-10)
            position += 1
    assert position == len(IDS) - 1


def test_the_tally_of_all_predictions_is_the_score_of_the_text() -> None:
    tally = Tally()
    for part in surprises(network(), IDS):
        tally.add(part)
    ours, score = tally.score(), evaluate(network(), IDS)
    assert (ours.characters, ours.accuracy) == (score.characters, score.accuracy)
    assert ours.nats_per_char == pytest.approx(score.nats_per_char, rel=1e-12)
    assert math.isnan(bits(network(), IDS)[0])
    assert np.mean(bits(network(), IDS)[1:]) == pytest.approx(score.bits_per_char, rel=1e-12)


def test_of_equals_the_smaller_id_stands_first_and_all_of_them_have_rank_one() -> None:
    zeros = Parameters(Architecture(4, (3,)), np.float64)
    (part,) = surprises(zeros, np.array([3, 3, 0]), alternatives=9)
    assert part.ranks.tolist() == [1, 1] and part.alternatives.tolist() == [[0, 1, 2, 3]] * 2
    with pytest.raises(CorpusError, match="length 1 cannot be scored"):
        next(surprises(zeros, np.array([3])))


def test_csv_and_json_lines_hold_the_same_and_any_character(tmp_path: Path) -> None:
    symbols = 'a,"\n\r🙂\ud800'
    part = next(surprises(network(), IDS))
    for suffix in (".csv", ".jsonl"):
        with writing(tmp_path / f"rows{suffix}", symbols) as write:
            write("whole", 100, part)
    with open(tmp_path / "rows.csv", encoding="utf-8", errors="surrogatepass", newline="") as file:
        table = list(csv.DictReader(file))
    lines = (tmp_path / "rows.jsonl").read_text("utf-8", "surrogatepass").split("\n")[:-1]
    assert len(table) == len(lines) == len(IDS) - 1
    for i, (row, line) in enumerate(zip(table, map(json.loads, lines), strict=True)):
        assert (row["part"], int(row["offset"]), row["character"]) == ("whole", 101 + i, symbols[IDS[i + 1]])
        assert (line["offset"], line["character"], line["rank"]) == (101 + i, row["character"], int(row["rank"]))
        assert float(row["log_probability"]) == line["log_probability"] == round(float(part.log_probabilities[i]), 6)
        assert float(row["bits"]) == line["bits"] == pytest.approx(-line["log_probability"] / math.log(2), abs=2e-6)
        pairs = [[row[f"alternative_{k}"], float(row[f"probability_{k}"])] for k in (1, 2, 3)]
        assert pairs == line["alternatives"] and pairs[0][1] >= pairs[1][1] >= pairs[2][1]


def test_a_character_held_impossible_is_null_in_json_and_a_file_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    sure = Parameters(Architecture(2, (3,)), np.float32)
    sure["b_a"][...] = [0, 500]
    (part,) = surprises(sure, np.array([0, 0, 1]))
    path = tmp_path / "rows.jsonl"
    with writing(path, "ab") as write:
        write("whole", 0, part)
    values = [json.loads(line)["log_probability"] for line in path.read_text().splitlines()]
    assert values == [None, 0]
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), writing(path, "ab") as write:
        write("whole", 0, part)
        raise KeyboardInterrupt
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigError, match=r"must end in \.csv or \.jsonl"), writing(tmp_path / "rows.txt", "ab"):
        pass


def test_a_text_is_marked_under_each_line_and_in_colour_it_is_the_same_text() -> None:
    text, surprise = "ab\tc\nd語e", [math.nan, 0.5, 1.5, 3, 5, 9, 9, 1]
    assert list(shown(text, surprise, colour=False)) == ["ab\\tc⏎", "  ..:+", "d語e", "###."]
    lines = list(shown(text, surprise, colour=True))
    assert [ESCAPE.sub("", line) for line in lines] == ["ab\\tc⏎", "d語e"]
    assert lines[0].startswith("ab\x1b[") and all(line.endswith("\x1b[0m") for line in lines)
    assert [ESCAPE.search(line[i:]) is not None for i, line in enumerate(lines)] == [True, True]
    assert "1 to 2" in legend(True) and "over 8" in legend(True)
    (control, marks) = shown("\x1b[2J", [0.0] * 4, colour=False)
    assert control == "\\x1b[2J" and marks == ""


def test_long_lines_are_broken_at_the_width_and_marks_stay_below_their_characters() -> None:
    lines = list(shown("xy" * 50, [0.0, 9.0] * 50, colour=False))
    assert lines == ["xy" * 40, " #" * 40, "xy" * 10, " #" * 10]


def test_the_legends_name_the_same_levels_in_bits_and_in_probabilities_and_fit_80_columns() -> None:
    assert legend(False) == "surprise in bits: . 1 to 2  : 2 to 4  + 4 to 8  # over 8; unmarked: below 1"
    chances = re.findall(r"<([\d.]+)%", legend_of_probabilities(False))
    assert [round(-math.log2(float(chance) / 100)) for chance in chances] == [1, 2, 4, 8]
    for colour in (False, True):
        assert all(len(ESCAPE.sub("", line)) <= 80 for line in (legend(colour), legend_of_probabilities(colour)))


def test_the_surprise_of_a_character_of_several_symbols_is_that_of_all_of_them() -> None:
    assert joined(["a", "", "é", "b"], [1.0, 2.0, 3.0, 4.0]) == (["a", "é", "b"], [1.0, 5.0, 4.0])


def test_eval_writes_the_parts_of_a_runs_own_text_at_their_places(trained: Path) -> None:
    done = charrnn("eval", "--ckpt", "run", "--per-char", "own.jsonl", "--json", "--no-yardsticks", cwd=trained)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (trained / "own.jsonl").read_text().splitlines()]
    assert all(row["character"] == TEXT[row["offset"]] for row in rows)
    for name, score in json.loads(done.stdout)["parts"].items():
        nats = [-row["log_probability"] for row in rows if row["part"] == name]
        assert len(nats) == score["characters"]
        assert np.mean(nats) == pytest.approx(score["nats_per_char"], abs=1e-6)
    whole = charrnn("eval", "text", "--ckpt", "run", "--per-char", "whole.csv", "--no-yardsticks", cwd=trained)
    assert whole.returncode == 0
    assert (trained / "whole.csv").read_text().count("\nwhole,") == len(TEXT) - 1
    wrong = charrnn("eval", "text", "--ckpt", "run", "--per-char", "whole.txt", cwd=trained)
    assert wrong.returncode == 2 and b"whole.txt: the name must end in .csv or .jsonl" in wrong.stderr


def test_colour_is_for_terminals_that_want_it_or_where_it_is_asked_for(trained: Path) -> None:
    command = ["eval", "text", "--ckpt", "run", "--no-yardsticks", "--show", "--show-length", "60"]
    piped = charrnn(*command, cwd=trained)
    assert b"\x1b" not in piped.stdout and TEXT.split("\n")[0].encode() in piped.stdout
    assert b"the first 60 of " in piped.stderr
    assert b"\x1b[" in charrnn(*command, "--color", "always", cwd=trained).stdout
    for environment, coloured in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        assert (b"\x1b[" in on_a_terminal(*command, cwd=trained, **environment)) == coloured
    assert b"\x1b[" not in on_a_terminal(*command, "--color", "never", cwd=trained)
    both = charrnn(*command, "--json", cwd=trained)
    assert both.returncode == 2 and b"only one of them" in both.stderr


def on_a_terminal(*arguments: str, cwd: Path, **environment: str) -> bytes:
    """What a command writes to a terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    base = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    settings = {**base, "PYTHONPATH": str(ROOT), "TERM": "xterm", **environment}
    command = [sys.executable, "-m", "charrnn", *arguments]
    with subprocess.Popen(command, cwd=cwd, env=settings, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        written = b""
        try:
            while data := os.read(ours, 65536):
                written += data
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert process.wait(30) == 0
    return written
