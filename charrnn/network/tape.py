"""What the forward pass leaves for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from charrnn.network.buffers import Array, Buffers, Steps
from charrnn.network.products import Product


@dataclass
class LayerTape:
    """One layer's part."""

    Z: Steps  # (T, n, gates·h), as the cell's step left it; for cells that do not keep it, whatever came later
    R: Steps  # (T, n, gates·h) likewise; a single step for cells that do not keep it
    S: Steps  # (T+1, n, states·h): S[0] came in, S[:-1] are the S_{t-1}, S[1:] the S_t
    h: int
    _views: dict[int | None, list[Array]] = field(default_factory=dict)

    @cached_property
    def before(self) -> Array:
        """S_{t-1} of all steps."""
        return self.S.array[:-1]

    @cached_property
    def after(self) -> Array:
        """S_t of all steps."""
        return self.S.array[1:]

    def R_viewed_by(self, product: Product) -> list[Array]:
        """R of every step, as the product with W_hh writes into it."""
        views = self._views.get(product.layout)
        if views is None:
            views = self._views[product.layout] = list(map(product.view, self.R.each))
        return views * (len(self.Z.array) // len(views))

    @cached_property
    def each(self) -> list[tuple[Array, Array, Array, Array, Array]]:
        """H_{t-1}, Z_t, R_t, S_{t-1} and S_t of every step."""
        Z, R, S, H = self.Z.each, self.R.each, self.S.each, self.S.columns(0, self.h)
        return list(zip(H, Z, R * len(Z) if len(R) == 1 else R, S, S[1:], strict=False))

    def drop_views(self) -> None:
        """Lets the views of single steps go: those of all segments of a long sequence can take as much memory as a
        small network's numbers. They are made again when they are asked for."""
        self._views.clear()
        for holder in (self, self.Z, self.R, self.S):
            vars(holder).pop("each", None)


@dataclass
class Tape:
    """One segment of a stack; its arrays live in the stack's buffers."""

    ids: Array  # (T, n)
    layers: list[LayerTape] = field(default_factory=list)
    masks: list[Array | None] = field(default_factory=list)  # per layer (T, n, h_l), dropout's factors

    def state(self, step: int) -> list[Array]:
        """The state after `step` steps, copied; 0 is the one that came in."""
        return [np.array(tape.S.array[step], order="C") for tape in self.layers]


def handed_up(tape: Tape, i: int, h: int, scratch: Buffers) -> Array:
    """What the layer above layer i reads, all steps as rows: H (T·n, h), through its dropout."""
    mask = tape.masks[i]
    T, n = tape.ids.shape
    if mask is None:
        return tape.layers[i].S.rows[n:, :h]
    H = scratch.steps("H masked", T, n, h)
    np.multiply(tape.layers[i].after[:, :, :h], mask, out=H.array)
    return H.rows


def through_dropout(dH: Steps, mask: Array | None) -> None:
    """The error at what a layer handed up becomes the error at its H, in place."""
    if mask is not None:
        np.multiply(dH.array, mask, out=dH.array)
