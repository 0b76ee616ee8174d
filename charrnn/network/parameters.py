"""The weights: one flat vector, with a named view for each matrix of the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError
from charrnn.network.activations import ACTIVATIONS
from charrnn.network.buffers import Array, aligned
from charrnn.network.cells import CELLS


@dataclass(frozen=True)
class Architecture:
    """The sizes of a network: `symbols` is both d and a; `hidden` holds h_1 … h_L."""

    symbols: int
    hidden: tuple[int, ...]
    activation: str = "tanh"
    cell: str = "rnn"

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ConfigError(f"cell {self.cell}: must be one of {', '.join(CELLS)}")
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"activation {self.activation}: must be one of {', '.join(ACTIVATIONS)}")

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the document's symbols: W_xh1 (d, h1), W_h1h1, b_h1, W_h1h2 …"""
        shapes: dict[str, tuple[int, ...]] = {}
        gates = CELLS[self.cell](self.activation).gates
        below, width = "x", self.symbols
        for layer, h in enumerate(self.hidden, start=1):
            shapes[f"W_{below}h{layer}"] = (width, gates * h)
            shapes[f"W_h{layer}h{layer}"] = (h, gates * h)
            shapes[f"b_h{layer}"] = (gates * h,)
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
        self.vector: Array = aligned(size, dtype) if vector is None else vector
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


def from_arrays(architecture: Architecture, arrays: Mapping[str, Array]) -> Parameters:
    """The weights under their names, copied; ValueError that names one that is missing, too many or misshapen."""
    shapes = architecture.shapes()
    if set(arrays) != set(shapes):
        raise ValueError(f"weights {', '.join(sorted(set(arrays) ^ set(shapes)))} missing or unknown")
    parameters = Parameters(architecture, arrays["b_a"].dtype)
    for name in parameters:
        if arrays[name].shape != shapes[name] or arrays[name].dtype != parameters.vector.dtype:
            raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
        parameters[name][...] = arrays[name]
    return parameters


INITS = ("orthogonal", "uniform", "gaussian")


def initial(
    architecture: Architecture,
    rng: np.random.Generator,
    dtype: npt.DTypeLike = np.float32,
    init: str = "orthogonal",
    vector: Array | None = None,
) -> Parameters:
    """Starting weights: W_hh as `init` says, the others uniform or Gaussian, biases zero; `vector`, zeros, takes them.

    orthogonal: W_hhᵀ W_hh = I, so that W_hh keeps the length of every vector and errors neither vanish nor explode by
    it at the start (for each gate on its own). uniform: ±√(1/fan-in). gaussian: standard deviation √(1/fan-in).
    """
    if init not in INITS:
        raise ConfigError(f"init {init}: must be one of {', '.join(INITS)}")
    parameters = Parameters(architecture, dtype, vector)
    for layer, h in enumerate(architecture.hidden, start=1):
        W_x, W_hh, _ = parameters.layer(layer)
        # A one-hot input picks a single row of W_x: its fan-in is 1, whatever d is. With 0.1 in its place the state
        # hardly hears the input at first, and a text's spelling is learnt three times later.
        _fill(W_x, 1.0 if layer == 1 else (1 / W_x.shape[0]) ** 0.5, rng, init)
        if init == "orthogonal":
            for gate in range(0, W_hh.shape[1], h):
                Q, R = np.linalg.qr(rng.standard_normal((h, h)))
                W_hh[:, gate : gate + h] = Q * np.sign(np.diag(R))
        else:
            _fill(W_hh, (1 / h) ** 0.5, rng, init)
    W_ha, _ = parameters.output()
    _fill(W_ha, (1 / W_ha.shape[0]) ** 0.5, rng, init)
    return parameters


def _fill(W: Array, scale: float, rng: np.random.Generator, init: str) -> None:
    W[...] = scale * (rng.standard_normal(W.shape) if init == "gaussian" else rng.uniform(-1, 1, W.shape))
