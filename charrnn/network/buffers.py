"""Memory of the network: sequences of steps, made once and used again at every update."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Made = TypeVar("Made")

LINE = 64  # bytes of a cache line, and of an AVX-512 register
KEPT = 64  # objects that are kept at most; a long sequence has many segments, and random truncation many lengths


def aligned(size: int, dtype: npt.DTypeLike) -> Array:
    """A vector of zeros (size,) aligned to a cache line, so that no load of a full register crosses two lines."""
    dtype = np.dtype(dtype)
    memory = np.zeros(size * dtype.itemsize + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


class Steps:
    """All steps of one quantity of a cell, with k numbers per unit: `array` is (k, T, n, h), or (T, n, h) for k = 1.

    Where large products read or write it, `matrix` is the same memory as (T, n, k·h).
    """

    def __init__(self, array: Array, matrix: Array | None = None) -> None:
        self.array = array
        self.matrix = array if matrix is None and array.ndim == 3 else matrix

    @cached_property
    def each(self) -> list[Array]:
        """A view of every step: (k, n, h), or (n, h) for k = 1; without n where it is 1, since NumPy takes less time
        for vectors."""
        return [_without_one(self.array[..., t, :, :]) for t in range(self.array.shape[-3])]

    @cached_property
    def rows(self) -> Array:
        """All steps as one matrix (T·n, k·h)."""
        assert self.matrix is not None
        return self.matrix.reshape(-1, self.matrix.shape[2])

    @cached_property
    def rows_of_each(self) -> list[Array]:
        """A view of every step as a matrix (n, k·h); or (k·h,) for n = 1."""
        assert self.matrix is not None
        return self.each if self.matrix is self.array else [_without_one(step) for step in self.matrix]

    def plane(self, index: int) -> Steps:
        """One of the k numbers, as (T, n, h)."""
        if self.array.ndim == 3:
            return self
        return self.planes[index]

    @cached_property
    def planes(self) -> list[Steps]:
        """Each of the k numbers."""
        return list(map(Steps, self.array))


def _without_one(step: Array) -> Array:
    return step[..., 0, :] if step.shape[-2] == 1 else step


class Buffers:
    """Named memory. An array is uninitialised, and shares memory with every earlier array of the same name."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._memory: dict[str, Array] = {}
        self._kept: dict[Hashable, Any] = {}

    def block(self, name: str, *shape: int) -> Array:
        """A C-ordered array of `shape`."""
        block: Array | None = self._kept.get((name, shape))
        return self._new(name, shape) if block is None else block

    def planes(self, name: str, k: int, T: int, n: int, h: int) -> Steps:
        """Steps that lie in memory as (k, T, n, h): what a cell computes with lies together."""
        return Steps(self.block(name, T, n, h) if k == 1 else self.block(name, k, T, n, h))

    def stepwise(self, name: str, k: int, T: int, n: int, h: int) -> Steps:
        """Steps that lie in memory as (T, k, n, h): each step lies together."""
        return self.planes(name, k, T, n, h) if k == 1 else Steps(self.block(name, T, k, n, h).swapaxes(0, 1))

    def rows(self, name: str, k: int, T: int, n: int, h: int) -> Steps:
        """Steps that lie in memory as (T, n, k·h), for large products."""
        if k == 1:
            return self.planes(name, k, T, n, h)
        matrix = self.block(name, T, n, k * h)
        return Steps(matrix.reshape(T, n, k, h).transpose(2, 0, 1, 3), matrix)

    def kept(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The result of `make`, cached under `key`. The cache is emptied when a buffer grows, or at `KEPT` entries."""
        made: Made | None = self._kept.get(key)
        if made is None:
            made = make()
            if len(self._kept) >= KEPT:
                self._kept.clear()
            self._kept[key] = made
        return made

    def ones(self, m: int) -> Array:
        """m ones: a product with them is a sum over m rows, which BLAS adds up faster than NumPy does."""
        return self.kept(("ones", m), lambda: np.ones(m, self.dtype))

    def _new(self, name: str, shape: tuple[int, ...]) -> Array:
        size = math.prod(shape)
        memory = self._memory.get(name)
        if memory is None or memory.size < size:
            memory = self._memory[name] = aligned(size, self.dtype)
            self._kept.clear()
        whole = memory
        return self.kept((name, shape), lambda: whole[:size].reshape(shape))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(memory.nbytes for memory in self._memory.values())
