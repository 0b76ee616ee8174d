"""Text written by a network, one character after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from charrnn.errors import ConfigError
from charrnn.network.buffers import Array, Buffers, aligned
from charrnn.network.cells import Weights
from charrnn.network.parameters import Parameters
from charrnn.network.products import product_with
from charrnn.network.stack import Stack, State

DRAWS = 256  # random numbers fetched at a time
CHUNK = 4096  # characters of a prompt that are read at a time, which bounds memory


@dataclass(frozen=True)
class Choice:
    """How a symbol is chosen from A: from A^(1/temperature), the `top_k` most probable (0: all), the smallest set of
    symbols whose probabilities reach `top_p`; or simply the most probable one if `greedy`. ConfigError for a number
    that cannot be."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    greedy: bool = False

    def __post_init__(self) -> None:
        if not 1e-4 <= self.temperature <= 1e4:
            raise ConfigError(
                f"temperature {self.temperature}: must be from 0.0001 to 10000; for no chance at all, be greedy"
            )
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p {self.top_p}: must be above 0 and at most 1")
        if self.top_k < 0:
            raise ConfigError(f"top_k {self.top_k}: must be at least 0")


class Sampler:
    """Ids (n,), one for each of n samples side by side, without end.

    They go on from `prompt` (N,), read in the state that is given (each layer (1, states·h)), or as a text's beginning.
    The prompt may be empty if there is a state. The same seed gives the same ids.
    """

    def __init__(
        self,
        parameters: Parameters,
        prompt: Array,
        seed: int | None = None,
        choice: Choice = Choice(),
        n: int = 1,
        state: State | None = None,
    ) -> None:
        self._parameters, self._n = parameters, n
        self._stack = Stack(parameters.architecture, parameters.vector.dtype)
        # Every sample reads the same prompt: once, as one sequence.
        state = self._stack.begin(parameters, 1) if state is None else state
        for start in range(0, len(prompt), CHUNK):
            part = np.asarray(prompt[start : start + CHUNK]).astype(np.intp)[:, None]
            state = self._stack.forward(parameters, part, state).state(len(part))
        self._layers = [_Layer(self, i, np.repeat(S, n, axis=0)) for i, S in enumerate(state)]
        self._last: Array | None = None
        self._pick = picker(choice, np.random.default_rng(seed), n, parameters.architecture.symbols)
        self._ids = self._drawn()

    def __iter__(self) -> Iterator[Array]:
        return self._ids

    def __next__(self) -> Array:
        return next(self._ids)

    @property
    def state(self) -> State:
        """The state (n, states·h) of each layer after the prompt and all that was drawn have been read."""
        state = [layer.now.reshape(self._n, -1).copy() for layer in self._layers]
        if self._last is not None:
            state = self._stack.forward(self._parameters, self._last[None], state).state(1)
        return state

    def _drawn(self) -> Iterator[Array]:
        layers, n, pick = self._layers, self._n, self._pick
        step = self._stack.cell.step
        W, b = layers[0].W, layers[0].W["b"]
        first = W["W_x"] + b  # X_t W_x + b of every one-hot X_t
        own = "Z" in self._stack.cell.keeps  # such a cell writes into Z, which must not be `first`
        for layer in layers:
            layer.multiply(layer.now)
        Z = layers[-1].up + layers[-1].b_above
        for before, after in cycle([(0, 1), (1, 0)]):
            ids = pick(Z)
            self._last = ids
            yield ids
            Z = first[ids[0]] if n == 1 else first[ids]
            if own and n == 1:
                Z = Z.copy()
            for layer in layers:
                S = layer.states[after]
                step(layer.W, Z, layer.R, layer.states[before], S)
                layer.multiply(S)
                layer.now = S
                Z = np.add(layer.up, layer.b_above, layer.up)  # in the end the logits


