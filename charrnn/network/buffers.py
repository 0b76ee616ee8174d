"""Memory of the network, made once."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


STEPS = 32  # blocks whose steps are known: taking them apart anew is a twentieth of a small network's update
LINE = 64  # bytes of a cache line, and of an AVX-512 register


def aligned(size: int, dtype: npt.DTypeLike) -> Array:
    """A vector of zeros that begins at a cache line: loads of whole registers then never touch two of them."""
    dtype = np.dtype(dtype)
    memory = np.zeros(size * dtype.itemsize + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


class Buffers:
    """Arrays that are made once and used again at every update; one under each name, as large as ever asked for.

    What is returned is uninitialised, and shares its memory with whatever the same name gave before.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._flat: dict[str, Array] = {}
        # By the id of a block, and as long as it lives, which the reference to it tells.
        self._steps: dict[int, tuple[list[Array], weakref.ref[Array]]] = {}
        self._views: dict[tuple[str, tuple[int, ...]], Array] = {}

    def block(self, name: str, *shape: int) -> Array:
        """A C-ordered array of `shape`."""
        view = self._views.get((name, shape))
        if view is None:
            size = math.prod(shape)
            flat = self._flat.get(name)
            if flat is None or flat.size < size:
                self._views = {key: view for key, view in self._views.items() if key[0] != name}
                flat = self._flat[name] = aligned(size, self.dtype)
            view = self._views[name, shape] = flat[:size].reshape(shape)
        return view

    def steps(self, block: Array) -> list[Array]:
        """The steps of a `block` (T, n, h), each (n, h); or (h,) for one sequence: vectors take NumPy less time."""
        known = self._steps.get(id(block))
        if known is None:
            if len(self._steps) == STEPS:
                self._steps.clear()
            forget, key = self._steps.pop, id(block)
            steps = list(block[:, 0] if block.shape[1] == 1 else block)
            known = self._steps[key] = steps, weakref.ref(block, lambda _: forget(key, None))
        return known[0]

    def ones(self, m: int) -> Array:
        """m ones: a product with them is a sum over m rows, which BLAS adds up faster than NumPy does."""
        ones = self._views.get(("ones", (m,)))
        if ones is None:
            ones = self.block("ones", m)
            ones.fill(1)
        return ones

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(flat.nbytes for flat in self._flat.values())
