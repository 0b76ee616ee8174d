"""Hidden units that follow a feature of the text, as being inside quotes or the position in the line.

Of every feature the unit is chosen on one half of the text, and its correlation measured on the other: among hundreds
of units some follow anything by chance, on the text on which they are chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.inference.scoring import ROWS, begins
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack, State
from charrnn.text.reading import SEPARATOR
from charrnn.text.tokenizer import Tokenizer

CHARACTERS = 20_000  # symbols that are read, at most
FEWEST = 20  # symbols of each half at which a feature is zero, and at which it is not
PASSAGE = 400  # symbols over which the units are shown


@dataclass(frozen=True)
class Unit:
    """The unit that follows a feature best.

    layer, unit: from 1. chosen, correlation: Pearson's r with the feature, on the half on which the unit was chosen,
    and on the other one. values: (n,) over the passage.
    """

    feature: str
    layer: int
    unit: int
    chosen: float
    correlation: float
    values: Array


@dataclass(frozen=True)
class Units:
    """The units of all features that the text has, the best first by the half on which they were chosen.

    characters: symbols that were read. passage: those over which the units' values are kept, as they are shown.
    """

    characters: int
    passage: list[str]
    found: list[Unit]


def features(text: Iterable[str]) -> dict[str, Array]:
    """What is known of each character of a text (N,) from itself and those before it, by name.

    Inside straight double quotes and curly or angled ones, inside any brackets: 0 or 1; an empty line, or the end of a
    piece, closes what was left open. Position in the line: characters since its beginning. Indentation: blanks at its
    beginning, so far. In a word: a letter or digit. Capital: a letter in upper case.
    """
    quoted, depth, column, indentation, before = False, 0, 0, 0, ""
    rows = []
    for c in text:
        if c in ("\n", SEPARATOR):
            if c == SEPARATOR or before == "\n":
                quoted, depth = False, 0
            column = indentation = 0
        else:
            indentation += column == indentation and c in " \t"
            column += 1
            quoted = not quoted if c == '"' else (quoted or c in "“«") and c not in "”»"
            depth = max(depth + (c in "([{") - (c in ")]}"), 0)
        rows.append((quoted, column, depth > 0, indentation, c.isalnum(), c.isupper()))
        before = c
    names = ("inside quotes", "position in the line", "inside brackets", "indentation", "in a word", "capital letter")
    values = np.array(rows, np.float64).reshape(len(rows), len(names))
    return {name: values[:, i] for i, name in enumerate(names)}


def following(parameters: Parameters, ids: Array, tokenizer: Tokenizer, end: int | None = None) -> Units:
    """The units that follow the features of a text, given as ids (N,) of the tokenizer; of a long one, its beginning.

    Of a text of pieces, each begins with the id `end`, as of `scoring.evaluate`. A feature is left out if one of the
    halves hardly has it, or hardly anything else.
    """
    ids = ids[:CHARACTERS]
    half = len(ids) // 2
    known = {
        name: values
        for name, values in features(_characters(ids, tokenizer)).items()
        if _varies(values[:half], values[half:])
    }
    if not known:
        return Units(len(ids), [], [])
    F = np.array(list(known.values()))  # (features, N)
    stack = Stack(parameters.architecture, parameters.vector.dtype)
    correlation = _Correlation(F[:, :half], sum(parameters.architecture.hidden))
    state = stack.begin(parameters, 1)
    for H, after in _states(stack, parameters, ids[:half], state, end):
        correlation.add(H)
        state = after
    chosen = correlation.value()
    best = np.abs(chosen).argmax(axis=1)
    values = np.concatenate([H[:, best] for H, _ in _states(stack, parameters, ids[half:], state, end)])
    start = half + _liveliest(F[:, half:])
    stop = min(start + PASSAGE, len(ids))
    places = [(i + 1, unit + 1) for i, h in enumerate(parameters.architecture.hidden) for unit in range(h)]
    found = []
    for i, name in enumerate(known):
        layer, unit = places[best[i]]
        other = _Correlation(F[i : i + 1, half:], 1)
        other.add(values[:, i : i + 1])
        found.append(
            Unit(
                name,
                layer,
                unit,
                float(chosen[i, best[i]]),
                float(other.value()[0, 0]),
                values[start - half : stop - half, i],
            )
        )
    passage = [tokenizer.names[i] for i in ids[start:stop].tolist()]
    return Units(len(ids), passage, sorted(found, key=lambda unit: -abs(unit.chosen)))


def _characters(ids: Array, tokenizer: Tokenizer) -> list[str]:
    """A character for each symbol: of a grapheme the first code point, or its line end; of a byte that of which it is a
    part."""
    character, found = "\ufffd", []
    for piece in reversed(list(tokenizer.decoded(ids.tolist()))[: len(ids)]):
        if piece:
            character = "\n" if piece.endswith("\n") else piece[-1] if tokenizer.unit == "byte" else piece[0]
        found.append(character)
    return found[::-1]


def _varies(*halves: Array) -> bool:
    return all(FEWEST <= np.count_nonzero(half) <= len(half) - FEWEST for half in halves)


def _liveliest(F: Array) -> int:
    """Where the passage begins in which most of the features vary as much as in the whole."""
    starts = range(0, max(F.shape[1] - PASSAGE, 0) + 1, PASSAGE // 4)
    whole = F.std(axis=1)
    return max(starts, key=lambda at: float(np.minimum(F[:, at : at + PASSAGE].std(axis=1) / whole, 1).sum()))


def _states(
    stack: Stack, parameters: Parameters, ids: Array, state: State, end: int | None
) -> Iterator[tuple[Array, State]]:
    """H of all layers side by side (n, Σ h), of a portion of the text after another, and the state after it."""
    for start in range(0, len(ids), ROWS):
        inputs = ids[start : start + ROWS, None].astype(np.intp)
        tape = stack.forward(parameters, inputs, state, fresh=begins(inputs, end))
        state = tape.state(len(inputs))
        yield np.concatenate([layer.H_after for layer in tape.layers], axis=1, dtype=np.float64), state


class _Correlation:
    """Pearson's r of features (k, N) with units, whose values come in portions (n, units)."""

    def __init__(self, F: Array, units: int) -> None:
        self._F, self._at = F - F.mean(axis=1, keepdims=True), 0
        self._sum, self._squares = np.zeros(units), np.zeros(units)
        self._products = np.zeros((len(F), units))

    def add(self, H: Array) -> None:
        self._products += self._F[:, self._at : self._at + len(H)] @ H
        self._sum += H.sum(axis=0)
        self._squares += (H**2).sum(axis=0)
        self._at += len(H)

    def value(self) -> Array:
        """(k, units); 0 for a unit that does not vary."""
        variance = np.maximum(self._squares - self._sum**2 / self._at, 0)
        varies = variance > 1e-9 * np.maximum(self._squares, 1e-300)
        scale = np.sqrt(np.where(varies, variance, np.inf))
        r: Array = self._products / (np.sqrt((self._F**2).sum(axis=1))[:, None] * scale)
        return r
