"""The weights: one flat vector, with a named view for each matrix of the document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charrnn.network.buffers import Array


@dataclass(frozen=True)
class Architecture:
    """The sizes of a network: `symbols` is both d and a; `hidden` holds h_1 … h_L."""

    symbols: int
    hidden: tuple[int, ...]
    activation: str = "tanh"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the document's symbols: W_xh1 (d, h1), W_h1h1, b_h1, W_h1h2 …"""
        shapes: dict[str, tuple[int, ...]] = {}
        below, width = "x", self.symbols
        for layer, h in enumerate(self.hidden, start=1):
            shapes[f"W_{below}h{layer}"] = (width, h)
            shapes[f"W_h{layer}h{layer}"] = (h, h)
            shapes[f"b_h{layer}"] = (h,)
            below, width = f"h{layer}", h
        shapes[f"W_{below}a"] = (width, self.symbols)
        shapes["b_a"] = (self.symbols,)
        return shapes


class Parameters:
    """Weights (or their gradients) of one architecture: `vector` is flat, `self[name]` is a view of it."""

    def __init__(
        self,
        architecture: Architecture,
        dtype: npt.DTypeLike = np.float32,
        vector: Array | None = None,
    ) -> None:
        self.architecture = architecture
        self.shapes = architecture.shapes()
        size = sum(int(np.prod(shape)) for shape in self.shapes.values())
        self.vector: Array = np.zeros(size, dtype) if vector is None else vector
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + int(np.prod(shape))
            self._views[name] = self.vector[start:stop].reshape(shape)
            start = stop

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def layer(self, index: int) -> tuple[Array, Array, Array]:
        """W_x (d or h_{l-1}, h_l), W_hh (h_l, h_l) and b (h_l,) of layer `index`, counted from 1."""
        below = "x" if index == 1 else f"h{index - 1}"
        return (
            self[f"W_{below}h{index}"],
            self[f"W_h{index}h{index}"],
            self[f"b_h{index}"],
        )

    def output(self) -> tuple[Array, Array]:
        """W_ha (h_L, a) and b_a (a,)."""
        return self[f"W_h{len(self.architecture.hidden)}a"], self["b_a"]


def initial(architecture: Architecture, rng: np.random.Generator, dtype: npt.DTypeLike) -> Parameters:
    """Starting weights: orthogonal W_hh, uniform ±√(1/fan-in) elsewhere, zero biases.

    An orthogonal W_hh keeps the length of every vector, so errors neither vanish nor explode by it at the start.
    """
    parameters = Parameters(architecture, dtype)
    for name, shape in parameters.shapes.items():
        if len(shape) == 1:
            continue
        if shape[0] == shape[1] and name.startswith("W_h") and not name.endswith("a"):
            layer = name[2:]
            if layer[: len(layer) // 2] == layer[len(layer) // 2 :]:
                Q, R = np.linalg.qr(rng.standard_normal(shape))
                parameters[name][...] = Q * np.sign(np.diag(R))
                continue
        # A one-hot input selects one row: its fan-in is one, but small weights start more calmly.
        bound = 0.1 if name.startswith("W_x") else np.sqrt(1 / shape[0])
        parameters[name][...] = rng.uniform(-bound, bound, shape)
    return parameters
