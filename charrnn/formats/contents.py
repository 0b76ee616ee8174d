"""What the formats have in common: which networks they can hold, and what is told of a model beside its weights."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from charrnn.errors import ConfigError
from charrnn.network.buffers import Array
from charrnn.network.cells.gru import GRU
from charrnn.network.cells.lstm import LSTM
from charrnn.network.cells.rnn import RNN
from charrnn.registry import ACTIVATIONS, CELLS
from charrnn.training.settings import FIELDS

if TYPE_CHECKING:
    from charrnn.model import Model

OWN_CELLS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
OWN_ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
FORMAT = 1  # of what `facts` tells


def check_own(model: Model, takes: str, activations: Collection[str] = OWN_ACTIVATIONS) -> None:
    """ConfigError unless the cell is charrnn's own and φ one of these; `takes` is as in "a page runs"."""
    from charrnn.network import activations as own

    cell, activation = model.architecture.cell, model.architecture.activation
    if CELLS[cell] is not OWN_CELLS.get(cell):
        raise ConfigError(f"cell {cell}: {takes} charrnn's own {', '.join(OWN_CELLS)} only; train one of them")
    if activation not in activations or ACTIVATIONS[activation] is not getattr(own, activation.upper()):
        raise ConfigError(
            f"activation {activation}: {takes} charrnn's own {', '.join(activations)} only; train one of them"
        )


def as_float32(model: Model, what: str) -> Model:
    """The model in float32; ConfigError if a weight is beyond it."""
    with np.errstate(over="ignore"):
        single = model.astype(np.float32)
    if not np.isfinite(single.parameters.vector).all():
        raise ConfigError(
            f"the weights are too large for {what}, which has float32; train with a smaller learning rate"
        )
    return single


def settings(model: Model) -> dict[str, object]:
    """How the model was trained, as far as it is known; without names of files, for it is made to be given away."""
    return {
        name: value
        for name, value in model.settings.items()
        if name in FIELDS and FIELDS[name].json_schema_extra["metavar"] != "PATH" and value is not None  # type: ignore[index]
    }


def facts(model: Model) -> dict[str, object]:
    """Vocabulary, network and settings as plain values, for a file whose arrays have PyTorch's names.

    Of the unit byte, chr(b) stands for byte b in the vocabulary.
    """
    a = model.architecture
    return {
        "charrnn": FORMAT,
        "cell": a.cell,
        "activation": a.activation,
        "hidden": list(a.hidden),
        "unit": model.unit,
        "normalize": model.normalize,
        "vocabulary": list(model.symbols),
        "settings": settings(model),
    }


def as_text(told: Mapping[str, object]) -> dict[str, str]:
    """The same for a format whose metadata is text: JSON, but for what is text already.

    TypeError, ValueError or RecursionError for what JSON cannot hold.
    """
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
        for name, value in told.items()
    }


def rearranged(array: Array, order: tuple[int, ...]) -> Array:
    """The columns (…, gates · h) of the gates in another order: those of gate `order[0]` first."""
    blocks = np.split(array, len(order), axis=-1)
    return np.concatenate([blocks[gate] for gate in order], axis=-1)
