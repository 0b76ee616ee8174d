"""Text written by a network, one character after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np

from charrnn.arguments import number, switch, whole
from charrnn.errors import ConfigError, DivergedError
from charrnn.inference.repetition import Repetition
from charrnn.inference.scoring import begins
from charrnn.network.buffers import Array, Buffers, aligned
from charrnn.network.cells import Weights
from charrnn.network.parameters import Parameters
from charrnn.network.products import product_with, unflagged
from charrnn.network.stack import Stack, State

DRAWS = 256  # random numbers fetched at a time
CHUNK = 4096  # characters of a prompt that are read at a time, which bounds memory


@dataclass(frozen=True)
class Choice:
    """How a symbol is chosen from A: from A^(1/temperature), the `top_k` most probable (0: all), the smallest set of
    symbols whose probabilities reach `top_p`; or simply the most probable one if `greedy`. A `repetition_penalty` above
    1 comes before all of these (`inference.repetition`). ConfigError for a number that cannot be."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    greedy: bool = False
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        read = {
            "temperature": number("temperature", self.temperature),
            "top_k": whole("top_k", self.top_k),
            "top_p": number("top_p", self.top_p),
            "greedy": switch("greedy", self.greedy),
            "repetition_penalty": number("repetition_penalty", self.repetition_penalty),
        }
        for name, value in read.items():
            object.__setattr__(self, name, value)
        if not 1e-4 <= self.temperature <= 1e4:
            raise ConfigError(
                f"temperature {self.temperature:g}: must be from 0.0001 to 10000; for no chance at all, be greedy"
            )
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p {self.top_p:g}: must be above 0 and at most 1")
        if not 1 <= self.repetition_penalty <= 1e4:
            raise ConfigError(
                f"repetition_penalty {self.repetition_penalty:g}: must be from 1, which is none, to 10000"
            )


class Written(str):
    """A text that a model wrote, with the ids of the symbols that it is made of.

    Read again from the text alone, bytes that are no UTF-8 and graphemes that join would be others.
    """

    ids: Sequence[int]

    def __new__(cls, text: str, ids: Sequence[int] = ()) -> Written:
        made = super().__new__(cls, text)
        made.ids = ids
        return made


class Sampler(Iterator[Array]):
    """Ids (n,), one for each of n samples side by side, without end.

    They continue `prompt` (N,), which is read from `state` (of one sequence), by default that of a text's beginning.
    The prompt may be empty if there is a state. The same seed gives the same ids. Of a text of pieces, each begins with
    the id `end`, and a fresh state. DivergedError if a weight is not finite.
    """

    def __init__(
        self,
        parameters: Parameters,
        prompt: Array,
        seed: int | None = None,
        choice: Choice = Choice(),
        n: int = 1,
        state: State | None = None,
        end: int | None = None,
    ) -> None:
        self._parameters, self._n, self._end = parameters, n, end
        # Every sample reads the same prompt: once, as one sequence.
        self._stack, state = after_prompt(parameters, prompt, state, end)
        self._layers = [_Layer(parameters, i, np.repeat(S, n, axis=-2)) for i, S in enumerate(state)]
        self._now = 0  # where each layer's state is
        self._last: Array | None = None
        self._pick = picker(choice, np.random.default_rng(seed), n, parameters.architecture.symbols)
        if choice.repetition_penalty > 1:
            self._pick = penalised(self._pick, Repetition(choice.repetition_penalty, prompt, n))
        self._ids = self._drawn()

    def __next__(self) -> Array:
        return next(self._ids)

    @property
    def state(self) -> State:
        """The state of each layer, of n sequences, after the prompt and all sampled characters."""
        state = [layer.state(self._now) for layer in self._layers]
        if self._last is not None:
            last = self._last[None]
            state = self._stack.forward(self._parameters, last, state, fresh=begins(last, self._end)).state(1)
        return state

    def _drawn(self) -> Iterator[Array]:
        layers, n, pick = self._layers, self._n, self._pick
        step, gates = self._stack.cell.step, self._stack.cell.gates
        first = layers[0].W["W_x"] + layers[0].W["b"]  # X_t W_x + b of every one-hot X_t
        writes = "Z" in self._stack.cell.keeps  # such a cell writes into Z, which must not be `first`
        turns = [[layer.turn(before) for layer in layers] for before in (0, 1)]
        for *_, multiply, H, out, _, _, _ in turns[1]:  # which ends where each layer's state is now
            multiply(H, out)
        logits = layers[-1].up + layers[-1].b_above
        end, begin = self._end, self._stack.begin(self._parameters, 1)
        for before in cycle((0, 1)):
            self._last = ids = pick(logits)
            yield ids
            if end is not None and (ended := np.flatnonzero(ids == end)).size:
                for layer, S in zip(layers, begin, strict=True):
                    layer.begin(before, S, ended)
            Z = first[ids[0]] if n == 1 else first[ids]
            if writes and n == 1:
                Z = Z.copy()
            if gates > 1:
                Z = by_gate(Z, gates)
            for W, R, S_before, S, multiply, H, out, up, b, Z_above in turns[before]:
                step(W, Z, R, S_before, S)
                multiply(H, out)
                logits = np.add(up, b, up)  # of the top layer; of the others, the next layer's Z
                Z = Z_above
            self._now = 1 - before


