"""Scores as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from charrnn.inference.scoring import Score
from charrnn.text.unknown import Unknown

SHOWN = 8  # of the symbols that are unknown


def lines(score: Score) -> list[str]:
    """One measure a line."""
    return [
        f"{'nats per character':<22}{score.nats_per_char:>14.6f}",
        f"{'bits per character':<22}{score.bits_per_char:>14.6f}",
        f"{'perplexity':<22}{score.perplexity:>14.6f}",
        f"{'accuracy':<22}{score.accuracy:>14.6f}",
        f"{'characters predicted':<22}{score.characters:>14,}",
    ]


def parts_lines(scores: Mapping[str, Score]) -> list[str]:
    """A line for each part of a text."""
    if not scores:
        return []
    head = f"{'':<12}{'nats':>9}{'bits':>9}{'perplexity':>12}{'accuracy':>10}{'characters':>14}"
    return [head] + [
        f"{name:<12}{s.nats_per_char:>9.4f}{s.bits_per_char:>9.4f}{s.perplexity:>12.3f}{s.accuracy:>10.4f}{s.characters:>14,}"
        for name, s in scores.items()
    ]


def unknown_line(unknown: Unknown, treatment: str) -> str:
    """How much of the text is none of the model's characters, and what became of it (skip or replace)."""
    done = {"skip": "skipped", "replace": "replaced"}[treatment]
    listed = " ".join(f"{symbol!r}" for symbol in unknown.symbols[:SHOWN])
    more = f" and {len(unknown.symbols) - SHOWN} more" if len(unknown.symbols) > SHOWN else ""
    return (
        f"{unknown.count:,} of {unknown.characters:,} characters ({unknown.share:.1%}) are unknown to the model "
        f"and were {done}: {listed}{more}"
    )
