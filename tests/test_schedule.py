"""Shards go to the workers that end soonest, by what was measured of late; the seconds are made up."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from charrnn.engine.schedule import IDLE, LATEST, REMEMBERED, WARM_UP, Schedule


def measured(*seconds: float, times: int = WARM_UP + 1) -> Schedule:
    """A schedule that has seen each worker take so many seconds for one shard, so many times."""
    schedule = Schedule(len(seconds))
    for _ in range(times):
        for worker, one in enumerate(seconds):
            schedule.measured(worker, one, 1)
    return schedule


@pytest.mark.parametrize("shards, expected", [(1, [1, 0]), (2, [1, 1]), (3, [2, 1]), (4, [2, 2])])
def test_workers_of_whom_nothing_is_known_get_equal_parts(shards: int, expected: list[int]) -> None:
    assert [len(own) for own in Schedule(2).deal(shards)] == expected


def test_a_slow_worker_gets_fewer_shards_and_a_very_slow_one_none() -> None:
    assert measured(1.0, 1.0).deal(4) == [range(2), range(2, 4)]
    assert [len(own) for own in measured(1.0, 2.0).deal(6)] == [4, 2]
    assert [len(own) for own in measured(1.0, 10.0).deal(4)] == [4, 0]
    assert [len(own) for own in measured(10.0, 1.0).deal(4)] == [0, 4]  # the first process is no exception


def test_no_other_deal_would_end_sooner_and_every_shard_is_dealt_once() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        seconds, shards = rng.uniform(0.2, 3, rng.integers(1, 4)), int(rng.integers(1, 7))
        dealt = measured(*seconds).deal(shards)
        assert sorted(shard for own in dealt for shard in own) == list(range(shards))
        end = max(len(own) * one for own, one in zip(dealt, seconds, strict=True))
        counts = [c for c in product(range(shards + 1), repeat=len(seconds)) if sum(c) == shards]
        assert end == pytest.approx(min(max(np.multiply(c, seconds)) for c in counts))


def test_the_first_measurements_are_ignored() -> None:
    schedule = measured(1.0, 100.0, times=WARM_UP)
    assert [len(own) for own in schedule.deal(4)] == [2, 2]
    schedule.measured(0, 1.0, 1)
    schedule.measured(1, 100.0, 1)
    assert [len(own) for own in schedule.deal(4)] == [4, 0]


def test_seconds_are_counted_by_shard() -> None:
    schedule = Schedule(2)
    for _ in range(WARM_UP + 1):
        schedule.measured(0, 3.0, 3)
        schedule.measured(1, 1.0, 1)
    assert [len(own) for own in schedule.deal(4)] == [2, 2]


def test_a_single_slow_step_changes_nothing_and_a_slow_time_does_until_it_is_over() -> None:
    schedule = measured(1.0, 1.0, times=WARM_UP + REMEMBERED)
    schedule.measured(1, 50.0, 1)
    assert [len(own) for own in schedule.deal(4)] == [2, 2]
    for _ in range(REMEMBERED):
        schedule.measured(1, 3.0, 1)
    assert [len(own) for own in schedule.deal(4)] == [3, 1]
    for _ in range(REMEMBERED):
        schedule.measured(1, 1.0, 1)
    assert [len(own) for own in schedule.deal(4)] == [2, 2]


def test_an_idle_worker_is_tried_again_after_a_while_and_left_alone_if_it_is_still_slow() -> None:
    schedule = measured(1.0, 100.0)
    for _ in range(2):
        assert [len(schedule.deal(4)[1]) for _ in range(IDLE)] == [0] * IDLE
        assert len(schedule.deal(4)[1]) == 2
        schedule.measured(1, 200.0, 2)
    for _ in range(IDLE):
        schedule.deal(4)
    schedule.measured(1, 2.0, 2)  # as quick as the other by now
    assert all(len(schedule.deal(4)[1]) == 2 for _ in range(2 * IDLE))


def steps(schedule: Schedule, count: int, together: float, alone: float) -> int:
    """So many steps of two workers with four shards, whose whole time depends on the way; how many were alone."""
    ways = 0
    for _ in range(count):
        own, other = schedule.deal(4)
        ways += not len(other)
        seconds = together if len(other) else alone
        schedule.measured(0, seconds, len(own))
        if len(other):
            schedule.measured(1, seconds, len(other))
        schedule.ended(seconds)
    return ways


def test_on_a_machine_of_its_own_it_never_computes_alone() -> None:
    assert steps(Schedule(2), 1000, together=0.01, alone=0.019) == 0


def test_beside_another_program_it_computes_alone_where_that_is_faster_and_together_soon_afterwards() -> None:
    schedule = Schedule(2)
    assert steps(schedule, 50, together=0.01, alone=0.019) == 0
    assert steps(schedule, 2000, together=0.03, alone=0.02) > 1850
    assert steps(schedule, 1000, together=0.01, alone=0.019) * 0.019 < LATEST + 0.2


def test_a_disturbance_of_a_second_changes_nothing() -> None:
    schedule = Schedule(2)
    steps(schedule, 50, together=0.01, alone=0.019)
    assert steps(schedule, 33, together=0.03, alone=0.02) == 0
    assert steps(schedule, 100, together=0.01, alone=0.019) == 0


def test_beside_another_program_it_stays_together_where_that_is_still_faster() -> None:
    schedule = Schedule(2)
    steps(schedule, 50, together=0.01, alone=0.019)
    assert 0 < steps(schedule, 2000, together=0.015, alone=0.019) < 60


def test_a_worker_that_was_very_slow_beside_another_program_is_used_again_when_that_has_gone() -> None:
    schedule = Schedule(2)

    def step(other_takes: float) -> int:
        own, other = schedule.deal(2)
        times = [0.01 * len(own), other_takes * len(other)]
        for worker, part in enumerate((own, other)):
            if part:
                schedule.measured(worker, times[worker], len(part))
        schedule.ended(max(times))
        return len(other)

    assert [step(0.01) for _ in range(20)] == [1] * 20
    for _ in range(400):
        step(0.1)
    assert [step(0.01) for _ in range(800)][-100:] == [1] * 100
