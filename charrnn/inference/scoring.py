"""The loss of a network on a text."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from charrnn.arguments import switch, whole
from charrnn.errors import ConfigError, CorpusError
from charrnn.network.buffers import Array, Buffers
from charrnn.network.output import block_rows, cross_entropy, probabilities
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack, State

GROUP = 32  # streams that are worked through together
ROWS = 4096  # predictions worked through at a time: bounds memory, changes nothing else


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy in nats per character over `characters` predictions, and the share that was right.

    A character is a symbol of the network. `code_points` says how many code points the symbols had, if they are others.

    `log_probabilities` (characters,), in nats, are None if they were not asked for. `state` is what the network holds
    when it has read the whole text; None if the text was read as many streams.
    """

    nats_per_char: float
    accuracy: float
    characters: int
    code_points: int | None = None
    log_probabilities: Array | None = field(default=None, repr=False, compare=False)
    state: State | None = field(default=None, repr=False, compare=False)

    @property
    def bits_per_char(self) -> float:
        """Nats divided by ln 2."""
        return self.nats_per_char / math.log(2)

    @property
    def bits_per_code_point(self) -> float:
        """Comparable between networks whose symbols are others."""
        return self.bits_per_char * self.per_code_point

    @property
    def per_code_point(self) -> float:
        """Symbols of a code point."""
        return 1.0 if self.code_points is None else self.characters / max(self.code_points, 1)

    @property
    def perplexity(self) -> float:
        """e to the power of nats: a uniform guess among so many characters has the same loss."""
        return math.exp(min(self.nats_per_char, 700.0))

    def as_dict(self) -> dict[str, float]:
        """Plain numbers."""
        names = ("nats_per_char", "bits_per_char", "perplexity", "accuracy", "characters")
        own = () if self.code_points is None else ("code_points", "bits_per_code_point")
        return {name: getattr(self, name) for name in (*names, *own)}


