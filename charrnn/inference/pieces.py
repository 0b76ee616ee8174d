"""Whole pieces written by a network, as names: each from its beginning to its end, and new if that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from charrnn.inference.sampling import Sampler, Written

FEWEST, MOST = 16, 64  # pieces drawn side by side


@dataclass
class Pieces:
    """The pieces that were kept, and how many were thrown away: known, drawn a second time, empty or too long."""

    kept: list[Written] = field(default_factory=list)
    known: int = 0
    again: int = 0
    spoilt: int = 0

    @property
    def thrown_away(self) -> int:
        """All that were drawn and not kept."""
        return self.known + self.again + self.spoilt


def draw_pieces(
    sampler: Callable[[int, int], Sampler],
    text: Callable[[list[int]], Written],
    end: int,
    count: int,
    known: Collection[str],
    most: int,
    tries: int,
) -> Pieces:
    """`count` pieces, or fewer after so many `tries`.

    `sampler(n, turn)` draws n of them side by side, all to their end: to take those that end first would favour short
    ones. `text` gives a piece from its ids.
    """
    found, drawn, before = Pieces(), 0, set[str]()
    for turn in range(tries):
        if len(found.kept) == count or drawn >= tries:
            break
        n = min(max(count - len(found.kept), FEWEST), MOST, tries - drawn)
        drawn += n
        for ids in _to_the_end(sampler(n, turn), n, end, most):
            piece = None if ids is None else text(ids)
            if len(found.kept) == count:
                break
            if not piece:
                found.spoilt += 1
            elif piece in known:
                found.known += 1
            elif known and piece in before:
                found.again += 1
            else:
                found.kept.append(piece)
                before.add(piece)
    return found


def _to_the_end(sampler: Sampler, n: int, end: int, most: int) -> list[list[int] | None]:
    """The ids of one piece of each of the n samples, without its end; None for one of more than `most` ids."""
    steps: list[list[int]] = []
    lengths = np.full(n, -1)
    for step, ids in enumerate(islice(sampler, most + 1)):
        steps.append(ids.tolist())
        lengths[(lengths < 0) & (ids == end)] = step
        if (lengths >= 0).all():
            break
    return [None if length < 0 else [ids[i] for ids in steps[:length]] for i, length in enumerate(lengths.tolist())]
