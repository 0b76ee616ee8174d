"""Checkpoints: the weights under the document's names, the vocabulary, the settings, and what a run needs to resume.

The archive below finds damage. What a checkpoint means is checked here, alike when it is saved and when it is loaded:
a file can be undamaged and still be made by anyone. Which arrays a cell needs, and of what shapes, is known above.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CheckpointError, DivergedError, shown
from charrnn.registry import NAME, NAME_RULE
from charrnn.storage import BEST, LAST, fields
from charrnn.storage.archive import read_archive, write_archive

Array = npt.NDArray[Any]

FORMAT = 2  # 1 kept the settings in "progress", under "config"; it loads for ever
MAX_LAYERS = 100
MAX_SYMBOLS = 0x110000 - 0x800  # all code points but the surrogates
_STATE = "state."


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
    """Writes the checkpoint whole or not at all, in the place of a link rather than through it.

    Raises StorageError if the system fails, and before the file is touched: DivergedError if an array holds a value
    that is not finite, ValueError or TypeError for any other checkpoint that `load` would refuse.
    """
    metadata = {
        "format": FORMAT,
        "cell": checkpoint.cell,
        "hidden": list(checkpoint.hidden),
        "activation": checkpoint.activation,
        "settings": checkpoint.settings,
        "progress": checkpoint.progress,
    }
    arrays = {
        **checkpoint.weights,
        "vocabulary": np.array([ord(c) for c in checkpoint.symbols], np.uint32),
        **{f"{_STATE}{name}": array for name, array in checkpoint.extra.items()},
    }
    name = _not_finite(arrays)
    if name:
        before = "what was saved before still stands; go on from it" if os.path.exists(path) else "begin anew"
        raise DivergedError(
            f"{path}: not saved, for {name} holds values that are not finite; {before} with a smaller learning rate"
        )
    _checkpoint(dict(arrays), metadata)
    write_archive(path, arrays, metadata)


def load(path: Path) -> Checkpoint:
    """Reads a checkpoint file, or the best one of a run directory.

    Its numbers are finite, its vocabulary is sorted characters, its weights are of one dtype, no layer is wider than a
    stored weight, and the output layer fits; CheckpointError if not. That every weight is there in its very shape is
    for the network to check, before it allocates any. StorageError if the system cannot read the file.
    """
    if os.path.isdir(path):
        path = path / (BEST if os.path.exists(path / BEST) else LAST)
    arrays, metadata = read_archive(path)
    try:
        if fields.whole(metadata, "format") > FORMAT:
            raise CheckpointError(f"{path}: format {metadata['format']}, this charrnn reads {FORMAT}; upgrade charrnn")
        name = _not_finite(arrays)
        if name:
            raise ValueError(f"{name} holds values that are not finite")
        return _checkpoint(arrays, metadata)
    except ValueError as error:
        raise CheckpointError(f"{path}: not a checkpoint of charrnn ({error}); use another file") from error


def _checkpoint(arrays: dict[str, Array], metadata: dict[str, object]) -> Checkpoint:
    """The checkpoint that arrays and metadata stand for; ValueError that says what contradicts what."""
    progress = fields.mapping(metadata, "progress")
    if fields.whole(metadata, "format", 1, FORMAT) == 1:
        metadata = {**metadata, "settings": progress.pop("config", {})}
    known = {"format", "cell", "hidden", "activation", "settings", "progress"}
    if set(metadata) - known:
        raise ValueError(f"it has {shown(', '.join(sorted(set(metadata) - known)))}, which format {FORMAT} does not")
    extra = {name.removeprefix(_STATE): arrays.pop(name) for name in list(arrays) if name.startswith(_STATE)}
    if "vocabulary" not in arrays:
        raise ValueError("vocabulary is missing")
    symbols = _symbols(arrays.pop("vocabulary"))
    hidden = _hidden(metadata)
    _check_weights(arrays, hidden, len(symbols))
    return Checkpoint(
        _name(metadata, "cell"),
        hidden,
        _name(metadata, "activation"),
        symbols,
        arrays,
        fields.mapping(metadata, "settings"),
        progress,
        extra,
    )


def _name(metadata: dict[str, object], key: str) -> str:
    name = fields.text(metadata, key)
    if not NAME.fullmatch(name):
        raise ValueError(f"{key} is {fields.literal(name)}; it must be a name of {NAME_RULE}")
    return name


def _symbols(vocabulary: Array) -> str:
    """The characters of the stored code points (symbols,)."""
    if vocabulary.dtype != np.uint32 or vocabulary.ndim != 1 or not 0 < vocabulary.size <= MAX_SYMBOLS:
        raise ValueError(f"its vocabulary is {_kind(vocabulary)}; it must be 1 to {MAX_SYMBOLS} of uint32")
    if vocabulary.max() > 0x10FFFF or (vocabulary >> 11 == 0xD800 >> 11).any():
        raise ValueError("its vocabulary holds numbers that are no characters")
    if (vocabulary[1:] <= vocabulary[:-1]).any():
        raise ValueError("its vocabulary is not sorted, or holds a character twice")
    return vocabulary.astype("<u4").tobytes().decode("utf-32-le")


def _hidden(metadata: dict[str, object]) -> tuple[int, ...]:
    widths = metadata.get("hidden")
    if not isinstance(widths, list) or not 1 <= len(widths) <= MAX_LAYERS:
        raise ValueError(f"hidden is {fields.literal(widths)}; it must be a list of 1 to {MAX_LAYERS} widths")
    for width in widths:
        if type(width) is not int or width < 1:
            raise ValueError(f"hidden has the width {fields.literal(width)}; it must be a whole number of at least 1")
    return tuple(widths)


def _check_weights(weights: dict[str, Array], hidden: tuple[int, ...], symbols: int) -> None:
    """What holds for every cell: without it, sizes out of the metadata could ask for any amount of memory."""
    for name, array in weights.items():
        if not array.size:  # its other sides could be of any size
            raise ValueError(f"{name} is empty")
    dtypes = {array.dtype.name for array in weights.values()}
    if dtypes not in ({"float32"}, {"float64"}):
        raise ValueError(f"its weights are of {' and '.join(sorted(dtypes)) or 'no type'}, not float32 or float64")
    if len(weights) < len(hidden) + 2:
        raise ValueError(f"it has {len(weights)} weights, too few for {len(hidden)} layers and the output")
    for name, shape in ((f"W_h{len(hidden)}a", (hidden[-1], symbols)), ("b_a", (symbols,))):
        if name not in weights or weights[name].shape != shape:
            found = _kind(weights[name]) if name in weights else "missing"
            raise ValueError(f"{name} is {found}; hidden and vocabulary ask for {shape}")
    sizes = {size for array in weights.values() for size in array.shape}
    for layer, width in enumerate(hidden, start=1):
        if not any(size % width == 0 for size in sizes):
            raise ValueError(f"layer {layer} is {width} wide, and no weight has a side to fit it")


def _kind(array: Array) -> str:
    return f"{array.dtype.name} {array.shape}"


def _not_finite(arrays: dict[str, Array]) -> str | None:
    """The name of an array that holds NaN or infinity."""
    return next((name for name, a in arrays.items() if a.dtype.kind == "f" and not np.isfinite(a).all()), None)
