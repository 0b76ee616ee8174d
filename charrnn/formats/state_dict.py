"""A .pt file for PyTorch: the state_dict of nn.RNN, nn.GRU or nn.LSTM and nn.Linear, beside vocabulary and settings.

It holds nothing but tensors and plain values, so that `torch.load(weights_only=True)` reads it. Other files are read in
that way only, too, and only if all that their pickle calls makes tensors: a module that was pickled whole is code, and
some of what PyTorch allows, as a bytearray of any size, takes memory for nothing.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.errors import CheckpointError, ConfigError, shown
from charrnn.extras import needed
from charrnn.formats.contents import as_text, check_own, facts
from charrnn.formats.pytorch import to_arrays
from charrnn.network.buffers import Array
from charrnn.storage.durable import read_whole
from charrnn.storage.npz import MAX_ARRAYS

if TYPE_CHECKING:
    from charrnn.formats import Origin
    from charrnn.model import Model

STATE_DICT = "state_dict"
OTHERS = ("model_state_dict", "model")  # under which name other programs keep it
# What the pickle of tensors calls.
STORAGE = "torch FloatStorage"  # stands for those of all dtypes
CALLED = {STORAGE, "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"}
OLDEST = (2, 6)  # before it, weights_only could be made to execute code (CVE-2025-32434)
INSTEAD = "if you trust it, load it with torch.load(..., weights_only=False) in Python, and save its state_dict() alone"


def content(model: Model, origin: Origin) -> bytes:
    """The file. ConfigError for a network that is none of nn.RNN, nn.GRU and nn.LSTM, and without PyTorch."""
    check_own(model, "PyTorch runs", ("tanh", "relu"))
    widths = model.architecture.hidden
    if len(set(widths)) > 1:
        raise ConfigError(
            f"hidden {','.join(map(str, widths))}: PyTorch's layers are all of one width; use .safetensors or .onnx"
        )
    torch = needed("torch", "torch", "a .pt file")
    arrays = {name: torch.from_numpy(array) for name, array in to_arrays(model.parameters).items()}
    file = io.BytesIO()
    torch.save({STATE_DICT: arrays, **facts(model)}, file)
    return file.getvalue()


def read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays of a state_dict, alone or in a dictionary, and what else a file of charrnn's tells.

    ValueError that says what is wrong with it; CheckpointError for one that only code could read; ConfigError without
    PyTorch.
    """
    torch = needed("torch", "torch", "a .pt file")
    if tuple(map(int, torch.__version__.split(".")[:2])) < OLDEST:
        raise ConfigError(f"PyTorch {torch.__version__} does not read foreign files safely; install 2.6 or a later one")
    raw = read_whole(path)
    if not raw.startswith(b"PK"):
        raise CheckpointError(f"{path}: no .pt file, or one from before PyTorch 1.6; {INSTEAD}")
    foreign = _calls(_pickle(raw)) - CALLED
    if foreign:
        called = shown(", ".join(sorted(foreign)))
        raise CheckpointError(f"{path}: more than a state_dict: to read it would call {called}; {INSTEAD}")
    try:
        saved = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch gives no list of what a damaged file makes it raise
        raise ValueError(f"it is damaged ({type(error).__name__})") from error
    if not isinstance(saved, Mapping):
        raise ValueError("it is no state_dict")
    inner = next((saved[name] for name in (STATE_DICT, *OTHERS) if isinstance(saved.get(name), Mapping)), saved)
    if len(inner) > MAX_ARRAYS:
        raise ValueError(f"it has {len(inner)} arrays, more than {MAX_ARRAYS}")
    arrays: dict[str, Array] = {}
    allowed = 2 * len(raw)  # bytes: two tensors may be one in the file, and a hostile one repeats a few bytes for ever
    for name, tensor in inner.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{shown(name)} is no array")
        allowed -= tensor.numel() * tensor.element_size()
        if allowed < 0:
            raise ValueError(f"{shown(name)} is larger than the file")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"{shown(name)} is of {tensor.dtype}, not of float32 or float64")
        arrays[name] = tensor.detach().contiguous().numpy()
    return arrays, _told(saved) if inner is not saved and "charrnn" in saved else {}


def _told(saved: Mapping[Any, Any]) -> dict[str, str]:
    """What `facts` had told; ValueError for values that are not plain."""
    try:
        return as_text({name: value for name, value in saved.items() if name != STATE_DICT})
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError("what it tells beside its arrays is not plain") from error


def _pickle(raw: bytes) -> bytes:
    """The pickle in a zip file that is stored as `torch.save` does, so that nothing in it can grow when it is read."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = archive.infolist()
            names = [info.filename for info in members if info.filename.lower().endswith("/data.pkl")]
            stored = all(info.compress_type == zipfile.ZIP_STORED for info in members)
            stored = stored and sum(info.file_size for info in members) <= len(raw)
            if stored and len(names) == 1:
                return archive.read(names[0])
    except Exception as error:  # zipfile gives no list of what a damaged file makes it raise
        raise ValueError("it is cut short or damaged") from error
    raise ValueError("it has no pickle, or several" if stored else "its parts are compressed or overlap")


def _calls(pickled: bytes) -> set[str]:
    """What a pickle may call, as in "collections OrderedDict"; the operation, where it takes a name from elsewhere."""
    names = set()
    try:
        for operation, argument, _ in pickletools.genops(pickled):
            if operation.name == "GLOBAL":
                names.add(re.sub(r"^torch \w+Storage$", STORAGE, str(argument)))
            elif operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
                names.add(operation.name)
    except Exception as error:  # pickletools gives no such list either
        raise ValueError("its pickle is damaged") from error
    return names
