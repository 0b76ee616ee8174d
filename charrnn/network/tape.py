"""What the forward pass leaves for the backward pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from charrnn.network.buffers import Array, Buffers, Steps
from charrnn.network.products import Product

StepViews = tuple[Array, Array, Array, Array, Array, Array]


@dataclass
class LayerTape:
    """One layer's part."""

    Z: Steps  # (gates, T, n, h), as the cell's step left it; shared by all layers, so invalid later, if not kept
    R: Steps  # (gates, T, n, h), likewise; (gates, 1, n, h), used again by every step, if the cell does not keep R
    S: Steps  # (states, T+1, n, h): S_0 … S_T
    own: Steps | None = None  # (states, T, n, h): the S_{t-1}, where pieces begin that do not go on from the S_t before
    _steps: dict[int | None, list[StepViews]] = field(default_factory=dict)  # by the layout of the product

    @cached_property
    def came_in(self) -> Array:
        """S_0."""
        return self.S.array[..., 0, :, :]

    @cached_property
    def H_before(self) -> Array:
        """H_{t-1} of all steps, as rows (T·n, h)."""
        if self.own is not None:
            return self.own.plane(0).rows
        return self.S.plane(0).rows[: -self.S.array.shape[-2]]

    @cached_property
    def H_after(self) -> Array:
        """H_t of all steps, as rows (T·n, h)."""
        return self.S.plane(0).rows[self.S.array.shape[-2] :]

    @cached_property
    def before(self) -> Array:
        """S_{t-1} of all steps."""
        return self.S.array[..., :-1, :, :] if self.own is None else self.own.array

    @cached_property
    def after(self) -> Array:
        """S_t of all steps."""
        return self.S.array[..., 1:, :, :]

    def each(self, product: Product) -> list[StepViews]:
        """Views of every step: H_{t-1}, R_t in the layout that `product.times` writes, Z_t, R_t, S_{t-1} and S_t."""
        steps = self._steps.get(product.layout)
        if steps is None:
            before = self.S if self.own is None else self.own
            Z, R, S, H = self.Z.each, self.R.each, before.each, before.plane(0).each
            views, each = list(map(product.view, R)), len(Z) // len(R)
            steps = list(zip(H, views * each, Z, R * each, S, self.S.each[1:], strict=False))
            self._steps[product.layout] = steps
        return steps

    def drop_views(self) -> None:
        """Lets the views of single steps go; they are made again when they are asked for."""
        self._steps.clear()
        for steps in (self.Z, self.R, self.S, self.own):
            for holder in () if steps is None else (steps, steps.plane(0)):
                vars(holder).pop("each", None)


@dataclass
class Tape:
    """One segment of a stack; its arrays live in the stack's buffers."""

    ids: Array  # (T, n)
    layers: list[LayerTape] = field(default_factory=list)
    masks: list[Array | None] = field(default_factory=list)  # per layer (T, n, h_l), dropout's factors

    def state(self, step: int) -> list[Array]:
        """The state after `step` steps, copied; 0 is the one that came in."""
        return [np.array(tape.S.array[..., step, :, :], order="C") for tape in self.layers]

    def drop_views(self) -> None:
        """Deletes the views of single steps: over a long sequence they can take as much memory as the arrays."""
        for tape in self.layers:
            tape.drop_views()


def handed_up(tape: Tape, i: int, h: int, scratch: Buffers) -> Array:
    """The output of layer i after dropout, all steps as rows (T·n, h): a view of H, or a shared scratch buffer."""
    mask = tape.masks[i]
    if mask is None:
        return tape.layers[i].H_after
    T, n = tape.ids.shape
    H = scratch.planes("H masked", 1, T, n, h)
    np.multiply(tape.layers[i].S.plane(0).array[1:], mask, out=H.array)
    return H.rows


def through_dropout(dH: Steps, mask: Array | None) -> None:
    """Multiplies dH by the mask, in place: from the gradient of the output after dropout to that of H."""
    if mask is not None:
        np.multiply(dH.array, mask, out=dH.array)
