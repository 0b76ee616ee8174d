"""Character-level recurrent language models in NumPy, with backpropagation through time by hand.

    import charrnn

    result = charrnn.train("corpus.txt", hidden=(128,), max_steps=500)
    model = result.model  # or: charrnn.load("runs/corpus")
    print(model.sample(200, "The ", seed=1), model.score("The text.").bits_per_char)

What is listed in `__all__` is the public face; a name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charrnn.errors import CharrnnError
    from charrnn.formats import export
    from charrnn.formats.importer import import_model
    from charrnn.formats.tensorboard import TensorBoard
    from charrnn.inference.scoring import Score
    from charrnn.model import Gradient, Model
    from charrnn.network.cells import Cell
    from charrnn.network.truncation import Truncation
    from charrnn.registry import ACTIVATIONS, CELLS, INITS, OPTIMIZERS, SCHEDULES, TRUNCATIONS
    from charrnn.training.optimizers import Optimizer
    from charrnn.training.result import Result
    from charrnn.training.runs import load
    from charrnn.training.settings import Settings
    from charrnn.training.train import resume, train

__version__ = "0.1.0"

_PLACES = {
    "charrnn.errors": ("CharrnnError",),
    "charrnn.formats": ("export",),
    "charrnn.formats.importer": ("import_model",),
    "charrnn.formats.tensorboard": ("TensorBoard",),
    "charrnn.inference.scoring": ("Score",),
    "charrnn.model": ("Gradient", "Model"),
    "charrnn.network.cells": ("Cell",),
    "charrnn.network.truncation": ("Truncation",),
    "charrnn.registry": ("ACTIVATIONS", "CELLS", "INITS", "OPTIMIZERS", "SCHEDULES", "TRUNCATIONS"),
    "charrnn.training.optimizers": ("Optimizer",),
    "charrnn.training.result": ("Result",),
    "charrnn.training.runs": ("load",),
    "charrnn.training.settings": ("Settings",),
    "charrnn.training.train": ("resume", "train"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "ACTIVATIONS",
    "CELLS",
    "INITS",
    "OPTIMIZERS",
    "SCHEDULES",
    "TRUNCATIONS",
    "Cell",
    "CharrnnError",
    "Gradient",
    "Model",
    "Optimizer",
    "Result",
    "Score",
    "Settings",
    "TensorBoard",
    "Truncation",
    "export",
    "import_model",
    "load",
    "resume",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
