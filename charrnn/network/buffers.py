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
KEPT = 64  # things kept: a long sequence has many segments, and random truncation another length at every update


def aligned(size: int, dtype: npt.DTypeLike) -> Array:
    """A vector of zeros (size,) that begins at a cache line, so that no load of a whole register touches two."""
    dtype = np.dtype(dtype)
    memory = np.zeros(size * dtype.itemsize + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


class Steps:
    """An array (T, n, width), C-ordered: as it is, as its rows, and taken apart into its steps."""

    def __init__(self, array: Array) -> None:
        self.array = array

    @cached_property
    def rows(self) -> Array:
        """All steps under each other, (T·n, width)."""
        return self.array.reshape(-1, self.array.shape[2])

    @cached_property
    def each(self) -> list[Array]:
        """A view of every step: (n, width), or (width,) for n = 1, since NumPy takes less time for vectors."""
        return list(self.array[:, 0] if self.array.shape[1] == 1 else self.array)

    def columns(self, start: int, stop: int) -> list[Array]:
        """A view of some columns of every step."""
        if (start, stop) == (0, self.array.shape[2]):
            return self.each
        return [step[..., start:stop] for step in self.each]


class Buffers:
    """Memory under names. What a name gives is uninitialised, and shares its memory with what it gave before."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._memory: dict[str, Array] = {}
        self._kept: dict[Hashable, Any] = {}

    def block(self, name: str, *shape: int) -> Array:
        """A C-ordered array of `shape`."""
        block: Array | None = self._kept.get((name, shape))
        return self._new(name, shape) if block is None else block

    def steps(self, name: str, T: int, n: int, width: int) -> Steps:
        """An array (T, n, width), with its steps."""
        return Steps(self.block(name, T, n, width))

    def kept(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` makes of this memory, made once: until the memory has to grow, or too much is kept."""
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
