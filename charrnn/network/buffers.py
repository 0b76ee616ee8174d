"""Memory of the network: the one place that knows how a sequence lies in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Buffers:
    """Arrays that are made once and used again at every update; one under each name, as large as ever asked for.

    What `sequence` or `block` returns is uninitialised, and shares its memory with whatever the same name gave before.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._flat: dict[str, Array] = {}

    def block(self, name: str, *shape: int) -> Array:
        """A C-ordered array of `shape`."""
        size = 1
        for length in shape:
            size *= length
        flat = self._flat.get(name)
        if flat is None or flat.size < size:
            flat = self._flat[name] = np.empty(size, self.dtype)
        return flat[:size].reshape(shape)

    def sequence(self, name: str, T: int, n: int, width: int) -> Array:
        """A (T, n, width) array, laid out so that BLAS is fast on it.

        With several sequences side by side the memory is hidden-major, (width, T, n): `rows` of it is one matrix
        without a copy, softmax and bias sums run along contiguous memory, and a step's product is W_hhᵀ H_tᵀ, a plain
        GEMM. One sequence alone is a vector a step, and wants that vector contiguous.
        """
        if n == 1:
            return self.block(name, T, n, width)
        return self.block(name, width, T, n).transpose(1, 2, 0)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(flat.nbytes for flat in self._flat.values())


def rows(sequence: Array) -> Array:
    """The (T, n, width) sequence as one (T·n, width) matrix; a view for every array that `Buffers.sequence` made."""
    T, n, width = sequence.shape
    if n == 1:
        return sequence.reshape(T, width)
    return sequence.transpose(2, 0, 1).reshape(width, T * n).T
