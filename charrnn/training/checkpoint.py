"""Checkpoints: the weights under the document's names, the vocabulary, and what a run needs to go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from charrnn.errors import CheckpointError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.training.archive import read_archive, write_archive

FORMAT = 1


@dataclass
class Checkpoint:
    """A network with its vocabulary; `progress` and `extra` hold the training's own state (empty if unknown)."""

    parameters: Parameters
    symbols: str
    progress: dict[str, object] = field(default_factory=dict)
    extra: dict[str, Array] = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint whole or not at all; StorageError if the system fails."""
    architecture = checkpoint.parameters.architecture
    code_points = np.array([ord(c) for c in checkpoint.symbols], np.uint32)
    arrays: Mapping[str, Array] = {
        **{name: checkpoint.parameters[name] for name in checkpoint.parameters},
        "vocabulary": code_points,
        **{f"state.{name}": array for name, array in checkpoint.extra.items()},
    }
    write_archive(
        path,
        arrays,
        {
            "format": FORMAT,
            "hidden": list(architecture.hidden),
            "activation": architecture.activation,
            "progress": checkpoint.progress,
        },
    )


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint file, or the best one of a run directory; CheckpointError if it is not exactly right."""
    if path.is_dir():
        path = path / "best.npz"
    arrays, metadata = read_archive(path)
    try:
        if metadata["format"] != FORMAT:
            raise CheckpointError(f"{path}: format {metadata['format']}, this charrnn reads {FORMAT}; upgrade charrnn")
        symbols = "".join(map(chr, arrays.pop("vocabulary")))
        hidden, progress = metadata["hidden"], metadata["progress"]
        assert isinstance(hidden, list) and isinstance(progress, dict)
        parameters = Parameters(
            Architecture(len(symbols), tuple(hidden), str(metadata["activation"])), arrays["b_a"].dtype
        )
        for name in parameters:
            array = arrays.pop(name)
            if array.shape != parameters[name].shape:
                raise ValueError(name)
            parameters[name][...] = array
    except (KeyError, ValueError, AssertionError, TypeError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of charrnn ({error}); use another file") from error
    extra = {name.removeprefix("state."): array for name, array in arrays.items()}
    return Checkpoint(parameters, symbols, progress, extra)
