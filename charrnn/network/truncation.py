"""Truncated backpropagation through time, as data.

An error that goes from step t to step t−1 is multiplied by `gains[t]`. A loss reaches `lags` steps, its own included. A
backward pass needs nothing else. Without `lags`, all errors that reach a step can be added and propagated together;
with `lags`, they are propagated lag by lag.

A `Window` holds those numbers for some steps of the text. A `Truncation` makes one for every update:

    Full      every transition inside the window carries its error
    Fixed     the text is cut in blocks of τ steps, and nothing crosses a cut
    Sliding   every loss reaches exactly its own last τ steps
    Random    random cuts; what crosses an uncut transition is multiplied by 1/(1 − c), so that the expected gradient is
              the full one (ARTBP: Tallec & Ollivier 2017, arXiv 1705.08209)

Steps are counted along the stream of text, from its beginning.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from charrnn.arguments import number, whole
from charrnn.errors import ConfigError, shown
from charrnn.network.buffers import Array
from charrnn.registry import TRUNCATIONS, check_truncation

WHOLE, CUT = 1.0, 0.0
CUTS = ("constant", "polynomial")


@dataclass(frozen=True)
class Window:
    """A range of steps of the text: first `context` steps that are recomputed for their states only, then steps with a
    loss.

    gains (T,), or (T, n) if sequences differ: what step t hands to step t−1 is multiplied by gains[t].
    lags: how many steps a loss reaches, its own included; None, like T and more, for no limit.
    divisor: the sum of the losses over time is divided by it (and by n).
    fresh (T, n): True where a piece of the text begins. S_{t−1} of such a step is the state that a text begins with,
    and its gain is 0. None if the text is one piece.

    ValueError for anything else.
    """

    gains: Array
    context: int
    divisor: float
    lags: int | None = None
    fresh: Array | None = None

    def __post_init__(self) -> None:
        try:
            gains = np.asarray(self.gains)
        except ValueError:  # of lists that differ in length
            gains = np.array(None)
        if gains.dtype.kind not in "biuf" or gains.ndim not in (1, 2) or not gains.size:
            raise ValueError(f"gains must be numbers (T,) or (T, n), are {gains.dtype} {gains.shape}")
        if np.count_nonzero(np.isfinite(gains)) < gains.size:
            raise ValueError("gains must be finite, and some are not")
        T = len(gains)
        try:
            context = whole("context", self.context, 0, T - 1)
            lags = None if self.lags is None else min(whole("lags", self.lags, 1, sys.maxsize), T)
            divisor = number("divisor", self.divisor)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        if not 0 < divisor < math.inf:
            raise ValueError(f"divisor {divisor}: must be above 0 and finite")
        for name, value in (("gains", gains.astype(float)), ("context", context), ("divisor", divisor), ("lags", lags)):
            object.__setattr__(self, name, value)
        fresh = self.fresh
        if fresh is not None and (fresh.dtype != bool or fresh.ndim != 2 or len(fresh) != T):
            raise ValueError(f"fresh must be true or false ({T}, n), is {fresh.dtype} {fresh.shape}")

    def check(self, T: int, n: int) -> None:
        """ValueError if the window is not for n sequences of T steps."""
        if self.gains.shape not in ((T,), (T, n)):
            raise ValueError(f"gains must be {(T,)} or {(T, n)} here, are {self.gains.shape}")
        if self.fresh is not None and self.fresh.shape != (T, n):
            raise ValueError(f"fresh must be {(T, n)} here, is {self.fresh.shape}")

    def crossings(self, T: int, n: int) -> list[float | Array]:
        """The gain of every step: a number, or a column (n, 1). 1 and 0 are the objects WHOLE and CUT, to compare with
        `is`. ValueError as of `check`."""
        self.check(T, n)
        every = self.gains
        if self.fresh is not None:
            every = np.where(self.fresh, CUT, every if every.ndim == 2 else every[:, None])
        if every.size == T:  # (T,), or (T, 1): the steps of a single sequence are vectors
            gains: list[float | Array] = every.ravel().tolist()
            if gains.count(WHOLE) == len(gains):
                return [WHOLE] * len(gains)
            return [WHOLE if gain == 1 else CUT if gain == 0 else gain for gain in gains]
        return [WHOLE if (gain == 1).all() else CUT if not gain.any() else gain[:, None] for gain in every]


@dataclass(frozen=True)
class Truncation:
    """How the windows of a stream are cut; `seq_length` steps have a loss in each.

    Your own overrides `gains` (or `window` and `draw`, as Random does), and `context` if its cuts are at fixed places
    of the stream. Its fields are settings of the same name (`seq_length`, `tau`, `cut`, `alpha`); `TRUNCATIONS[name] =
    …` makes it known.
    """

    seq_length: int

    @property
    def lags(self) -> int | None:
        """Steps that a loss reaches, its own included; None for no limit."""
        return None

    def context(self, position: int) -> int:
        """Steps before `position` of the stream that must be run again for a window that begins there."""
        return 0

    def gains(self, steps: Array) -> Array:
        """The gains (T,) of the `steps` (T,) of the stream."""
        return np.ones(len(steps))

    def window(self, position: int, remaining: int, seed: Sequence[int] = ()) -> Window:
        """The window at `position` of a stream with `remaining` steps from there on; `seed` is for random ones."""
        try:
            context = whole("context", self.context(position), 0, position)
            T = min(self.seq_length, remaining)
            window = Window(self.gains(np.arange(position - context, position + T)), context, float(T), self.lags)
        except (ConfigError, ValueError) as error:
            raise ValueError(f"truncation {type(self).__name__}, window at step {position:,}: {error}") from error
        if len(window.gains) != context + T:
            raise ValueError(f"{type(self).__name__}.gains gave {len(window.gains)} gains for {context + T} steps")
        return window

    def draw(self, T: int, seed: int) -> Window:
        """A window of exactly T steps from the beginning, whose losses are divided by T."""
        return self.window(0, T, (seed,))


class Full(Truncation):
    """Every transition inside the window carries its error."""

    def window(self, position: int, remaining: int, seed: Sequence[int] = ()) -> Window:
        """As of every truncation."""
        if type(self) is not Full:
            return super().window(position, remaining, seed)
        return _uncut(min(self.seq_length, remaining))


@lru_cache(maxsize=8)
def _uncut(T: int) -> Window:
    """The window of T steps without a cut, made once: making and checking it takes 4 % of a small network's update."""
    window = Window(np.ones(T), 0, float(T))
    window.gains.flags.writeable = False
    return window


