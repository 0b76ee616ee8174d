"""Checkpoints: the weights under the document's names, the vocabulary, and what a run needs to go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from charrnn.errors import CharrnnError, CheckpointError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters
from charrnn.training.archive import read_archive, write_archive
from charrnn.training.run import BEST, LAST

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
    write_archive(
        path,
        {
            **{name: checkpoint.parameters[name] for name in checkpoint.parameters},
            "vocabulary": np.array([ord(c) for c in checkpoint.symbols], np.uint32),
            **{f"state.{name}": array for name, array in checkpoint.extra.items()},
        },
        {
            "format": FORMAT,
            "cell": architecture.cell,
            "hidden": list(architecture.hidden),
            "activation": architecture.activation,
            "progress": checkpoint.progress,
        },
    )


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint file, or the best one of a run directory; CheckpointError if it is not exactly right."""
    if path.is_dir():
        path = path / BEST if (path / BEST).exists() else path / LAST
    arrays, metadata = read_archive(path)
    try:
        if metadata["format"] != FORMAT:
            raise CheckpointError(f"{path}: format {metadata['format']}, this charrnn reads {FORMAT}; upgrade charrnn")
        symbols = "".join(map(chr, arrays.pop("vocabulary")))
        hidden, progress = metadata["hidden"], metadata["progress"]
        if not isinstance(hidden, list) or not isinstance(progress, dict) or not symbols:
            raise ValueError("hidden, progress or vocabulary")
        if list(symbols) != sorted(set(symbols)):
            raise ValueError("its vocabulary is not sorted")
        architecture = Architecture(
            len(symbols), tuple(map(int, hidden)), str(metadata["activation"]), str(metadata["cell"])
        )
        parameters = Parameters(architecture, arrays["b_a"].dtype)
        for name in parameters:
            array = arrays.pop(name)
            if array.shape != parameters[name].shape or array.dtype != parameters[name].dtype:
                raise ValueError(f"{name} is {array.dtype} {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")
            parameters[name][...] = array
    except CheckpointError:
        raise
    except (KeyError, ValueError, TypeError, OverflowError, CharrnnError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of charrnn ({error}); use another file") from error
    extra = {name.removeprefix("state."): array for name, array in arrays.items()}
    return Checkpoint(parameters, symbols, progress, extra)


def newest_run(runs: Path = Path("runs")) -> Path:
    """The run directory under `runs` that was written to last; CheckpointError if there is none."""
    candidates = [path for name in (BEST, LAST) for path in runs.glob(f"*/{name}")]
    if not candidates:
        raise CheckpointError(f"{runs}: no run here; name one with --ckpt, or train one: charrnn train corpus.txt")
    return max(candidates, key=lambda path: path.stat().st_mtime_ns).parent