def after_prompt(parameters: Parameters, prompt: Array, state: State | None, end: int | None) -> tuple[Stack, State]:
    """A stack, and its state of one sequence after the ids `prompt` (N,). DivergedError if a weight is not finite."""
    if not np.isfinite(parameters.vector).all():
        raise DivergedError("a weight is not finite, so no character has a probability; load another checkpoint")
    stack = Stack(parameters.architecture, parameters.vector.dtype)
    state = stack.begin(parameters, 1) if state is None else state
    for start in range(0, len(prompt), CHUNK):
        part = np.asarray(prompt[start : start + CHUNK]).astype(np.intp)[:, None]
        state = stack.forward(parameters, part, state, fresh=begins(part, end)).state(len(part))
    return stack, state


def by_gate(Z: Array, gates: int) -> Array:
    """(gates, n, h) of rows (n, gates·h), or (gates, h) of one row."""
    return Z.reshape(gates, -1) if Z.ndim == 1 else Z.reshape(len(Z), gates, -1).swapaxes(0, 1)


class _Layer:
    """A layer while it samples: two places for its state, which take turns, and where its products go.

    H_t goes two ways, to its own layer's next step and up: `multiply` fills both R = H W_hh and `up` = H W_above.
    """

    def __init__(self, parameters: Parameters, i: int, S: Array) -> None:
        architecture, n = parameters.architecture, S.shape[-2]
        top, gates = i + 1 == len(architecture.hidden), architecture.made_cell.gates
        self.W: Weights = parameters.layer(i + 1)
        above = None if top else parameters.layer(i + 2)
        W_above, self.b_above = parameters.output() if above is None else (above["W_x"], above["b"])
        W_hh, (h, g) = self.W["W_hh"], self.W["W_hh"].shape
        # One sample alone is a vector: NumPy is quicker with vectors than with matrices of one row.
        state = S[..., 0, :].copy() if n == 1 else S
        self.states = (state, np.empty_like(state))
        self.has_states = architecture.made_cell.states > 1
        self.multiply: Callable[[Array, Array], object]
        self.out = np.empty(g + W_above.shape[1] if n == 1 else 0, S.dtype)
        if n == 1:
            # One product with both, laid out by columns: fewer calls, and an eighth faster.
            W = aligned(W_hh.size + W_above.size, S.dtype).reshape(-1, h)
            np.concatenate([W_hh.T, W_above.T], out=W)
            self.R, self.up, self.multiply = self.out[:g], self.out[g:], unflagged(W.dot) if h == 5 else W.dot
            self.R = self.R if gates == 1 else by_gate(self.R, gates)
        else:
            self.R = np.empty((n, h) if gates == 1 else (gates, n, h), S.dtype)
            self.up = np.empty((n, W_above.shape[1]), S.dtype)
            own = product_with(W_hh, n, Buffers(S.dtype), gates)
            upwards = product_with(W_above, n, Buffers(S.dtype))
            ways = [(own.times, own.view(self.R)), (upwards.times, upwards.view(self.up))]
            self.multiply = lambda H, _: [times(H, view) for times, view in ways]
        self.Z_above = self.up if top or gates == 1 else by_gate(self.up, gates)

    def state(self, place: int) -> Array:
        """The state in one of the two places, with its n sequences."""
        S = self.states[place]
        return (S[..., None, :] if len(self.out) else S).copy()

    @unflagged
    def begin(self, place: int, S: Array, sequences: Array) -> None:
        """Gives some sequences the state S, of one sequence, and the product of its H with W_hh."""
        W_hh = self.W["W_hh"]
        R, gates = (S[0] if self.has_states else S) @ W_hh, W_hh.shape[1] // len(W_hh)
        R = R if gates == 1 else by_gate(R, gates)
        for into, begun in ((self.states[place], S), (self.R, R)):
            if len(self.out):
                into[...] = begun.reshape(into.shape)
            else:
                into[..., sequences, :] = begun

    def turn(self, before: int) -> tuple[Any, ...]:
        """The arguments of a step that reads the state in place `before` and writes the other one."""
        S = self.states[1 - before]
        H = S[0] if self.has_states else S
        return self.W, self.R, self.states[before], S, self.multiply, H, self.out, self.up, self.b_above, self.Z_above


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


def penalised(pick: Callable[[Array], Array], repetition: Repetition) -> Callable[[Array], Array]:
    """A picker whose logits are lowered by the repetition before, and whose ids go on with its texts."""

    def pick_other(logits: Array) -> Array:
        repetition.penalise(np.atleast_2d(logits))
        ids = pick(logits)
        repetition.append(ids)
        return ids

    return pick_other


def _restrict(P: Array, choice: Choice) -> None:
    """Zeroes what lies outside the k most probable symbols, then outside the nucleus of mass `top_p`, in place."""
    for p in P:
        order = np.argsort(-p, kind="stable")
        keep = min(choice.top_k, p.size) if choice.top_k else p.size
        if choice.top_p < 1:
            mass = np.cumsum(p[order[:keep]], dtype=np.float64)
            keep = int(np.searchsorted(mass, choice.top_p * mass[-1])) + 1
        p[order[keep:]] = 0


def until(characters: Iterable[str], stop: str) -> Iterator[str]:
    """The characters up to and with the text `stop`."""
    tail = ""
    for character in characters:
        yield character
        tail = (tail + character)[-len(stop) :]
        if tail == stop:
            return
