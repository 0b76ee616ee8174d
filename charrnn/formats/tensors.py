"""A .safetensors file: the weights by PyTorch's names, with vocabulary, cell and settings as metadata.

`charrnn import` makes the same model of it, bit for bit. Its metadata is told to be PyTorch's (`format: pt`), as other
readers of such files ask for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.errors import ConfigError
from charrnn.formats.contents import as_text, check_own, facts
from charrnn.formats.pytorch import to_arrays
from charrnn.network.buffers import Array
from charrnn.storage import safetensors
from charrnn.storage.durable import read_whole

if TYPE_CHECKING:
    from charrnn.formats import Origin
    from charrnn.model import Model


def content(model: Model, origin: Origin) -> bytes:
    """The file. ConfigError for a cell or φ that is not built in, and for more symbols than its header can hold."""
    check_own(model, "a .safetensors file holds")
    try:
        return safetensors.encode(to_arrays(model.parameters), {"format": "pt", **as_text(facts(model))})
    except ValueError as error:
        raise ConfigError(f"a .safetensors file cannot hold this model ({error}); use .pt") from error


def read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a file, and its metadata. ValueError that says what is wrong with it."""
    return safetensors.decode(read_whole(path))
