"""What a network's gradient sees: the vanishing and exploding gradient of a model on real text, measured.

The error dZ_k of a loss k steps back (document §2.2; `Stack.error_norms_by_lag`) is followed lag by lag. Its norm
relative to lag 0 is the part of the error that reaches k characters back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.errors import CorpusError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack

LOSSES = 16  # steps whose losses are followed back
READ = 100_000  # characters that are looked at, from the end of a text, which was held out from training
STREAMS = 32  # places of the text that are looked at, side by side
SEEN = 0.01  # the gradient's memory ends where its norm falls below this share of that at lag 0


@dataclass(frozen=True)
class LayerReport:
    """One recurrent layer.

    spectral_radius: largest |eigenvalue| of W_hh, which governs growth over very many steps; of a cell with several
        gates, the largest of theirs.
    largest_singular_value: of W_hh, likewise, which bounds growth in one step.
    saturated: share of units and steps through which hardly any error passes (`Cell.saturated`).
    norms: ‖dZ_k‖ / ‖dZ_0‖ for k = 0 … K.
    memory: the first lag whose norm is below `SEEN`; None if there is none up to K.
    """

    layer: int
    units: int
    spectral_radius: float
    largest_singular_value: float
    saturated: float
    norms: list[float]
    memory: int | None


def inspect(parameters: Parameters, ids: Array, lags: int = 100, end: int | None = None) -> list[LayerReport]:
    """Reports of all layers, from the lowest, on the text (N,). CorpusError if it is too short for `lags`.

    Of a text of pieces, each begins with the id `end`.
    """
    steps = lags + LOSSES
    pairs = len(ids) - 1
    if pairs < steps:
        raise CorpusError(f"the text has {len(ids):,} characters, and {lags} lags need {steps + 1}; ask for fewer lags")
    architecture = parameters.architecture
    double = Parameters(architecture, np.float64, parameters.vector.astype(np.float64))
    n = min(STREAMS, pairs // steps)
    starts = np.linspace(0, pairs - steps, n).astype(int)
    index = np.arange(steps)[:, None] + starts
    inputs, targets = (ids[index + k].astype(np.intp) for k in (0, 1))
    stack = Stack(architecture, np.float64)
    fresh = None if end is None else inputs == end
    tape = stack.forward(double, inputs, None, fresh=fresh)
    norms = stack.error_norms_by_lag(double, tape, targets[lags:], lags + 1, fresh)
    reports = []
    cell = architecture.made_cell
    for i, h in enumerate(architecture.hidden):
        W_hh, of_layer = double.layer(i + 1)["W_hh"], tape.layers[i]
        gates = [W_hh[:, start : start + h] for start in range(0, W_hh.shape[1], h)]
        relative = norms[:, i] / (norms[0, i] or 1.0)
        below = np.flatnonzero(relative < SEEN)
        reports.append(
            LayerReport(
                layer=i + 1,
                units=h,
                spectral_radius=max(float(np.abs(np.linalg.eigvals(W)).max()) for W in gates),
                largest_singular_value=max(float(np.linalg.norm(W, 2)) for W in gates),
                saturated=cell.saturated(of_layer.Z.array, of_layer.after),
                norms=[float(x) for x in relative],
                memory=int(below[0]) if below.size else None,
            )
        )
    return reports
