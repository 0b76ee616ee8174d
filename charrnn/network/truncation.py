"""Truncated backpropagation through time, as data.

A `Truncation` says what one backward pass needs to know about one window of T steps; a `Policy` makes one for each
update. Definitions, with the time step counted along the stream of text from its beginning:

    full      every transition inside the window carries its error
    fixed     the stream is cut in blocks of τ steps, and nothing crosses a cut
    sliding   every loss reaches exactly its own last τ steps, and stops
    random    random cuts; what crosses an uncut transition is weighted by 1/(1 − c), so that the expected gradient is
              the full one (ARTBP: Tallec & Ollivier 2017, arXiv 1705.08209)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.errors import ConfigError
from charrnn.network.buffers import Array

TRUNCATIONS = ("full", "fixed", "sliding", "random")
CUTS = ("constant", "polynomial")


@dataclass(frozen=True)
class Truncation:
    """One window: `context` steps without a loss, run again for their states, then the steps that have one.

    gains (T,): what step t hands to step t−1 is scaled by gains[t]; T counts the context too.
    lags: None, or the number of steps, its own included, that each loss reaches (then the gains are not used).
    divisor: the sum of the losses over time is divided by it (and by n).
    """

    gains: Array
    context: int
    divisor: float
    lags: int | None = None


@dataclass(frozen=True)
class Policy:
    """How the windows of a stream are cut. `seq_length` steps have a loss in each (at least so many for random)."""

    name: str
    seq_length: int
    tau: int | None = None
    cut: str = "constant"
    alpha: float = 4.0

    def __post_init__(self) -> None:
        if self.name not in TRUNCATIONS:
            raise ConfigError(f"truncation {self.name}: must be one of {', '.join(TRUNCATIONS)}")
        if self.name == "full" and self.tau is not None:
            raise ConfigError("tau: full truncation takes none; leave it out, or choose fixed, sliding or random")
        if self.name != "full" and (self.tau is None or self.tau < 1):
            raise ConfigError(f"tau {self.tau}: --truncation {self.name} needs --tau, a number of at least 1")
        if self.cut not in CUTS:
            raise ConfigError(f"cut {self.cut}: must be one of {', '.join(CUTS)}")
        if not self.alpha > 3:
            raise ConfigError(f"alpha {self.alpha}: must be above 3, or the gradient has no finite variance")

    def context(self, position: int) -> int:
        """Steps before `position` of the stream that must be run again for a window that begins there."""
        if self.name == "fixed":
            return position % self._tau
        if self.name == "sliding":
            return min(position, self._tau - 1)
        return 0

    def window(self, position: int, remaining: int, seed: Sequence[int]) -> Truncation:
        """The window at `position` of a stream with `remaining` steps from there on; its steps: `len(gains)`.

        Random cuts are drawn from a generator with `seed`.
        """
        context = self.context(position)
        if self.name == "random":
            gains = np.array([0.0, *self._random_gains(remaining, np.random.default_rng(seed))])
            return Truncation(gains, 0, self.seq_length + self._tau - 1)
        T = min(self.seq_length, remaining)
        steps = np.arange(position - context, position + T)
        if self.name == "fixed":
            return Truncation((steps % self._tau != 0).astype(float), context, T)
        gains = np.ones(len(steps))
        return Truncation(gains, context, T, lags=self._tau if self.name == "sliding" else None)

    def cut_probability(self, steps_since_cut: int) -> float:
        """c_t, for `steps_since_cut` counted from 1: the mean length of a segment is exactly τ."""
        if self.cut == "constant":
            return 1 / self._tau
        return (self.alpha - 1) / ((self.alpha - 2) * self._tau + steps_since_cut)

    def _random_gains(self, remaining: int, rng: np.random.Generator) -> Iterator[float]:
        """Gains of the steps after the first, up to the first cut that ends a window long enough."""
        since = 1
        for step in range(1, remaining):
            c = self.cut_probability(since)
            if rng.random() < c:
                if step >= self.seq_length:
                    return
                since = 1
                yield 0.0
            else:
                since += 1
                yield 1 / (1 - c)

    @property
    def _tau(self) -> int:
        assert self.tau is not None
        return self.tau
