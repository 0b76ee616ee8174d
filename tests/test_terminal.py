"""What is shown fits the terminal, and nothing that is shown can command it."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from calls import charrnn

from charrnn.cli.commands import with_flags
from charrnn.cli.display import BLOCKS, Display, bar_line, curve_line, sparkline
from charrnn.cli.main import in_own_words
from charrnn.cli.terminal import LiveLine, visible, wrapped
from charrnn.inference.scoring import Score
from charrnn.training.session import Evaluation

FIELDS = ("step 1,350", "1.345 nats", "1.940 bits", "gradient 0.52", "52,300 chars/s", "48 s left")


@pytest.mark.parametrize("width", range(4, 140))
def test_the_live_line_fits_any_width_and_keeps_the_time_left_longest(width: int) -> None:
    line = bar_line(width, 0.45, *FIELDS)
    assert len(line) <= width
    assert ("48 s left" in line) == (width >= len("48 s left"))
    here = [field in line for field in (FIELDS[5], " 45%", FIELDS[0], FIELDS[2], FIELDS[4], FIELDS[1], FIELDS[3])]
    assert here == sorted(here, reverse=True), "a field is left out only with those that matter less"


def test_at_80_columns_the_live_line_has_speed_and_time_left_and_a_bar() -> None:
    line = bar_line(79, 0.5, *FIELDS)
    assert "52,300 chars/s" in line and "48 s left" in line
    assert line.count("█") >= line.count("░") - 1 > 0


@pytest.mark.parametrize("count", [0, 1, 2, 5, 12, 400])
@pytest.mark.parametrize("width", range(4, 140, 3))
def test_the_curve_fits_any_width_and_is_left_out_whole(width: int, count: int) -> None:
    losses = [(100 * i, 3 / i) for i in range(1, count + 1)]
    line = curve_line(width, losses)
    assert len(line) <= width
    assert not line or f"best {3 / count:.4f} at step {100 * count:,}" in line
    assert bool(line) == (count > 1 and width >= 17 + len(f"  best 3.0000 at step {100 * count:,}") + min(count, 10))


def test_the_curve_shows_a_rise_after_the_best_however_steep_the_beginning_was() -> None:
    losses = [9.0, 3.0, 2.5, 2.2, 2.0, 1.9, 1.8, 1.7, 1.9, 2.1, 2.3, 2.5]
    drawn = [BLOCKS.index(block) for block in sparkline(losses, 12)]
    assert len(drawn) == len(losses) and drawn[:2] == [7, 7]
    assert drawn[7] == 0 == min(drawn)
    assert drawn[1:8] == sorted(drawn[1:8], reverse=True) and drawn[7:] == sorted(set(drawn[7:]))


def test_what_a_rollback_took_back_is_no_part_of_the_curve(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display()
    display._losses = [(10, 3.0), (20, 1.5), (30, 9.0)]
    display.show(Evaluation(20, 1.0, 2.5, Score(2.0, 0.5, 100), False, "the"))
    assert display._losses == [(10, 3.0), (20, 2.0)]
    assert "validation 2.0000 nats" in capsys.readouterr().err


def test_a_curve_of_more_losses_than_columns_has_the_mean_of_several_in_each() -> None:
    assert sparkline([1.0, 3.0, 4.0, 6.0, 2.0, 2.0], 3) == sparkline([2.0, 5.0, 2.0], 3) == "▁█▁"
    assert sparkline([1.5, 1.5], 5) == "▁▁"


def test_a_line_is_broken_between_words_and_never_within_one() -> None:
    line = "error: the path /a/very/long/path/that-has-hyphens/in-it cannot be read; check it"
    for width in range(10, 90):
        assert wrapped(line, width).split() == line.split()
    assert max(map(len, wrapped(line, 60).splitlines())) <= 60


def test_control_characters_are_escaped_and_text_is_left_alone() -> None:
    assert visible("a\x1b[31mb\x07\x00\u202e") == "a\\x1b[31mb\\x07\\x00\\u202e"
    assert visible("naïve\tΩ\n한 👩‍👩‍👧".replace("\u200d", "")) == "naïve\tΩ\n한 👩‍👩‍👧".replace("\u200d", "")


class Terminal(io.StringIO):
    """A stream that says it is a terminal of 80 columns: it has no file number, so that the width is the default."""

    def isatty(self) -> bool:
        return True


def test_a_live_line_clears_all_rows_that_a_narrower_terminal_broke_it_into(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    live = LiveLine(stream)
    live.draw("x" * 79)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((20, 9)))
    monkeypatch.setattr(Terminal, "fileno", lambda self: 2)
    live.draw("y")
    assert stream.getvalue() == "x" * 79 + "\x1b[3A\r\x1b[J" + "y"


def test_several_live_lines_are_cleared_together_from_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    live = LiveLine(stream)
    live.draw("x" * 79, "y" * 30)
    live.draw("z")
    assert stream.getvalue() == "x" * 79 + "\n" + "y" * 30 + "\x1b[1A\r\x1b[J" + "z"
    live.draw("x" * 30, "y" * 45)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((20, 9)))
    monkeypatch.setattr(Terminal, "fileno", lambda self: 2)
    live.clear()
    assert stream.getvalue().endswith("y" * 45 + "\x1b[4A\r\x1b[J")


def test_a_live_line_is_not_drawn_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    LiveLine(stream).draw("x")
    assert stream.getvalue() == ""


FLAGS = {"tau": "--tau", "max_steps": "--max-steps", "stop": "--stop", "learning_rate": "--learning-rate"}


def test_the_name_of_a_text_brings_no_control_characters_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name, run = "a\x1b[31m\x07.txt", "runs/a\x1b[31m\x07"
    Path(name).write_text("the cat sat on the mat.\n" * 40)
    small = ["--hidden", "4", "--max-steps", "2", "--threads", "1"]
    for arguments in (
        ["train", name, *small, "--dry-run"],
        ["train", name, *small],
        ["train", "--resume", run, "--max-steps", "3"],
        ["train", "--resume", run, "--print-config"],
        ["sweep", name, "--vary", "seed=1", *small],
        ["eval", run],
        ["sample", run, "--length", "5", "--show-probs"],
        ["runs"],
        ["report", run, "--out", "b\x1b.html"],
    ):
        done = charrnn(*arguments)
        assert done.code == 0, done.err
        assert not {"\x1b", "\x07"} & {*done.out, *done.err}, arguments
    assert r"runs/a\x1b[31m\x07" in charrnn("train", name, *small).err
    page = Path("b\x1b.html").read_text("utf-8")
    assert not {"\x1b", "\x07"} & {*page} and r"a\x1b[31m\x07, learning rate" in page


@pytest.mark.parametrize(
    "message, told",
    [
        ("tau 0: must be at least 1", "--tau 0: must be at least 1"),
        (
            "step 3: the loss is inf; try a smaller learning_rate",
            "step 3: the loss is inf; try a smaller --learning-rate",
        ),
        ("a.yaml, line 3: max_steps 0: must be above 0", "a.yaml, line 3: max_steps 0: must be above 0"),
        ("runs/max_steps: no run", "runs/max_steps: no run"),
        ("where to stop", "where to stop"),
        ("no Ω; stop takes other texts", "no Ω; --stop takes other texts"),
        ("--max-steps '0': must be", "--max-steps '0': must be"),
    ],
)
def test_an_error_names_the_flag_that_was_typed(message: str, told: str) -> None:
    assert with_flags(message, FLAGS) == told


@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("Invalid value for '--top-k': Input should be greater than or equal to 0", "--top-k: must be at least 0"),
        ("Invalid value for '--seed': Input should be less than or equal to 9", "--seed: must be at most 9"),
        (
            "Invalid value for '--length': Input should be a valid integer, unable to parse string as an integer",
            "--length: must be a whole number",
        ),
        (
            "Invalid value for '--top-p': Input should be a valid number, unable to parse string as a number",
            "--top-p: must be a number",
        ),
    ],
)
def test_an_error_of_a_library_is_told_in_own_words(theirs: str, ours: str) -> None:
    assert in_own_words(theirs) == ours


def test_what_training_shows_on_a_terminal_of_80_columns_has_no_torn_or_broken_line(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("the dog sat on the mat. " * 400)
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "charrnn", "train", "t.txt", "--hidden", "8", "--max-steps", "40"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=follower, stdout=follower, stdin=follower) as process:
        os.close(follower)
        shown = _read_all(leader, process)
    lines = [line.split("\r\x1b[J")[-1] for line in shown.replace("\r\n", "\n").split("\n")]
    assert process.returncode == 0
    assert [line for line in lines if re.fullmatch(r"validation \d\.\d{4} nats, .* perplexity [\d.]+", line)]
    assert max(map(len, lines)) <= 80


def _read_all(leader: int, process: subprocess.Popen[bytes]) -> str:
    data, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        ready, _, _ = select.select([leader], [], [], 0.1)
        try:
            piece = os.read(leader, 65536) if ready else b""
        except OSError:  # the other side is closed, as Linux says it
            break
        if not piece and process.poll() is not None:
            break
        data += piece
    os.close(leader)
    return data.decode()
