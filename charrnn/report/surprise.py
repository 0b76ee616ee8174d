"""A text whose characters show how much each surprised a network: in colour, or with marks under each line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

LEVELS = (1.0, 2.0, 4.0, 8.0)  # bits from which a character is marked, and marked more strongly
# Black on a ground of its own, which reads the same on a dark and on a light terminal (256 colours).
GROUNDS = (None, 230, 222, 215, 203)
MARKS = " .:+#"
WIDTH = 80  # columns of a line, at most


def level(bits: float) -> int:
    """0 for a character that was expected or not predicted (NaN), 4 for one that was hardly thought possible."""
    return sum(bits >= bound for bound in LEVELS)


def joined(text: Iterable[str], bits: Iterable[float]) -> tuple[list[str], list[float]]:
    """Characters and their surprise, of the symbols' texts, of which "" is that of a byte within a character.

    The surprise of a character is that of all its bytes.
    """
    texts: list[str] = []
    surprise: list[float] = []
    waiting = 0.0
    for part, value in zip(text, bits, strict=False):
        waiting += value
        if part:
            texts.append(part)
            surprise.append(waiting)
            waiting = 0.0
    return texts, surprise


def shown(text: Iterable[str], bits: Sequence[float], *, colour: bool, width: int = WIDTH) -> Iterator[str]:
    """The lines of a text of characters, of which each has its surprise in bits; without colour, each with its marks
    in a line below.

    A line end is shown as ⏎, another character that does not print by its escape.
    """
    cells: list[tuple[str, int]] = []
    filled = 0
    for character, surprise in zip(text, bits, strict=True):
        cell, strength = drawn(character), level(surprise)
        if filled + _columns(cell) > width:
            yield from _line(cells, colour)
            cells, filled = [], 0
        cells.append((cell, strength))
        filled += _columns(cell)
        if character.endswith("\n"):
            yield from _line(cells, colour)
            cells, filled = [], 0
    if cells:
        yield from _line(cells, colour)


def _line(cells: list[tuple[str, int]], colour: bool) -> Iterator[str]:
    if colour:
        runs = groupby(cells, key=lambda cell: cell[1])
        yield "".join(_painted("".join(part for part, _ in run), strength) for strength, run in runs)
        return
    yield "".join(part for part, _ in cells)
    yield "".join(MARKS[strength] * _columns(part) for part, strength in cells).rstrip()


def _painted(text: str, strength: int) -> str:
    ground = GROUNDS[strength]
    return text if ground is None else f"\x1b[38;5;16;48;5;{ground}m{text}\x1b[0m"


def legend(colour: bool) -> str:
    """What the marks mean, in bits of surprise."""
    names = [f"{low:g} to {high:g}" for low, high in pairwise(LEVELS)] + [f"over {LEVELS[-1]:g}"]
    return f"surprise in bits: {_keys(names, colour)}; unmarked: below {LEVELS[0]:g}"


def legend_of_probabilities(colour: bool) -> str:
    """What the marks mean, in probabilities."""
    names = [f"<{100 * 2**-bits:.1g}%" if bits > 2 else f"<{100 * 2**-bits:g}%" for bits in LEVELS]
    return f"probability at temperature 1: {_keys(names, colour)}; unmarked: more"


def _keys(names: Sequence[str], colour: bool) -> str:
    return "  ".join(_painted(f" {name} ", i) if colour else f"{MARKS[i]} {name}" for i, name in enumerate(names, 1))


def drawn(character: str) -> str:
    """How a symbol is shown: a line end as ⏎, another that does not print by its escape."""
    if character.endswith("\n"):
        return "⏎"
    if all(c.isprintable() or unicodedata.combining(c) for c in character):
        return character
    return ascii(character)[1:-1]


def _columns(cell: str) -> int:
    """Of a terminal."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in cell)
    return len(cell) + wide - sum(bool(unicodedata.combining(c)) for c in cell)