def evaluate(
    parameters: Parameters,
    ids: Array,
    *,
    streams: int = 1,
    warmup: int = 256,
    workers: int = 1,
    state: State | None = None,
    keep: bool = False,
    progress: Callable[[int], object] | None = None,
    end: int | None = None,
) -> Score:
    """Scores the ids (N,): every character but the first is predicted once.

    Of a text of pieces (text/pieces.py), each begins with the id `end` and a fresh state.
    With a `state` (`Score.state` of the text before), the first one is predicted too, and all is read as one stream.

    With one stream the score is exact. More streams read parts of the text side by side, many times faster; each reads
    the `warmup` characters before its part first, without counting them, so the only error is the effect of still
    earlier characters on the state. At most so many streams are used as leave each part `warmup` characters. `keep`
    keeps the log-probability of every character. `progress` is called with the number of predictions done.
    ConfigError for an argument that cannot be.
    """
    streams, workers = whole("streams", streams, 1), whole("workers", workers, 1)
    warmup, keep = whole("warmup", warmup), switch("keep", keep)
    if state is not None and streams > 1:
        raise ConfigError("streams: a text that goes on from a state is read as one; leave streams out")
    if state is not None:
        return _continued(parameters, ids, state, keep, progress, end)
    count = len(ids) - 1
    if count < 1:
        raise CorpusError(f"a text of length {len(ids)} cannot be scored; at least 2 characters are needed")
    n = max(1, min(streams, count // max(warmup, 1)))
    length = -(-count // n)
    n = -(-count // length)
    starts = np.arange(n) * length
    # The groups do not depend on the number of workers, so the bits of the score do not either.
    groups = -(-n // GROUP)
    losses = np.empty(n * length, parameters.vector.dtype) if keep else None
    stop = threading.Event()

    def work(i: int) -> _Part:
        rows = slice(n * i // groups, n * (i + 1) // groups)
        own = losses.reshape(n, length)[rows] if losses is not None else None
        return _score(parameters, ids, starts[rows], length, 0 if n == 1 else warmup, None, own, progress, stop, end)

    if min(workers, groups) == 1:
        results = [work(i) for i in range(groups)]
    else:
        with ThreadPoolExecutor(workers) as pool:
            try:
                results = list(pool.map(work, range(groups)))
            except BaseException:
                stop.set()  # the pool waits for all of its threads
                raise
    return Score(
        math.fsum(part.nats for part in results) / count,
        sum(part.right for part in results) / count,
        count,
        None,
        None if losses is None else -losses[:count],
        _read(parameters, ids[-1:], results[0].state, end) if n == 1 else None,
    )


def _continued(
    parameters: Parameters,
    ids: Array,
    state: State,
    keep: bool,
    progress: Callable[[int], object] | None,
    end: int | None,
) -> Score:
    """The score of a text of at least one character that goes on from `state`."""
    if not len(ids):
        raise CorpusError("an empty text cannot be scored; at least 1 character is needed")
    H = state[-1].reshape(-1, 1, parameters.architecture.hidden[-1])[0]
    A = probabilities(parameters, H, Buffers(H.dtype))[0].copy()
    first = cross_entropy(parameters, H, ids[:1].astype(np.intp), Buffers(H.dtype))[0]
    losses = np.empty((1, len(ids) - 1), H.dtype)
    part = _Part(0.0, 0, state)
    if len(ids) > 1:
        zero, never = np.zeros(1, int), threading.Event()
        part = _score(parameters, ids, zero, len(ids) - 1, 0, state, losses, progress, never, end)
    right = part.right + int(A.argmax() == ids[0])
    log_probabilities = -np.append(first, losses[0]) if keep else None
    nats, count = part.nats + float(first), len(ids)
    kept = _read(parameters, ids[-1:], part.state, end)
    return Score(nats / count, right / count, count, None, log_probabilities, kept)


def _read(parameters: Parameters, ids: Array, state: State, end: int | None) -> State:
    """The state after some more characters."""
    stack, inputs = Stack(parameters.architecture, parameters.vector.dtype), np.asarray(ids).astype(np.intp)[:, None]
    return stack.forward(parameters, inputs, state, fresh=begins(inputs, end)).state(len(ids))


def begins(inputs: Array, end: int | None) -> Array | None:
    """Where a piece begins, as `Stack.forward` takes it."""
    return None if end is None else inputs == end


@dataclass
class _Part:
    """The sum of the losses of some streams, their right predictions, and the state at their end."""

    nats: float
    right: int
    state: State


def _score(
    parameters: Parameters,
    ids: Array,
    starts: Array,
    length: int,
    warmup: int,
    state: State | None,
    losses: Array | None,
    progress: Callable[[int], object] | None,
    stop: threading.Event,
    end_id: int | None,
) -> _Part:
    """Scores the parts of `length` that begin at `starts`; each character's loss goes into `losses` (n, length)."""
    n, count = len(starts), len(ids) - 1
    stack = Stack(parameters.architecture, parameters.vector.dtype)
    begin = stack.begin(parameters, n)
    state = begin if state is None else state
    chunk = max(min(ROWS, block_rows(parameters.architecture.symbols)) // n, 1)
    nats, right, step = 0.0, 0, -warmup
    while step < length and not stop.is_set():
        if step == 0 and starts[0] == 0 and warmup:
            for S, S_0 in zip(state, begin, strict=True):
                S[..., 0, :] = S_0[..., 0, :]  # the first part has nothing before it
        end = min(step + chunk, 0 if step < 0 else length)
        positions = np.arange(step, end)[:, None] + starts
        inputs = ids[np.clip(positions, 0, count - 1)].astype(np.intp)
        tape = stack.forward(parameters, inputs, state, fresh=begins(inputs, end_id))
        if step >= 0:
            targets = ids[np.minimum(positions + 1, count)].astype(np.intp)
            valid = positions < count
            A = stack.probabilities(parameters, tape)
            with np.errstate(divide="ignore"):
                of_step = -np.log(np.take_along_axis(A, targets[:, :, None], 2)[:, :, 0])
            if not np.isfinite(of_step).all():  # probabilities that are too small for their dtype
                of_step = stack.losses(parameters, tape, targets)
            if losses is not None:
                losses[:, step:end] = of_step.T
            nats += float(of_step.sum(where=valid, dtype=np.float64))
            right += int(((A.argmax(axis=2) == targets) & valid).sum())
            if progress:
                progress(int(valid.sum()))
        state = tape.state(end - step)
        step = end
    return _Part(nats, right, state)
