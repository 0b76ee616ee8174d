"""What a run will need, said before it starts: memory and time, both measured in a step that is not taken."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from charrnn.training.loop import Trainer

LOOKED_AT = 1000  # windows at most: their context lengths repeat after a few


@dataclass(frozen=True)
class Preflight:
    """Seconds that the rest of the run will take, without validation, and bytes that it holds while it trains.

    The text itself, and the interpreter with its libraries (about 40 MB a process), come on top.
    """

    seconds: float
    memory_bytes: int


def preflight(trainer: Trainer) -> Preflight:
    """Runs the forward and backward pass of a step or two, without taking them, and asks the trainer and its engine."""
    seconds = expected_seconds(trainer)
    by_context = _positions_by_context(trainer)
    if trainer.truncation.context(by_context[-1]):
        _loss_and_gradient_at(trainer, by_context[-1])  # the longest window needs the most memory
    return Preflight(seconds, trainer.memory_bytes())


def seconds_per_step(trainer: Trainer) -> float:
    """The time of one step, by running the forward and backward pass of a usual one without taking it.

    The shortest of up to six runs. The first includes the start of the workers; if it takes 2 seconds or more, no other
    follows. The others end after a tenth of a second in all.
    """

    by_context = _positions_by_context(trainer)
    usual = by_context[len(by_context) // 2]

    def seconds() -> float:
        started = time.perf_counter()
        _loss_and_gradient_at(trainer, usual)
        return time.perf_counter() - started

    measured = [seconds()]
    while measured[0] < 2 and sum(measured[1:]) < 0.1 and len(measured) < 6:
        measured.append(seconds())
    return min(measured)


def _positions_by_context(trainer: Trainer) -> list[int]:
    """Places of some of the windows to come, from the one with the fewest steps to run again to that with the most."""
    streams = trainer.streams
    ahead = range(trainer.position, streams.length, streams.seq_length)[:LOOKED_AT]
    return sorted(ahead, key=trainer.truncation.context)


def _loss_and_gradient_at(trainer: Trainer, position: int) -> None:
    before, trainer.position = trainer.position, position
    try:
        with np.errstate(all="ignore"):  # what diverges will say so when it trains
            trainer.loss_and_gradient()
    finally:
        trainer.position = before


def expected_seconds(trainer: Trainer) -> float:
    """The time that the rest of the run will take, without validation; the limits of the run are respected."""
    config = trainer.config
    step = seconds_per_step(trainer)
    estimates = []
    if config.steps is not None:
        estimates.append((config.steps - trainer.step) * step)
    if config.epochs is not None:
        estimates.append((config.epochs - trainer.epochs) * trainer.streams.length / trainer.streams.seq_length * step)
    if config.max_minutes is not None:
        estimates.append(60 * config.max_minutes - trainer.seconds)
    return max(min(estimates), 0.0)


def describe_bytes(count: float) -> str:
    """As in 3.2 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
