"""One recurrent layer: the loops over time, forward and backward. The cell computes a single step.

The layer multiplies by W_hh; the cell does the rest. Both loops run over views that were made once: in a small network,
making a view or calling a function takes as long as the arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy import add, multiply

from charrnn.network.buffers import Array, Buffers, Steps
from charrnn.network.cells import Cell, Weights
from charrnn.network.products import product_with
from charrnn.network.tape import LayerTape
from charrnn.network.truncation import CUT, WHOLE


@dataclass
class Errors:
    """The buffers of a layer's backward pass, T steps each: the errors, and the local derivatives K of the cell."""

    dS: Steps  # (states, T, n, h): first the error from above, after the loop ∂L/∂S_t (dZ if the cell is in_place)
    K: Steps  # (slopes, T, n, h)
    dZ: Steps  # (gates, T, n, h), stored as `Buffers.rows` does
    dR: Steps  # (gates, T, n, h), stored as `Buffers.rows` does; the same object as dZ if the cell has one_error
    direct: Steps  # (carried states, T, n, h): the error to S_{t-1} that bypasses W_hh; empty if there is none
    carries: tuple[int, int] | None  # `Cell.carries`

    @cached_property
    def back(self) -> list[tuple[Array, ...]]:
        """Views for t = T … 1: dS_t, K_t, dZ_t, dR_t, direct_t, dR_t as rows, and the two buffers that step t adds to:
        dH_{t-1} and the carried states of dS_{t-1}. For t = 1 those two only have the right shape; they are not
        written."""
        dH = self.dS.plane(0)
        carried = dH if self.carries is None or self.dS is dH else Steps(self.dS.array[slice(*self.carries)])
        if carried.array.ndim == 4 and len(carried.array) == 1:
            carried = carried.plane(0)
        before = [[steps[0], *steps[:-1]] for steps in (dH.each, carried.each)]
        of_step = (self.dS.each, self.K.each, self.dZ.each, self.dR.each, self.direct.each, self.dR.rows_of_each)
        return list(zip(*of_step, *before, strict=True))[::-1]


def forward(cell: Cell, W: Weights, tape: LayerTape, buffers: Buffers, fresh: Array | None = None) -> None:
    """S_t from Z_t = X_t W_x + b, R_t = H_{t-1} W_hh and S_{t-1}, for t = 1 … T.

    Where `fresh` (T, n) holds, S_{t-1} is the state that a text begins with.
    """
    step = cell.step
    product = product_with(W["W_hh"], rows(tape.S.array.shape[-2]), buffers, cell.gates)
    times_W = product.times
    if fresh is None:
        for H_before, R_view, Z_t, R_t, before, after in tape.each(product):
            times_W(H_before, R_view)
            step(W, Z_t, R_t, before, after)
        return
    n = tape.S.array.shape[-2]
    begin = cell.begin(W, n)
    begun = [np.flatnonzero(of_step) for of_step in fresh]
    views = zip(tape.each(product), tape.S.each[:-1], begun, strict=True)
    for (H_before, R_view, Z_t, R_t, before, after), last, sequences in views:
        before[...] = last
        if len(sequences) == n:
            before[...] = begin.reshape(before.shape)
        elif len(sequences):
            before[..., sequences, :] = begin[..., sequences, :]
        times_W(H_before, R_view)
        step(W, Z_t, R_t, before, after)


def backward(cell: Cell, W: Weights, errors: Errors, gains: Sequence[float | Array], buffers: Buffers) -> None:
    """dZ_t and dR_t of all steps, from the last to the first.

    dS_t is the error from above, plus a gain times the error from step t+1: dR_{t+1} W_hhᵀ to H_t, and `direct` to the
    states that the cell carries. The gain from step t to t−1 is gains[t−1], since t counts from 1 here; it is a number,
    or a column (n, 1) for n sequences. Overwrites `errors`.
    """
    pull, carries = cell.pull, cell.carries is not None
    *later, first = errors.back
    back = buffers.block("back", *first[-2].shape)
    scaled = buffers.block("scaled", *first[4].shape) if carries else back
    product = product_with(W["W_hh"].T, rows(errors.dS.array.shape[-2]), buffers)
    times_W_T, back_view = product.times, product.view(back)
    steps = zip(later, gains[:0:-1], strict=True)
    for (dS_t, K_t, dZ_t, dR_t, direct, dR_rows, dH_before, carried_before), gain in steps:
        pull(W, dS_t, K_t, dZ_t, dR_t, direct)
        if gain is CUT:
            continue
        times_W_T(dR_rows, back_view)
        if gain is not WHOLE:
            multiply(back, gain, back)
        add(dH_before, back, dH_before)
        if carries:
            add(carried_before, direct if gain is WHOLE else multiply(direct, gain, scaled), carried_before)
    pull(W, *first[:5])


def rows(n: int) -> int | None:
    """The rows of a step's matrix; None for n = 1, where a step is a vector."""
    return None if n == 1 else n


def handed_back(cell: Cell, W: Weights, errors: Errors, at: slice | Array) -> Array:
    """What some of the T·n steps, the rows `at`, hand to the state that came in, ∂L/∂S_{t-1}: dR_t W_hhᵀ at H, and
    `direct`; no gain is in it."""
    dR = errors.dR.rows[at]
    dH = dR @ W["W_hh"].T
    dS = np.zeros((cell.states, *dH.shape), dR.dtype)
    dS[0] = dH
    if cell.carries:
        direct = errors.direct.array
        dS[slice(*cell.carries)] += direct.reshape(*direct.shape[:-3], -1, direct.shape[-1])[..., at, :]
    return dS[0] if cell.states == 1 else dS
