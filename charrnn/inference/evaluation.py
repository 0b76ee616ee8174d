"""The loss of a network on a text."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from charrnn.errors import CorpusError
from charrnn.network.buffers import Array
from charrnn.network.output import block_rows
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack, zero_state

ROWS = 4096  # predictions worked through at a time: bounds memory, changes nothing else


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy in nats per character over `characters` predictions, and the share that was right."""

    nats_per_char: float
    accuracy: float
    characters: int

    def as_dict(self) -> dict[str, float]:
        """With bits per character and perplexity."""
        return {
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.nats_per_char / math.log(2),
            "perplexity": math.exp(min(self.nats_per_char, 700.0)),
            "accuracy": self.accuracy,
            "characters": self.characters,
        }


def evaluate(
    parameters: Parameters,
    ids: Array,
    *,
    streams: int = 1,
    warmup: int = 256,
    workers: int = 1,
    progress: Callable[[int], object] | None = None,
) -> Score:
    """Scores the ids (N,): every character but the first is predicted once, from H_0 = 0 on.

    With one stream the score is exact. More streams read parts of the text side by side, many times faster; each reads
    the `warmup` characters before its part first, without counting them, so that it differs from exact only by what a
    state still knows of characters further back. There are no more of them than leave each part `warmup` characters.
    `progress` is called with the number of predictions done.
    """
    count = len(ids) - 1
    if count < 1:
        raise CorpusError(f"a text of length {len(ids)} cannot be scored; at least 2 characters are needed")
    n = max(1, min(streams, count // max(warmup, 1)))
    length = -(-count // n)
    n = -(-count // length)
    starts = np.arange(n) * length
    workers = min(workers, n)

    stop = threading.Event()

    def work(i: int) -> tuple[float, int]:
        part = starts[n * i // workers : n * (i + 1) // workers]
        return _score(parameters, ids, part, length, 0 if n == 1 else warmup, progress, stop)

    if workers == 1:
        results = [work(0)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            try:
                results = list(pool.map(work, range(workers)))
            except BaseException:
                stop.set()  # the pool waits for all of its threads
                raise
    return Score(sum(nats for nats, _ in results) / count, sum(right for _, right in results) / count, count)


def _score(
    parameters: Parameters,
    ids: Array,
    starts: Array,
    length: int,
    warmup: int,
    progress: Callable[[int], object] | None,
    stop: threading.Event,
) -> tuple[float, int]:
    """The sum of the losses, and the number of right predictions, of the parts of `length` that begin at `starts`."""
    n, count = len(starts), len(ids) - 1
    stack = Stack(parameters.architecture, parameters.vector.dtype)
    state = zero_state(parameters, n)
    chunk = max(min(ROWS, block_rows(parameters.architecture.symbols)) // n, 1)
    nats, right, step = 0.0, 0, -warmup
    while step < length and not stop.is_set():
        if step == 0 and starts[0] == 0:
            for H in state:
                H[0] = 0  # the first part has nothing before it
        end = min(step + chunk, 0 if step < 0 else length)
        positions = np.arange(step, end)[:, None] + starts
        tape = stack.forward(parameters, ids[np.clip(positions, 0, count - 1)].astype(np.intp), state)
        if step >= 0:
            targets = ids[np.minimum(positions + 1, count)].astype(np.intp)
            valid = positions < count
            A = stack.probabilities(parameters, tape)
            with np.errstate(divide="ignore"):
                losses = -np.log(np.take_along_axis(A, targets[:, :, None], 2)[:, :, 0])
            nats += float(losses.sum(where=valid, dtype=np.float64))
            right += int(((A.argmax(axis=2) == targets) & valid).sum())
            if progress:
                progress(int(valid.sum()))
        state = tape.state(end - step)
        step = end
    return nats, right
