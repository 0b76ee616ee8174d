"""Scores as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from charrnn.inference.scoring import Score
from charrnn.text.unknown import Unknown

NOUNS = {"codepoint": "character", "grapheme": "grapheme", "byte": "byte"}  # what a symbol of a unit is called
SHOWN = 8  # of the symbols that are unknown


def code_point(unit: str) -> str:
    """What a code point is called beside symbols of this unit."""
    return NOUNS[unit] if unit == "codepoint" else "code point"


def lines(score: Score, unit: str = "codepoint") -> list[str]:
    """One measure a line."""
    symbol = NOUNS[unit]
    beside = [] if score.code_points is None else [f"{'bits per code point':<22}{score.bits_per_code_point:>14.6f}"]
    return [
        f"{f'nats per {symbol}':<22}{score.nats_per_char:>14.6f}",
        f"{f'bits per {symbol}':<22}{score.bits_per_char:>14.6f}",
        *beside,
        f"{'perplexity':<22}{score.perplexity:>14.6f}",
        f"{'accuracy':<22}{score.accuracy:>14.6f}",
        f"{f'{symbol}s predicted':<22}{score.characters:>14,}",
    ]


def parts_lines(scores: Mapping[str, Score], unit: str = "codepoint") -> list[str]:
    """A line for each part of a text; where a symbol is no code point, with its bits per code point."""
    if not scores:
        return []
    head = f"{'':<12}{'nats':>9}{'bits':>9}{'perplexity':>12}{'accuracy':>10}{NOUNS[unit] + 's':>14}"
    rows = [head] + [
        f"{name:<12}{s.nats_per_char:>9.4f}{s.bits_per_char:>9.4f}{s.perplexity:>12.3f}{s.accuracy:>10.4f}{s.characters:>14,}"
        for name, s in scores.items()
    ]
    if unit == "codepoint":
        return rows
    beside = ["bits per code point", *(f"{s.bits_per_code_point:.4f}" for s in scores.values())]
    return [f"{row}{more:>21}" for row, more in zip(rows, beside, strict=True)]


def short(score: Score, unit: str) -> str:
    """The loss of a text in one line."""
    beside = "" if score.code_points is None else f", {score.bits_per_code_point:.4f} bits per code point"
    return (
        f"{score.nats_per_char:.4f} nats, {score.bits_per_char:.4f} bits per {NOUNS[unit]}{beside}, "
        f"perplexity {score.perplexity:.3f}"
    )


def unknown_line(unknown: Unknown, treatment: str) -> str:
    """How much of the text is none of the model's characters, and what became of it (skip or replace)."""
    done = {"skip": "skipped", "replace": "replaced"}[treatment]
    listed = " ".join(f"{symbol!r}" for symbol in unknown.symbols[:SHOWN])
    more = f" and {len(unknown.symbols) - SHOWN} more" if len(unknown.symbols) > SHOWN else ""
    return (
        f"{unknown.count:,} of {unknown.characters:,} characters ({unknown.share:.1%}) are unknown to the model "
        f"and were {done}: {listed}{more}"
    )
