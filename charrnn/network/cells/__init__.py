"""Recurrent cells: what happens inside a layer from one step to the next.

A cell is one file here and one line in `CELLS`. The stack owns every product that is not recurrent; a cell gets
Z = X W_x + b (T, n, gates·h) and owns the loop over time, forward and backward, side by side in its file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from charrnn.network.buffers import Array, Buffers
from charrnn.network.cells.rnn import RNN


class Cell(Protocol):
    """The contract of a cell. S (T+1, n, states·h) holds the state, H_t in its first h columns; S[0] came in."""

    gates: int  # W_x is (d, gates·h), W_hh (h, gates·h), b (gates·h)
    states: int
    keeps_Z: bool  # whether `backward` needs Z as `forward` left it

    def forward(self, Z: Array, W_hh: Array, S: Array, buffers: Buffers) -> None:
        """Fills S[1:] from Z and S[0]; may overwrite Z with what `backward` needs."""

    def step(self, Z: Array, R: Array, S: Array) -> None:
        """One step of `forward`, for sampling: advances S (n, states·h) in place from Z_t and R = H_{t-1} W_hh
        (n, gates·h); it may overwrite R, not Z. Without the first axis for one sequence."""

    def backward(
        self, dS: Array, Z: Array, W_hh: Array, S: Array, gains: Array, dS_T: Array | None, buffers: Buffers
    ) -> tuple[Array, Array, Array | None]:
        """dZ, the error at Z; dR, the error at H_{t-1} W_hh; and what the first step hands directly to the state that
        came in (n, states·h), beside dR_1 W_hhᵀ (None for nothing). From dS (T, n, states·h), which it may overwrite.

        `gains[t]` scales all that step t hands to step t−1; `dS_T` (n, states·h) arrives at the last step from the
        future.
        """

    def backward_one_lag(
        self, dS: Array, Z: Array, W_hh: Array, S: Array, buffers: Buffers
    ) -> tuple[Array, Array, Array | None]:
        """dZ, dR and what is handed directly, of every step (T, …) from its own dS alone; may overwrite dS.

        What it returns must stay valid until the call after the next.
        """

    def saturated(self, S: Array) -> float:
        """The share of the units and steps of S (T, n, states·h) through which hardly any error passes."""


CELLS: dict[str, Callable[[str], Cell]] = {
    "rnn": RNN,
}
