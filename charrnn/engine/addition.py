"""The order in which the gradients of shards are added: a fixed tree, the same for any number of processes.

Shards 0 … 3 are added as (0 + 1) + (2 + 3): whoever computed neighbours adds them, and only the rest is left to the
first process. The tree depends on the number of shards alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Addition:
    """The gradient of shard `right`, with all that was added to it, is added to that of shard `left`.

    Then `left` holds the sum over the shards `left` … `end` − 1.
    """

    left: int
    right: int
    end: int


def additions(start: int, end: int) -> Iterator[Addition]:
    """All additions over the shards from `start` to `end` − 1, each after those that it needs."""
    count = end - start
    if count < 2:
        return
    middle = start + middle_of(count)
    yield from additions(start, middle)
    yield from additions(middle, end)
    yield Addition(start, middle, end)


def middle_of(count: int) -> int:
    """The size of the left half of `count` shards: the largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def within(all_of_them: list[Addition], start: int, end: int) -> list[Addition]:
    """Those that need no shard outside of `start` … `end` − 1."""
    return [addition for addition in all_of_them if start <= addition.left and addition.end <= end]
