"""Whatever a file or a name holds, a message is one printable line of bounded length."""

from __future__ import annotations

import pickle
import time
from pathlib import Path

import pytest

from charrnn import errors
from charrnn.errors import CharrnnError, CheckpointError, shown

HOSTILE = {
    "\x1b[2J\x1b]0;owned\x07": r"\x1b[2J\x1b]0;owned\x07",
    "a\r\nb": r"a\r\nb",
    "a\0b": r"a\x00b",
    "\u202eabc\u2066": r"\u202eabc\u2066",  # turn the direction of writing
    "\x9b31m\x85\x90": r"\x9b31m\x85\x90",  # C1 controls: 9B is ESC [
    "\ud800x\udcff": r"\ud800x\udcff",
    "\u2028\u2029\xa0": r"\u2028\u2029\xa0",
    "\ufeff\u200b\u00ad": r"\ufeff\u200b\xad",
    "\U000e0041\U0010ffff": r"\U000e0041\U0010ffff",
    "naïve 日本 \\ ' \"": "naïve 日本 \\ ' \"",  # nothing to hide
}


@pytest.mark.parametrize("text", HOSTILE)
def test_controls_are_escaped_and_other_characters_left_alone(text: str) -> None:
    assert shown(text) == HOSTILE[text]
    assert str(CheckpointError(f"{text}: no; do")) == f"{HOSTILE[text]}: no; do"


def test_every_code_point_is_shown_printable_on_one_line() -> None:
    for start in range(0, 0x110000, 0x1000):
        text = shown("".join(map(chr, range(start, start + 0x1000))), 50_000)
        assert text.isprintable()
        assert text.splitlines() == [text]


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 80, 81])
@pytest.mark.parametrize("text", ["x" * 79, "x" * 82, "x" * 1000, "\x1b" * 21, "\x1b" * 81, "\U000e0041" * 500])
def test_a_long_text_loses_its_middle(text: str, limit: int) -> None:
    escaped = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    cut = shown(text, limit)
    if len(escaped) <= limit:
        assert cut == escaped
    else:
        assert len(cut) == limit
        head, ellipsis, tail = cut.partition("…")
        assert ellipsis
        assert escaped.startswith(head)
        assert escaped.endswith(tail)
        assert 0 <= len(head) - len(tail) <= 1


def test_fifteen_megabytes_are_shown_at_once() -> None:
    text = "\x1b[31m" * 3_000_000
    started = time.perf_counter()
    assert len(shown(text)) == 80
    line = str(CheckpointError(f"{text}; use another file"))
    assert time.perf_counter() - started < 0.1
    assert len(line) <= 2_000
    assert line.endswith("; use another file")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "None"), (-1, "-1"), (b"\x1b", r"b'\x1b'"), (["\x1b"], r"['\x1b']"), (Path("a\nb"), r"a\nb")],
)
def test_other_values_are_shown_as_what_they_are(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_values_that_have_no_repr_or_a_huge_one_are_shown_all_the_same() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    circular: list[object] = []
    circular.append(circular)
    for value in (10**5_000, deep, circular, [[1] * 1000] * 1000, dict.fromkeys(map(str, range(100_000)))):
        assert 0 < len(shown(value)) <= 80


def test_every_error_of_the_package_gives_one_printable_line_and_keeps_its_message() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, CharrnnError)]
    assert len(classes) >= 8
    for kind in classes:
        error = kind("bad\n\x1b[0m; do")
        assert str(error) == r"bad\n\x1b[0m; do"
        assert error.args == ("bad\n\x1b[0m; do",)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.args) == (kind, error.args)
    assert str(CharrnnError()) == ""
