"""Losses by the value of a setting, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

BAR = 40  # columns


def lines(setting: str, losses: Sequence[tuple[str, float]]) -> list[str]:
    """A line for each value of the setting, with the lowest loss found at it, and a bar of how far that is below the
    highest of all: the longest bar is the best.

    `losses` may hold a value several times; values keep the order in which they come first.
    """
    lowest: dict[str, float] = {}
    for value, loss in losses:
        lowest[value] = min(loss, lowest.get(value, loss))
    best, worst = min(lowest.values()), max(lowest.values())
    width = max(len(setting), *map(len, lowest))
    head = f"{setting:<{width}}  lowest loss; the longest bar is the best"
    scale = BAR / (worst - best) if worst > best else 0
    return [
        head,
        *(f"{v:>{width}}  {loss:.4f}  {'█' * round((worst - loss) * scale)}".rstrip() for v, loss in lowest.items()),
    ]
