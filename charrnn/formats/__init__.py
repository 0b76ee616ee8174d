"""A model as a file for something else than charrnn, whose ending says which format is meant; or as a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.errors import ConfigError
from charrnn.storage.durable import atomic_write_bytes, write_directory

if TYPE_CHECKING:
    from charrnn.model import Model

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Origin:
    """Where a model comes from: its name, and of a run the steps so far and the lowest validation loss in nats."""

    name: str
    steps: int | None = None
    validation: float | None = None


# By ending: the module of this room whose function `content(model, origin)` gives the bytes of the file.
ENDINGS = {".html": "page", ".onnx": "onnx_graph", ".safetensors": "tensors", ".pt": "state_dict"}


def export(what: Model | PathLike | None, path: PathLike) -> None:
    """Writes a model, or the best one of a run, into a file of the format that its ending names; whole or not at all.

    `.html` is a page by itself that runs the model in a browser, `.onnx` a graph for any ONNX runtime; `.safetensors`
    and `.pt` have PyTorch's names, and `charrnn.import_model` reads them. A `path` that ends in / or is an empty
    directory becomes a folder as model hubs have it. `what` is a model, or a checkpoint or run as of `charrnn.load`.
    ConfigError for another ending, for a model that the format cannot hold, and where a package is missing that the
    format needs.
    """
    made = maker(path)
    model, origin = _model(what, Path(path).stem)
    content = made(model, origin)
    if isinstance(content, bytes):
        atomic_write_bytes(Path(path), content)
    else:
        write_directory(Path(path), content)


def maker(path: PathLike) -> Callable[[Model, Origin], bytes | dict[str, bytes]]:
    """What makes the content of such a file, or the files of a folder; ConfigError if there is no such format."""
    if os.fspath(path).endswith(("/", os.sep)) or Path(path).is_dir():
        if Path(path).is_dir() and any(Path(path).iterdir()):
            raise ConfigError(f"{os.fspath(path)}: the directory is not empty; name a new one")
        module = "hub"
    else:
        ending = Path(path).suffix.lower()
        if ending not in ENDINGS:
            kind = f"no format has the ending {ending}" if ending else "the ending names the format, and it has none"
            raise ConfigError(f"{os.fspath(path)}: {kind}; use {', '.join(ENDINGS)}, or / for a folder")
        module = ENDINGS[ending]
    content: Callable[[Model, Origin], bytes | dict[str, bytes]] = import_module(f"charrnn.formats.{module}").content
    return content


def _model(what: Model | PathLike | None, name: str) -> tuple[Model, Origin]:
    from charrnn import model
    from charrnn.storage import BEST
    from charrnn.training.parts import run_of
    from charrnn.training.runs import find, summary

    if isinstance(what, model.Model):
        return what, Origin(name)
    path = find(what)
    loaded = model.load(path)
    run = run_of(path)
    if run is None:
        return loaded, Origin(path.stem)
    name = run.directory.resolve().name
    if path.is_file() and path.name != BEST:
        return loaded, Origin(name)
    known = summary(run.directory)
    return loaded, Origin(name, known.steps, known.validation)
