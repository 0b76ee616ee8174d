"""What several ranks of MPI would bring for a shape: a model, from parts that are measured here."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from charrnn.bench.competitors import Shape, trainer
from charrnn.errors import ConfigError

LONG_ENOUGH = 0.5  # seconds that a measurement should last
MOST = 200  # calls of one

ASSUMED = (
    "one rank for each core of this kind, which no other slows down, as memory that they share would",
    "weights go down and gradients up a binary tree of ranks, in rounds one after another",
    "shards and answers all go through the one network link of rank 0, and nothing is sent while something is computed",
    "clipping and optimiser are rank 0's alone; evaluation and saving are left out",
)


@dataclass(frozen=True)
class Parts:
    """What was measured: seconds to compute a shard, to update the weights, and to add one gradient to another; bytes
    of a gradient, and of a shard with its answer."""

    shards: int
    shard: float
    update: float
    addition: float
    gradient_bytes: int
    shard_bytes: int


@dataclass(frozen=True)
class Point:
    """Seconds of an update by so many ranks, and how many of them are spent in sending."""

    ranks: int
    seconds: float
    sending: float

    def as_dict(self) -> dict[str, float]:
        """Plain numbers."""
        return asdict(self)


def modelled(parts: Parts, ranks: int, bandwidth: float, latency: float) -> Point:
    """The time of an update by so many ranks; bandwidth in bytes a second of a link, latency in seconds a message."""
    busy = min(ranks, parts.shards)
    each = math.ceil(parts.shards / busy)
    rounds = math.ceil(math.log2(busy))
    vector = latency + parts.gradient_bytes / bandwidth
    others = parts.shards - each if busy > 1 else 0  # shards that are not of rank 0
    sending = 2 * rounds * vector + 2 * (busy - 1) * latency + others * parts.shard_bytes / bandwidth
    adding = (each - 1 + rounds) * parts.addition
    return Point(ranks, each * parts.shard + adding + parts.update + sending, sending)


def measured(shape: Shape, shards: int) -> Parts:
    """The parts of an update of a batch in so many shards, on one core. ConfigError if there are more than streams."""
    if shards > shape.n:
        raise ConfigError(f"ranks {shards}: a batch of {shape.n} streams has no more shards; give a larger batch_size")
    one = trainer(replace(shape, n=-(-shape.n // shards), threads=1), shards=1)
    import numpy as np

    from charrnn.training.optimizers import clip

    shard = _median(one.loss_and_gradient)
    clipping = _median(lambda: clip(one.gradient.vector, one.config.grad_clip, one.config.clip_mode))
    update = clipping + _median(one.update, before=one.look_ahead)
    vector, other = one.gradient.vector, one.gradient.vector.copy()
    addition = _median(lambda: np.add(vector, other, out=vector))
    ids, state = one.streams.read(0, 0, shape.T), one.state or []
    nbytes = sum(array.nbytes for array in ids) + 2 * sum(S.nbytes for S in state)
    one.engine.close()
    return Parts(shards, shard, update, addition, vector.nbytes, nbytes)


def scaling(parts: Parts, ranks: int, bandwidth: float, latency: float) -> list[Point]:
    """The model for 1, 2, 4 … ranks, and for `ranks`."""
    counts = sorted({*(1 << i for i in range(ranks.bit_length())), ranks})
    return [modelled(parts, count, bandwidth, latency) for count in counts]


def _median(call: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """Seconds of a call; each comes after a call of `before`, which is not counted."""
    for _ in range(3):
        before()
        call()
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < MOST and (not seconds or time.perf_counter() - began < LONG_ENOUGH):
        before()
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
