"""Text written by a network, one character after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from charrnn.network.buffers import Array, Buffers, aligned
from charrnn.network.cells import CELLS
from charrnn.network.parameters import Parameters
from charrnn.network.products import product_with
from charrnn.network.stack import Stack, zero_state

DRAWS = 256  # random numbers fetched at a time


@dataclass(frozen=True)
class Choice:
    """How a symbol is chosen from A: from A^(1/temperature), the `top_k` most probable (0: all), the smallest set of
    symbols whose probabilities reach `top_p`; or simply the most probable one if `greedy`."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    greedy: bool = False


def sample(
    parameters: Parameters, prompt: Array, seed: int | None, choice: Choice = Choice(), n: int = 1
) -> Iterator[Array]:
    """Ids (n,), one for each of n samples side by side, without end, after reading `prompt` (at least one id)."""
    architecture = parameters.architecture
    cell = CELLS[architecture.cell](architecture.activation)
    layers = [parameters.layer(i) for i in range(1, len(architecture.hidden) + 1)]
    above = [*((W_x, b) for W_x, _, b in layers[1:]), parameters.output()]
    first = layers[0][0] + layers[0][2]  # X_t W_x + b for every one-hot X_t

    # Every sample reads the same prompt: once, as one sequence.
    stack = Stack(architecture, parameters.vector.dtype)
    tape = stack.forward(parameters, np.asarray(prompt)[:, None], zero_state(parameters, 1))
    # One sample alone is a vector: NumPy is quicker with vectors than with matrices of one row.
    state = [S[0] if n == 1 else np.repeat(S, n, axis=0) for S in tape.state(len(prompt))]
    pick = _picker(choice, np.random.default_rng(seed), n, architecture.symbols)

    steps = []
    for S, (_, W_hh, _), (W_above, b) in zip(state, layers, above, strict=True):
        R, up, multiply = _products(S[..., : len(W_hh)], W_hh, W_above)
        multiply()
        steps.append((S, R, up, b, multiply))
    Z = up + b
    while True:
        ids = pick(Z)
        yield ids
        Z = first[ids[0]] if n == 1 else first[ids]
        for S, R, up, b, multiply in steps:
            cell.step(Z, R, S)
            multiply()
            Z = np.add(up, b, up)  # in the end the logits


def _products(H: Array, W_hh: Array, W_above: Array) -> tuple[Array, Array, Callable[[], object]]:
    """H_t goes two ways, to its own layer's next step and up: arrays for H W_hh and H W_above, and what fills both."""
    if H.ndim == 1:
        # One product with both, laid out by columns: fewer calls, and an eighth faster.
        W = aligned(W_hh.size + W_above.size, H.dtype).reshape(-1, len(H))
        np.concatenate([W_hh.T, W_above.T], out=W)
        out = np.empty(len(W), H.dtype)
        return out[: W_hh.shape[1]], out[W_hh.shape[1] :], lambda: W.dot(H, out)
    R, up = (np.empty((len(H), W.shape[1]), W.dtype) for W in (W_hh, W_above))
    times_W_hh, times_W_above = (product_with(W, out, Buffers(W.dtype)) for W, out in ((W_hh, R), (W_above, up)))

    def multiply() -> None:
        times_W_hh(H, R)
        times_W_above(H, up)

    return R, up, multiply


def _picker(choice: Choice, rng: np.random.Generator, n: int, a: int) -> Callable[[Array], Array]:
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


def characters_until(draws: Iterable[Any], symbols: str, length: int, stop: str | None = None) -> Iterator[str]:
    """The characters of one sample as they are drawn: `length` of them, or up to and with the text `stop`."""
    written = ""
    for ids in islice(draws, length):
        character = symbols[int(ids[0])]
        yield character
        if stop:
            written = (written + character)[-len(stop) :]
            if written == stop:
                return
