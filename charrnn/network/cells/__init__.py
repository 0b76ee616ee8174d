"""Recurrent cells: the mathematics of one step, elementwise (or row by row).

A cell says how a step is made of what arrives at it, and how an error goes back through that step:

    step    S_t from Z_t = X_t W_x + b, R_t = H_{t-1} W_hh and S_{t-1}
    slopes  K, the local derivatives of all steps at once
    pull    the vector-Jacobian product of `step`: from dS_t and K_t to dZ_t, dR_t, and the direct part of dS_{t-1}

The layer (network/layer.py) owns everything else: the products with W_x and W_hh, the loop over time, truncation, and
memory. A cell is one file here and one line in charrnn/registry.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from charrnn.network.buffers import Array

Weights = Mapping[str, Array]  # the parameters of one layer, by their names in `Cell.shapes`
Fill = Callable[[Array, int, bool, np.random.Generator], None]  # as in network/initial.py


class Cell:
    """The contract of a cell, and what most cells have in common.

    Shapes, for n sequences and h units: Z, R (gates, n, h); S (states, n, h), of which S[0] is H; K (slopes, n, h).
    The first axis is left out where it would be 1: Z of a cell with one gate is (n, h). Every method but `shapes`,
    `initial` and `begin` must also take arrays without the axis n (one sequence), or with (T, n) in its place (all).
    """

    gates: ClassVar[int] = 1
    states: ClassVar[int] = 1
    slopes_per_unit: ClassVar[int] = 1
    # What the planes of Z (as `step` leaves them) and of S are called, for who prints them.
    gate_names: ClassVar[tuple[str, ...]] = ()
    state_names: ClassVar[tuple[str, ...]] = ()
    # Which of Z and R, as `step` leaves them, are kept for `slopes`.
    keeps: ClassVar[tuple[str, ...]] = ()
    # (start, stop): the states whose error also reaches S_{t-1} without W_hh; (0, 1) is H. None if there are none.
    carries: ClassVar[tuple[int, int] | None] = None
    # Whether dR = dZ, so that both are one array; and whether `pull` may write dZ over dS.
    one_error: ClassVar[bool] = False
    in_place: ClassVar[bool] = False

    def __init__(self, activation: str = "tanh") -> None:
        """ConfigError if the cell does not work with this φ."""

    def shapes(self, d: int, h: int) -> dict[str, tuple[int, ...]]:
        """The parameters of a layer of h units with d inputs: W_x, W_hh, b, and the cell's own.

        The columns of W_x, W_hh and b are those of the gates, one after another.
        """
        return {"W_x": (d, self.gates * h), "W_hh": (h, self.gates * h), "b": (self.gates * h,)}

    def initial(self, W: Weights, fan_in: int, fill: Fill, rng: np.random.Generator) -> None:
        """Starting values of the parameters, which are zero before; `fan_in` is that of W_x."""
        fill(W["W_x"], fan_in, False, rng)
        fill(W["W_hh"], len(W["W_hh"]), True, rng)

    def state_shape(self, n: int, h: int) -> tuple[int, ...]:
        """(states, n, h), or (n, h)."""
        return (n, h) if self.states == 1 else (self.states, n, h)

    def begin(self, W: Weights, n: int) -> Array:
        """The state that a text begins with."""
        W_hh = W["W_hh"]
        return np.zeros(self.state_shape(n, len(W_hh)), W_hh.dtype)

    def step(self, W: Weights, Z: Array, R: Array, S: Array, out: Array) -> None:
        """S_t into `out`, from Z_t, R_t and S_{t-1}. May overwrite R, and Z if it keeps Z; not S."""
        raise NotImplementedError

    def slopes(self, W: Weights, Z: Array, R: Array, S: Array, out: Array, K: Array) -> None:
        """The derivatives that `pull` needs into K, from S_{t-1} (S) and S_t (out); Z and R are what `step` left."""
        raise NotImplementedError

    def pull(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, direct: Array) -> None:
        """Writes dZ_t, dR_t, and into `direct` the error of the carried states of S_{t-1}; from dS_t and K_t."""
        raise NotImplementedError

    def own_gradients(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, dW: Weights) -> None:
        """Adds to dW the gradients of the cell's own parameters, from all steps; dS is what `pull` has left of it."""

    @property
    def learns_begin(self) -> bool:
        """Whether `begin` is made of parameters."""
        return type(self).begin_gradient is not Cell.begin_gradient

    def begin_gradient(self, W: Weights, dS_0: Array, dW: Weights) -> None:
        """Adds to dW the gradients of what `begin` is made of; dS_0 is ∂L/∂S_0."""

    def saturated(self, Z: Array, S: Array) -> float:
        """The share of units and steps through which hardly any error passes; Z as `step` left it, S is S_t."""
        raise NotImplementedError


def flat(sigmoids: Array, tanhs: Array) -> float:
    """The share of outputs of σ and of tanh at which the slope is below a tenth of its largest value."""
    slopes = (4 * sigmoids * (1 - sigmoids), 1 - tanhs**2)
    return float(np.concatenate([(slope < 0.1).ravel() for slope in slopes]).mean())


def summed(error: Array) -> Array:
    """Σ over all axes but the last: the gradient (h,) of a parameter that is added to every row."""
    total: Array = error.sum(axis=tuple(range(error.ndim - 1)))
    return total