@dataclass(frozen=True)
class _WithTau(Truncation):
    tau: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", whole("tau", self.tau, 1))


class Fixed(_WithTau):
    """The stream is cut in blocks of τ steps; a window that begins inside a block runs the block's beginning again."""

    def context(self, position: int) -> int:
        """Back to the last cut."""
        return position % self.tau

    def gains(self, steps: Array) -> Array:
        """0 where a block begins."""
        return np.where(steps % self.tau != 0, WHOLE, CUT)


class Sliding(_WithTau):
    """Every loss reaches exactly its own last τ steps; the first losses of a window reach back before it."""

    @property
    def lags(self) -> int:
        """τ."""
        return self.tau

    def context(self, position: int) -> int:
        """τ − 1 steps, or all there are."""
        return min(position, self.tau - 1)


@dataclass(frozen=True)
class Random(_WithTau):
    """Random cuts of mean distance τ; a window ends at the first cut after `seq_length` steps, or at the text's end."""

    cut: str = "constant"
    alpha: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cut not in CUTS:
            raise ConfigError(f"cut {self.cut}: must be one of {', '.join(CUTS)}")
        if not 3 < number("alpha", self.alpha) < math.inf:
            raise ConfigError(f"alpha {self.alpha}: must be above 3, or the gradient has no finite variance")

    def window(self, position: int, remaining: int, seed: Sequence[int] = ()) -> Window:
        """A window with random cuts. Its first gain is CUT, since the window before ended at a cut. The losses are
        divided by a constant: division by the window's random length would bias the direction of the gradient."""
        gains = np.array([CUT, *self._drawn_gains(remaining, np.random.default_rng(seed))])
        return Window(gains, 0, self.seq_length + self.tau - 1)

    def draw(self, T: int, seed: int) -> Window:
        """T steps with random cuts. They need not end at a cut, because no step follows."""
        rng, cuts, since = np.random.default_rng(seed), [], 1
        for _ in range(T - 1):
            cuts.append(rng.random() < self.cut_probability(since))
            since = 1 if cuts[-1] else since + 1
        return Window(self.pattern(np.array(cuts, bool))[0], 0, T)

    def cut_probability(self, steps_since_cut: int) -> float:
        """c_t, for `steps_since_cut` counted from 1: the mean length of a segment is exactly τ."""
        if self.cut == "constant":
            return 1 / self.tau
        return (self.alpha - 1) / ((self.alpha - 2) * self.tau + steps_since_cut)

    def pattern(self, cuts: Array) -> tuple[Array, float]:
        """The gains (T,) for given cuts (T − 1,), and their probability. cuts[t] is a cut between steps t and t + 1."""
        gains, probability, since = [CUT], 1.0, 1
        for cut in cuts:
            c = self.cut_probability(since)
            probability *= c if cut else 1 - c
            gains.append(CUT if cut else 1 / (1 - c))
            since = 1 if cut else since + 1
        return np.array(gains), probability

    def _drawn_gains(self, remaining: int, rng: np.random.Generator) -> Iterator[float]:
        """The gains of steps 1, 2, …; ends before the first cut that comes after at least `seq_length` steps."""
        since = 1
        for step in range(1, remaining):
            c = self.cut_probability(since)
            if rng.random() < c:
                if step >= self.seq_length:
                    return
                since = 1
                yield CUT
            else:
                since += 1
                yield 1 / (1 - c)


def check(name: str, thing: object) -> None:
    """TypeError unless it is a class of truncations."""
    if not isinstance(thing, type) or not issubclass(thing, Truncation):
        raise TypeError(f"truncation {name}: must be a class that extends charrnn.Truncation, is {shown(thing)}")


def truncation(name: str, seq_length: int, **options: object) -> Truncation:
    """The truncation called `name`, made with those options that it has; None stands for an option not given.

    ConfigError for a name that is not registered, for `tau` where it is needed and missing, or given and not taken.
    """
    make = TRUNCATIONS[name]
    check_truncation(name, options.get("tau"))
    takes = inspect.signature(make).parameters
    made: Truncation = make(seq_length, **{k: v for k, v in options.items() if v is not None and k in takes})
    return made
