"""Which worker computes which shards, by how fast each has been of late.

Another program on the machine can slow one worker down by half, and then all wait for it. So a worker gets as many
shards as let all end soonest, which may be none. The result is the same whoever computes a shard.
"""

from __future__ import annotations

import statistics
from collections import deque
from itertools import accumulate, pairwise

REMEMBERED = 5  # measurements of a worker
WARM_UP = 2  # the first ones, which count its start and untouched memory
IDLE = 30  # steps after which a worker that had nothing to do is tried again


class Schedule:
    """Measures workers and deals out shards; worker 0 is this process."""

    def __init__(self, workers: int) -> None:
        self._seconds: list[deque[float]] = [deque(maxlen=REMEMBERED) for _ in range(workers)]
        self._measured = [0] * workers
        self._idle = [0] * workers

    def deal(self, shards: int) -> list[range]:
        """The shards of each worker, neighbours; there are as many as let all end soonest."""
        known = [statistics.median(seconds) for seconds in self._seconds if seconds]
        usual = min(known, default=1.0)
        each = [statistics.median(seconds) if seconds else usual for seconds in self._seconds]
        counts = [0] * len(each)
        for _ in range(shards):  # to the worker that would end it first
            ends = [(count + 1) * seconds for count, seconds in zip(counts, each, strict=True)]
            counts[ends.index(min(ends))] += 1
        for worker, count in enumerate(counts):
            self._idle[worker] = 0 if count else self._idle[worker] + 1
            if self._idle[worker] == IDLE:
                self._seconds[worker].clear()
        borders = [0, *accumulate(counts)]
        return [range(start, stop) for start, stop in pairwise(borders)]

    def measured(self, worker: int, seconds: float, shards: int) -> None:
        """A worker took so many seconds for so many shards, from the moment that it was asked."""
        self._measured[worker] += 1
        if self._measured[worker] > WARM_UP:
            self._seconds[worker].append(seconds / shards)
