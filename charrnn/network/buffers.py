"""Memory of the network: the one place that knows how a sequence lies in memory.

A sequence has the shape (T, n, width) everywhere. It lies in one of two ways, with copies between them:

    steps   (T, width, n) in memory: a step is one contiguous block, and its recurrent product W_hhᵀ H_tᵀ a plain GEMM
    rows    (width, T·n) in memory: all steps together are one matrix (T·n, width) for every product that is not
            recurrent

Measured (docs/benchmarks.md), the loop over time is faster by up to half on steps than on rows, and the copies cost
a few per cent of what that saves. One sequence alone (n = 1) lies the same way for both, a vector a step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Buffers:
    """Arrays that are made once and used again at every update; one under each name, as large as ever asked for.

    What is returned is uninitialised, and shares its memory with whatever the same name gave before.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._flat: dict[str, Array] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Array] = {}

    def block(self, name: str, *shape: int) -> Array:
        """A C-ordered array of `shape`."""
        view = self._views.get((name, shape))
        if view is None:
            size = math.prod(shape)
            flat = self._flat.get(name)
            if flat is None or flat.size < size:
                self._views = {key: view for key, view in self._views.items() if key[0] != name}
                flat = self._flat[name] = np.empty(size, self.dtype)
            view = self._views[name, shape] = flat[:size].reshape(shape)
        return view

    def steps(self, name: str, T: int, n: int, width: int) -> Array:
        """A (T, n, width) array that lies by steps."""
        return self.block(name, T, width, n).transpose(0, 2, 1)

    def rows(self, name: str, T: int, n: int, width: int) -> Array:
        """A (T·n, width) matrix that lies by rows."""
        return self.block(name, T, width) if n == 1 else self.block(name, width, T * n).T

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(flat.nbytes for flat in self._flat.values())


def as_sequence(rows: Array, T: int) -> Array:
    """The (T·n, width) matrix as a (T, n, width) sequence that lies by rows; a view."""
    return rows.reshape(T, -1, rows.shape[1])


def by_columns(sequence: Array) -> Array:
    """The (T, n, width) sequence as (T, width, n), each step transposed; a view, contiguous if it lies by steps."""
    return sequence.transpose(0, 2, 1)


def to_rows(sequence: Array, out: Array) -> Array:
    """Copies a (T, n, width) sequence into the (T·n, width) matrix `out`."""
    _copy(sequence, as_sequence(out, len(sequence)))
    return out


def to_steps(rows: Array, out: Array) -> Array:
    """Copies a (T·n, width) matrix into the (T, n, width) sequence `out`."""
    _copy(as_sequence(rows, len(out)), out)
    return out


def _copy(source: Array, out: Array) -> None:
    """Of one (T, n, width) sequence into another, both by steps or rows, where the n numbers of a unit lie together.

    They are moved as one item, which takes NumPy half the time of n items.
    """
    source, out = by_columns(source), by_columns(out)
    n = source.shape[2]
    if n > 1:
        item = np.dtype((np.void, n * source.itemsize))
        source, out = source.view(item), out.view(item)
    np.copyto(out, source)
