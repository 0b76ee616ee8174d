"""Learning-rate schedules: what the rate is multiplied by as a run goes on.

A schedule is a function of `Progress`. Each is multiplied by the warm-up, a straight line from 0 over some updates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

from charrnn.errors import shown
from charrnn.registry import SCHEDULES


@dataclass(slots=True)
class Progress:
    """Where a run stands: updates done, the share of the run that is done (0…1), and evaluations that found a plateau.

    decay, decay_every: the settings of that name; decay_every None is a fifth of the run.
    """

    step: int
    done: float
    plateaus: int = 0
    decay: float = 0.5
    decay_every: int | None = None


def constant(progress: Progress) -> float:
    """1."""
    return 1.0


def trapezoid(progress: Progress) -> float:
    """1 for the first half of the run, then a straight line to 0 (Hägele et al. 2024)."""
    return min(1.0, max(0.0, 2 - 2 * progress.done))


def cosine(progress: Progress) -> float:
    """Half a cosine, from 1 to 0.05."""
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(progress.done, 1.0)))


def step(progress: Progress) -> float:
    """decay ** (decays so far), one every `decay_every` updates."""
    # Rounding must not put a decay one update late.
    every = progress.decay_every
    decays = progress.step // every if every else int(5 * progress.done + 1e-9)
    return progress.decay**decays


def plateau(progress: Progress) -> float:
    """decay ** plateaus."""
    return progress.decay**progress.plateaus


def learning_rate_factor(schedule: str, progress: Progress, warmup_steps: int) -> float:
    """The factor of the learning rate for the next update, warm-up included; ValueError if a schedule gives none."""
    warm = min(1.0, (progress.step + 1) / (warmup_steps + 1))
    factor = SCHEDULES[schedule](progress)
    # The check of an abstract type takes longer than the schedule.
    if (type(factor) is not float and not isinstance(factor, Real)) or not 0 <= float(factor) < math.inf:
        raise ValueError(
            f"schedule {schedule}: must give a finite number of at least 0, gave {shown(factor)} after "
            f"{progress.step:,} updates"
        )
    return warm * float(factor)
