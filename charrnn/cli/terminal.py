"""What a terminal can show: its width, colours, and text without control characters."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

INDENT = 2  # columns of the second and later lines of a message


def colours(stream: TextIO | None = None) -> bool:
    """Whether `stream`, standard output unless given, is a terminal that shows colours, and NO_COLOR is not set
    (https://no-color.org)."""
    stream = stream or sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def columns(stream: TextIO) -> int:
    """The width of the terminal behind `stream`; 80 where there is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def rows(stream: TextIO) -> int:
    """The height of the terminal behind `stream`; 24 where there is none."""
    try:
        return os.get_terminal_size(stream.fileno()).lines or 24
    except (OSError, ValueError):
        return 24


def wrapped(line: str, width: int, indent: int = INDENT) -> str:
    """A line broken between words, never within one, so that it fits into `width` columns."""
    if len(line) <= width:
        return line
    return "\n".join(
        textwrap.wrap(line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    )


def say(line: str, indent: int = INDENT) -> None:
    """Prints a line on standard error, broken between words where that is a terminal; elsewhere it stays one line.

    Control characters are escaped: the name of a file in it may come from anyone.
    """
    line = visible(line)
    print(wrapped(line, columns(sys.stderr), indent) if sys.stderr.isatty() else line, file=sys.stderr, flush=True)


def tell(line: str) -> None:
    """Prints a line on standard output, as `say` does on standard error."""
    line = visible(line)
    print(wrapped(line, columns(sys.stdout), 0) if sys.stdout.isatty() else line)


def visible(text: str) -> str:
    """The text with every control character but line ends and tabs as an escape: a terminal obeys them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)


def fitting(fields: Sequence[tuple[int, str]], width: int, gap: int = 2) -> str:
    """Those of the fields (priority, text) that have room in `width` columns together, in their order.

    The field of the lowest number is the last to be left out; one that is left out takes those less important with it.
    """
    kept: list[int] = []
    for i in sorted(range(len(fields)), key=lambda i: fields[i][0]):
        if sum(len(fields[j][1]) + gap for j in [*kept, i]) - gap > width:
            break
        kept.append(i)
    return (" " * gap).join(fields[i][1] for i in sorted(kept))


class LiveLine:
    """Lines at the bottom of a terminal that are drawn anew in place, under what is printed meanwhile.

    Where `stream` is no terminal there are none, and nothing is drawn.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.shown = stream, stream.isatty()
        self._drawn: list[int] = []  # characters of each line that stands there now

    def draw(self, *lines: str) -> None:
        """Replaces the lines; each must fit into `columns` less one."""
        if self.shown:
            self.clear()
            self.stream.write("\n".join(lines))
            self.stream.flush()
            self._drawn = [len(line) for line in lines]

    def clear(self) -> None:
        """Takes the lines away, with those into which a terminal that has become narrower has broken them."""
        if self._drawn:
            width = columns(self.stream)
            above = sum(max(length - 1, 0) // width + 1 for length in self._drawn) - 1
            self.stream.write((f"\x1b[{above}A" if above else "") + "\r\x1b[J")
            self.stream.flush()
            self._drawn = []