class _Layer:
    """A layer while it samples: two places for its state, which take turns, and where its products go."""

    def __init__(self, sampler: Sampler, i: int, S: Array) -> None:
        parameters = sampler._parameters
        hidden, top = parameters.architecture.hidden, i + 1 == len(parameters.architecture.hidden)
        self.W: Weights = parameters.layer(i + 1)
        above = None if top else parameters.layer(i + 2)
        W_above, self.b_above = parameters.output() if above is None else (above["W_x"], above["b"])
        # One sample alone is a vector: NumPy is quicker with vectors than with matrices of one row.
        self.now = S[0].copy() if len(S) == 1 else S
        self.states = (self.now, np.empty_like(self.now))
        self.R, self.up, self.multiply = _products(self.now, hidden[i], self.W["W_hh"], W_above)


def _products(S: Array, h: int, W_hh: Array, W_above: Array) -> tuple[Array, Array, Callable[[Array], object]]:
    """H_t goes two ways, to its own layer's next step and up: arrays for H W_hh and H W_above, and what fills both
    from S_t."""
    if S.ndim == 1:
        # One product with both, laid out by columns: fewer calls, and an eighth faster.
        W = aligned(W_hh.size + W_above.size, S.dtype).reshape(-1, h)
        np.concatenate([W_hh.T, W_above.T], out=W)
        out = np.empty(len(W), S.dtype)
        if len(S) == h:
            return out[: W_hh.shape[1]], out[W_hh.shape[1] :], lambda S: W.dot(S, out)
        return out[: W_hh.shape[1]], out[W_hh.shape[1] :], lambda S: W.dot(S[:h], out)
    R, up = (np.empty((len(S), W.shape[1]), W.dtype) for W in (W_hh, W_above))
    times_W_hh, times_W_above = (product_with(W, len(S), Buffers(W.dtype)) for W in (W_hh, W_above))
    R_view, up_view = times_W_hh.view(R), times_W_above.view(up)

    def multiply(S: Array) -> None:
        times_W_hh.times(S[:, :h], R_view)
        times_W_above.times(S[:, :h], up_view)

    return R, up, multiply


def picker(choice: Choice, rng: np.random.Generator, n: int, a: int) -> Callable[[Array], Array]:
    """A function from logits (n, a), or (a,) for n = 1, which it overwrites, to ids (n,)."""
    if choice.greedy:
        return lambda logits: np.atleast_1d(logits.argmax(axis=-1))
    draws: Iterator[Array] = (u for _ in iter(int, 1) for u in rng.random((DRAWS, n)))
    inverse = 1 / choice.temperature
    plain = not choice.top_k and choice.top_p >= 1
    dtype = np.float64 if a > 4096 else None  # many small probabilities must not vanish in their sum

    def pick(logits: Array) -> Array:
        logits -= np.maximum.reduce(logits, axis=-1, keepdims=True)
        if inverse != 1:
            logits *= inverse
        P = np.exp(logits, out=logits)
        if not plain:
            _restrict(P.reshape(n, a), choice)
        # The first symbol at which the running sum passes u · Σ P.
        sums = np.add.accumulate(P, axis=-1, dtype=dtype)
        if n == 1:
            mark = next(draws).item() * sums[-1]
            if mark >= sums[-1]:  # rounded up
                mark = np.nextafter(sums[-1], sums.dtype.type(0))
            return np.array([min(int(sums.searchsorted(mark, "right")), a - 1)])
        ids: Array = (sums <= (next(draws) * sums[:, -1])[:, None]).sum(axis=1)
        return np.minimum(ids, a - 1, out=ids)

    return pick


def _restrict(P: Array, choice: Choice) -> None:
    """Zeroes what lies outside the k most probable symbols, then outside the nucleus of mass `top_p`, in place."""
    for p in P:
        order = np.argsort(-p, kind="stable")
        keep = min(choice.top_k, p.size) if choice.top_k else p.size
        if choice.top_p < 1:
            mass = np.cumsum(p[order[:keep]], dtype=np.float64)
            keep = int(np.searchsorted(mass, choice.top_p * mass[-1])) + 1
        p[order[keep:]] = 0


def until(characters: Iterator[str], length: int, stop: str | None = None) -> Iterator[str]:
    """The first `length` characters, or those up to and with the text `stop`."""
    tail = ""
    for character in islice(characters, length):
        yield character
        if stop:
            tail = (tail + character)[-len(stop) :]
            if tail == stop:
                return
