"""Assigns shards to workers by their recent speed. The assignment does not change the result.

Another program on the machine can slow one worker down by half, and then all wait for it. So a worker gets as many
shards as let all end soonest, which may be none. And where workers have become slower than they were, it is tried from
time to time whether this process is faster alone.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from itertools import accumulate, pairwise

REMEMBERED = 5  # measurements of a worker, and of a way to share the work
WARM_UP = 2  # the first ones of a worker, which count its start and untouched memory
IDLE = 30  # steps after which a worker that had nothing to do is tried again
SLOWED = 1.2  # a worker this many times slower than its best shares its core with another program
SLOW_FOR = 2.0  # seconds that this must last before it is tried to compute alone
TRIAL = 4  # steps of a trial of the other way
SOONEST, LATEST = 0.2, 5.0  # seconds until the next trial: doubled by each that changes nothing


class Schedule:
    """Measures workers and deals out shards; worker 0 is this process."""

    def __init__(self, workers: int) -> None:
        self._seconds: list[deque[float]] = [deque(maxlen=REMEMBERED) for _ in range(workers)]
        self._best = [math.inf] * workers
        self._measured = [0] * workers
        self._idle = [0] * workers
        self._alone = False  # whether this process alone was faster in the last trial
        self._steps = {way: deque[float](maxlen=REMEMBERED) for way in (False, True)}  # seconds of a step, by way
        self._trial = 0  # steps left of a trial of the other way
        self._wait, self._waited = SOONEST, SOONEST
        self._slow_for = 0.0  # seconds

    def deal(self, shards: int) -> list[range]:
        """The shards of each worker, neighbours; there are as many as let all end soonest."""
        due = not self._trial and self._waited >= self._wait and self._steps[self._alone]
        if due and (self._alone or self._slow_for >= SLOW_FOR):
            self._trial = TRIAL
            self._steps[not self._alone].clear()
            if self._alone:  # these times are from when another program slowed the workers
                for seconds in self._seconds:
                    seconds.clear()
        counts = [shards] + [0] * (len(self._seconds) - 1) if self._is_alone() else self._counts(shards)
        return [range(start, stop) for start, stop in pairwise([0, *accumulate(counts)])]

    def measured(self, worker: int, seconds: float, shards: int) -> None:
        """A worker took so many seconds for so many shards, from the moment that it was asked."""
        self._measured[worker] += 1
        if self._measured[worker] > WARM_UP:
            self._seconds[worker].append(seconds / shards)
            self._best[worker] = min(self._best[worker], statistics.median(self._seconds[worker]))

    def ended(self, seconds: float) -> None:
        """The whole step took so many seconds."""
        self._steps[self._is_alone()].append(seconds)
        self._waited += seconds
        self._slow_for = self._slow_for + seconds if self._slowed() else 0.0
        if not self._trial:
            return
        self._trial -= 1
        if not self._trial:
            together, alone = (statistics.median(self._steps[way] or [math.inf]) for way in (False, True))
            changes = (alone < together) != self._alone
            self._alone = alone < together
            self._wait, self._waited = SOONEST if changes else min(2 * self._wait, LATEST), 0.0

    def _is_alone(self) -> bool:
        """Whether this step is computed by this process alone: as `_alone` says, or the opposite during a trial."""
        return self._alone != bool(self._trial)

    def _slowed(self) -> bool:
        """Whether a worker is slower than it was at its best."""
        return any(
            len(seconds) == REMEMBERED and statistics.median(seconds) > SLOWED * best
            for seconds, best in zip(self._seconds, self._best, strict=True)
        )

    def _counts(self, shards: int) -> list[int]:
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
        return counts
