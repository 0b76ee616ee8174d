"""Three networks for `charrnn inspect` that differ in one thing only: the size of an orthogonal W_hh."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from charrnn.network.parameters import Architecture, initial
from charrnn.text.corpus import encode_corpus
from charrnn.verify.inspection import LayerReport, inspect

GAINS = {"vanishing": 0.8, "healthy": 1.0, "exploding": 1.08}


def network_reports(corpus: Path, gain: float) -> list[LayerReport]:
    """Two tanh layers on the corpus; their input weights are tiny, so that no unit saturates however large W_hh is."""
    encoded = encode_corpus([str(corpus)])
    parameters = initial(Architecture(len(encoded.symbols), (64, 64)), np.random.default_rng(1), np.float64)
    parameters["W_xh1"][...] *= 1e-7
    for layer in (1, 2):
        parameters.layer(layer)["W_hh"][...] *= gain
    return inspect(parameters, encoded.ids[-100_000:], lags=100)
