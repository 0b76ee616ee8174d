"""How much of a sample is copied: its sequences and passages that stand in a text word for word.

Windows of the text and of the sample are compared by hashes of 64 bits: that of a window of 2L characters is made of
those of its halves, and that of any other length of two windows that overlap. Among a thousand windows and a billion, a
wrong match has a chance of less than 10⁻⁷.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.text.tokenizer import Ids

LENGTHS = range(8, 13)
PASSAGE = 20  # characters from which a passage counts as copied: shorter ones are mostly usual phrases
PIECE = 1 << 20  # characters of the text worked through at a time: bounds memory, changes nothing else

Hashes = npt.NDArray[np.uint64]
Found = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Novelty:
    """What a sample of some characters has in common with a text.

    new: by n, the share of the sample's sequences of n characters that the text does not hold.
    longest: characters of the longest passage that the text holds too; it begins at `at` in the sample, and at `source`
    in the text, both counted from 0.
    passages: (start, stop) in the sample of what lies in copied passages of at least `PASSAGE` characters; where two
    passages overlap or touch, they are one here.
    """

    characters: int
    new: dict[int, float]
    longest: int
    at: int
    source: int
    passages: list[tuple[int, int]]

    @property
    def copied(self) -> int:
        """Characters in the passages."""
        return sum(stop - start for start, stop in self.passages)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**vars(self), "new": {str(n): share for n, share in self.new.items()}, "copied": self.copied}


def novelty(sample: Ids, text: Ids, lengths: Iterable[int] = LENGTHS, passage: int = PASSAGE) -> Novelty:
    """Compares a sample (N,) with a text (M,), both as ids of one vocabulary or both as code points.

    Takes about a second for a text of a million characters, whatever the sample.
    """
    ours = _Windows(sample)
    found = {n: np.zeros(max(len(sample) - n + 1, 0), bool) for n in {*lengths, passage}}
    longest = at = source = 0
    for start in range(0, len(text), PIECE):
        theirs = _Windows(text[start : start + PIECE + max(len(sample) - 1, 0)])
        for n, so_far in found.items():
            so_far |= _found(ours, theirs, n)
        length = _longest(ours, theirs, longest)
        if length > longest:
            longest, at = length, int(_found(ours, theirs, length).argmax())
            source = start + int((theirs.of(length) == ours.of(length)[at]).argmax())
    new = {n: 1 - float(found[n].mean()) for n in lengths if len(found[n])}
    return Novelty(len(sample), new, longest, at, source, _covered(found[passage], passage))


class _Windows:
    """The hashes of all windows of some ids (N,)."""

    def __init__(self, ids: Ids) -> None:
        self._powers = [_mixed(ids.astype(np.uint64), np.uint64(0))]

    def of(self, length: int) -> Hashes:
        """Of the windows of a length ≥ 1, (N − length + 1,); empty where the ids are too few."""
        while 2 ** len(self._powers) <= length:
            half, last = 2 ** (len(self._powers) - 1), self._powers[-1]
            self._powers.append(_mixed(last[: max(len(last) - half, 0)], last[half:]))
        power = length.bit_length() - 1
        hashes, shift = self._powers[power], length - 2**power
        return _mixed(hashes[: max(len(hashes) - shift, 0)], hashes[shift:]) if shift else hashes


def _mixed(first: Hashes, second: Hashes | np.uint64) -> Hashes:
    """A hash of two hashes in their order (the finalizer of SplitMix64, by Steele, Lea and Flood 2014)."""
    h = first * np.uint64(0x9E3779B97F4A7C15)
    h += second
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        h ^= h >> np.uint64(shift)
        h *= np.uint64(factor)
    h ^= h >> np.uint64(31)
    return h


def _found(ours: _Windows, theirs: _Windows, length: int) -> Found:
    """Which windows of the sample stand in the text."""
    windows, inverse = np.unique(ours.of(length), return_inverse=True)
    found = np.zeros(len(windows), bool)
    if len(windows):
        low = np.zeros(1 << 16, bool)
        low[windows & np.uint64(0xFFFF)] = True
        candidates = theirs.of(length)
        candidates = candidates[low[candidates.astype(np.uint16)]]  # spares most of them the search
        places = np.minimum(np.searchsorted(windows, candidates), len(windows) - 1)
        found[places[windows[places] == candidates]] = True
    return found[inverse]


def _longest(ours: _Windows, theirs: _Windows, known: int) -> int:
    """The length of the longest common passage, if it is longer than `known`, else `known`: if one of L characters is
    common, so is one of L − 1."""
    step = 1
    while _found(ours, theirs, known + step).any():
        known, step = known + step, 2 * step
    while step > 1:
        step //= 2
        if _found(ours, theirs, known + step).any():
            known += step
    return known


def _covered(found: Found, length: int) -> list[tuple[int, int]]:
    """The runs of characters that lie in a window that was found."""
    edges = np.zeros(len(found) + length + 1, int)
    np.add.at(edges, np.flatnonzero(found), 1)
    np.add.at(edges, np.flatnonzero(found) + length, -1)
    inside = np.cumsum(edges) > 0
    bounds = np.flatnonzero(np.diff(inside, prepend=False, append=False)).tolist()
    return list(zip(bounds[::2], bounds[1::2], strict=True))
