"""Checkpoints: the weights under the document's names, the vocabulary, the settings, and what a run needs to resume."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CheckpointError
from charrnn.storage import BEST, LAST
from charrnn.storage.archive import read_archive, write_archive

Array = npt.NDArray[Any]

FORMAT = 2  # 1 kept the settings in "progress", under "config"


@dataclass
class Checkpoint:
    """A network as plain data, with its vocabulary. `progress` and `extra` are the training's own state, if any."""

    cell: str
    hidden: tuple[int, ...]
    activation: str
    symbols: str
    weights: dict[str, Array]
    settings: dict[str, object] = field(default_factory=dict)
    progress: dict[str, object] = field(default_factory=dict)
    extra: dict[str, Array] = field(default_factory=dict)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint whole or not at all; StorageError if the system fails."""
    write_archive(
        path,
        {
            **checkpoint.weights,
            "vocabulary": np.array([ord(c) for c in checkpoint.symbols], np.uint32),
            **{f"state.{name}": array for name, array in checkpoint.extra.items()},
        },
        {
            "format": FORMAT,
            "cell": checkpoint.cell,
            "hidden": list(checkpoint.hidden),
            "activation": checkpoint.activation,
            "settings": checkpoint.settings,
            "progress": checkpoint.progress,
        },
    )


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint file, or the best one of a run directory; CheckpointError if it is not exactly right."""
    if path.is_dir():
        path = path / BEST if (path / BEST).exists() else path / LAST
    arrays, metadata = read_archive(path)
    try:
        if metadata["format"] not in (1, FORMAT):
            raise CheckpointError(f"{path}: format {metadata['format']}, this charrnn reads {FORMAT}; upgrade charrnn")
        symbols = "".join(map(chr, arrays.pop("vocabulary")))
        hidden, progress = metadata["hidden"], metadata["progress"]
        if not isinstance(hidden, list) or not isinstance(progress, dict) or not symbols:
            raise ValueError("hidden, progress or vocabulary")
        settings = metadata["settings"] if metadata["format"] == FORMAT else progress.pop("config", {})
        if not isinstance(settings, dict):
            raise ValueError("settings")
        if list(symbols) != sorted(set(symbols)):
            raise ValueError("its vocabulary is not sorted")
        extra = {name[len("state.") :]: arrays.pop(name) for name in list(arrays) if name.startswith("state.")}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")
        return Checkpoint(
            str(metadata["cell"]),
            tuple(map(int, hidden)),
            str(metadata["activation"]),
            symbols,
            arrays,
            settings,
            progress,
            extra,
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of charrnn ({error}); use another file") from error


def newest_run(runs: Path = Path("runs")) -> Path:
    """The run directory under `runs` that was written to last; CheckpointError if there is none."""
    candidates = [path for name in (BEST, LAST) for path in runs.glob(f"*/{name}")]
    if not candidates:
        raise CheckpointError(f"{runs}: no run here; name one with --ckpt, or train one: charrnn train corpus.txt")
    return max(candidates, key=lambda path: path.stat().st_mtime_ns).parent
