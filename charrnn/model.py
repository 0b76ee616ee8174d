"""A model: weights, vocabulary and settings in one object."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from charrnn.errors import CharrnnError, CheckpointError
from charrnn.network.parameters import Architecture, Parameters, from_arrays
from charrnn.storage import checkpoint as checkpoints


@dataclass
class Model:
    """A network with its vocabulary, and the settings that it was trained with."""

    parameters: Parameters
    symbols: str
    settings: dict[str, object] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint, whole or not at all. StorageError if the system fails."""
        checkpoints.save(Path(path), self.checkpoint())

    def checkpoint(self) -> checkpoints.Checkpoint:
        """The model as plain data."""
        architecture, weights = self.parameters.architecture, {name: self.parameters[name] for name in self.parameters}
        return checkpoints.Checkpoint(
            architecture.cell, architecture.hidden, architecture.activation, self.symbols, weights, self.settings
        )


def load(path: str | Path) -> Model:
    """The model of a checkpoint file, or the best one of a run; CheckpointError if it is not exactly right."""
    return of_checkpoint(checkpoints.load(Path(path)), Path(path))


def of_checkpoint(checkpoint: checkpoints.Checkpoint, path: Path) -> Model:
    """The model that a checkpoint from `path` holds; CheckpointError if its weights do not fit each other."""
    try:
        architecture = Architecture(len(checkpoint.symbols), checkpoint.hidden, checkpoint.activation, checkpoint.cell)
        parameters = from_arrays(architecture, checkpoint.weights)
    except (ValueError, KeyError, CharrnnError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of charrnn ({error}); use another file") from error
    return Model(parameters, checkpoint.symbols, checkpoint.settings)
