"""The weights: one flat vector, with a named view for each matrix of the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError
from charrnn.network.buffers import Array, aligned
from charrnn.network.cells import Cell, Weights
from charrnn.registry import CELLS, INITS


@dataclass(frozen=True)
class Architecture:
    """The sizes of a network: `symbols` is both d and a; `hidden` holds h_1 … h_L. ConfigError for unknown names."""

    symbols: int
    hidden: tuple[int, ...]
    activation: str = "tanh"
    cell: str = "rnn"

    def __post_init__(self) -> None:
        _ = self.made_cell

    @cached_property
    def made_cell(self) -> Cell:
        """The cell, with its φ."""
        cell: Cell = CELLS[self.cell](self.activation)
        return cell

    def layer_names(self, layer: int) -> dict[str, str]:
        """The cell's names of a layer's parameters, and what they are called in the network: W_x of layer 2 is W_h1h2,
        W_hh is W_h2h2, b is b_h2, and c, a cell's own, c_h2."""
        below = "x" if layer == 1 else f"h{layer - 1}"
        own = {"W_x": f"W_{below}h{layer}", "W_hh": f"W_h{layer}h{layer}"}
        return {name: own.get(name, f"{name}_h{layer}") for name in self._layer_shapes(layer)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the document's symbols: W_xh1 (d, h1), W_h1h1, b_h1, W_h1h2 …"""
        shapes: dict[str, tuple[int, ...]] = {}
        for layer in range(1, len(self.hidden) + 1):
            names = self.layer_names(layer)
            shapes |= {names[name]: shape for name, shape in self._layer_shapes(layer).items()}
        shapes[f"W_h{len(self.hidden)}a"] = (self.hidden[-1], self.symbols)
        shapes["b_a"] = (self.symbols,)
        return shapes

    def _layer_shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        d = self.symbols if layer == 1 else self.hidden[layer - 2]
        return self.made_cell.shapes(d, self.hidden[layer - 1])


class Parameters:
    """Weights (or their gradients) of one architecture: `vector` is flat, `self[name]` is a view of it.

    Both are one memory, in copies and pickles too; what is assigned to `vector` is copied into it.
    """

    def __init__(
        self,
        architecture: Architecture,
        dtype: npt.DTypeLike = np.float32,
        vector: Array | None = None,
    ) -> None:
        self.architecture = architecture
        self.shapes = architecture.shapes()
        sizes = {name: int(np.prod(shape)) for name, shape in self.shapes.items()}
        size = sum(sizes.values())
        if vector is not None and vector.shape != (size,):
            raise ValueError(f"a vector of {(size,)} holds these weights, not one of {vector.shape}")
        self._vector: Array = aligned(size, dtype) if vector is None else vector
        self._views: dict[str, Array] = {}
        start = 0
        for name, shape in self.shapes.items():
            self._views[name] = self._vector[start : start + sizes[name]].reshape(shape)
            start += sizes[name]
        self._output = self._views[f"W_h{len(architecture.hidden)}a"], self._views["b_a"]
        self._layers: list[Weights] = [
            {name: self._views[key] for name, key in architecture.layer_names(layer).items()}
            for layer in range(1, len(architecture.hidden) + 1)
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        # The views of a copy must be made of its own vector.
        return type(self), (self.architecture, self.vector.dtype, self.vector)

    @property
    def vector(self) -> Array:
        """All weights (size,), in the order of `shapes`."""
        return self._vector

    @vector.setter
    def vector(self, values: Array) -> None:
        self._vector[...] = values

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def layer(self, index: int) -> Weights:
        """The parameters of layer `index`, counted from 1, by the cell's own names: W_x, W_hh, b …"""
        return self._layers[index - 1]

    @cached_property
    def sums(self) -> list[Array]:
        """The views of a gradient that a backward pass adds to, and that start at zero: all but W_x and W_hh."""
        written = {id(layer[name]) for layer in self._layers for name in ("W_x", "W_hh")}
        return [view for view in self._views.values() if id(view) not in written]

    def output(self) -> tuple[Array, Array]:
        """W_ha (h_L, a) and b_a (a,)."""
        return self._output


def from_arrays(architecture: Architecture, arrays: Mapping[str, Array]) -> Parameters:
    """The weights under their names, copied; ValueError that names one that is missing, too many or misshapen."""
    shapes = architecture.shapes()
    if set(arrays) != set(shapes):
        raise ValueError(f"weights {', '.join(sorted(set(arrays) ^ set(shapes)))} missing or unknown")
    for name, shape in shapes.items():
        if arrays[name].shape != shape or arrays[name].dtype != arrays["b_a"].dtype:
            raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
    parameters = Parameters(architecture, arrays["b_a"].dtype)
    for name in parameters:
        parameters[name][...] = arrays[name]
    return parameters


def widened(parameters: Parameters, symbols: int, places: Array, init: str, seed: int) -> Parameters:
    """The weights with more symbols, of which the former ones are now at `places` (former symbols,).

    Their rows of W_xh1 and columns of W_ha and b_a are kept, all else that concerns no symbol too; the others are those
    of `initial`.
    """
    architecture = replace(parameters.architecture, symbols=symbols)
    wider = initial(architecture, np.random.default_rng(seed), parameters.vector.dtype, init)
    W_x, (W_ha, b_a) = wider.layer(1)["W_x"], wider.output()
    before_W_ha, before_b_a = parameters.output()
    W_x[places] = parameters.layer(1)["W_x"]
    W_ha[:, places], b_a[places] = before_W_ha, before_b_a
    for name in parameters:
        if wider[name].shape == parameters[name].shape:
            wider[name][...] = parameters[name]
    return wider


def initial(
    architecture: Architecture,
    rng: np.random.Generator,
    dtype: npt.DTypeLike = np.float32,
    init: str = "orthogonal",
    vector: Array | None = None,
) -> Parameters:
    """Initial weights, by the initialiser `init` (network/initial.py), written into `vector`, which must hold zeros.

    ConfigError if they are not finite.
    """
    fill = INITS[init]
    parameters = Parameters(architecture, dtype, vector)
    for layer in range(1, len(architecture.hidden) + 1):
        W = parameters.layer(layer)
        # A one-hot input picks a single row of W_x: its fan-in is 1, whatever d is. With 0.1 in its place the state
        # hardly hears the input at first, and a text's spelling is learnt three times later.
        architecture.made_cell.initial(W, 1 if layer == 1 else len(W["W_x"]), fill, rng)
    W_ha, _ = parameters.output()
    fill(W_ha, len(W_ha), False, rng)
    if not np.isfinite(parameters.vector).all():
        raise ConfigError(f"init {init}: must give finite weights, and gave others; choose another")
    return parameters
