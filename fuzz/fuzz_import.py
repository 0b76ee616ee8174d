"""Fuzzes `charrnn.import_model`: .safetensors, .pt (which needs PyTorch) and vocabularies; harness.py says how.

The first byte of an input says what the rest is: a .safetensors file as it is, the header of one to which the bytes of
its arrays are added, a .pt file as it is, the pickle in one, or the JSON of a vocabulary. What is imported must be a
model of finite numbers, which is saved and loaded as it is.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile

import atheris
import harness

with atheris.instrument_imports(include=["charrnn", "json", "pickletools"]):
    import pickletools  # noqa: F401  (instrumented before anything else imports it)

    from charrnn.errors import CharrnnError
    from charrnn.formats import export, state_dict, tensors  # noqa: F401
    from charrnn.formats.importer import import_model
    from charrnn.model import Model
    from charrnn.network.parameters import Architecture, Parameters
    from charrnn.training.runs import load

import numpy as np

PLACE = harness.directory()
KINDS = ["safetensors", "header", "pt", "pickle", "vocabulary"]
try:
    import torch
except ImportError:
    KINDS = [kind for kind in KINDS if kind not in ("pt", "pickle")]
VOCABULARY, FOREIGN, SAVED = PLACE / "vocabulary.json", PLACE / "foreign.safetensors", PLACE / "a.npz"


def model(cell: str = "gru") -> Model:
    """A small network that is the same each time."""
    architecture = Architecture(3, (3, 3), "tanh", cell)
    parameters = Parameters(architecture, np.float32)
    parameters.vector[...] = np.random.default_rng(0).standard_normal(parameters.vector.size)
    return Model(parameters, "abc", {"learning_rate": 0.003})


def exported(ending: str, cell: str = "gru") -> bytes:
    """The model's file."""
    path = PLACE / f"exported{ending}"
    export(model(cell), path)
    return path.read_bytes()


def parts(content: bytes) -> tuple[bytes, bytes]:
    """The header of a .safetensors file, and the bytes of its arrays."""
    (length,) = struct.unpack("<Q", content[:8])
    return content[8 : 8 + length], content[8 + length :]


HEADER, DATA = parts(exported(".safetensors"))
told = json.loads(HEADER)
del told["__metadata__"]
BARE = json.dumps(told).encode()
FOREIGN.write_bytes(struct.pack("<Q", len(BARE)) + BARE + DATA)
VOCABULARY.write_text('["a", "b", "c"]')
TENSORS = exported(".pt") if "pt" in KINDS else b""


def with_pickle(pickled: bytes) -> bytes:
    """The .pt file with another pickle in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(TENSORS)) as stored, zipfile.ZipFile(made, "w") as changed:
        for name in stored.namelist():
            changed.writestr(name, pickled if name.endswith("/data.pkl") else stored.read(name))
    return made.getvalue()


def own_pickle() -> bytes:
    """That of the .pt file."""
    with zipfile.ZipFile(io.BytesIO(TENSORS)) as stored:
        return stored.read(next(name for name in stored.namelist() if name.endswith("/data.pkl")))


def one_input(raw: bytes) -> None:
    """Imports what the input makes."""
    kind, content = KINDS[raw[0] % len(KINDS) if raw else 0], raw[1:]
    path, vocabulary = FOREIGN, PLACE / "given.json"
    if kind in ("safetensors", "header"):
        path = PLACE / "a.safetensors"
        path.write_bytes(content if kind == "safetensors" else struct.pack("<Q", len(content)) + content + DATA)
    elif kind in ("pt", "pickle"):
        path = PLACE / "a.pt"
        path.write_bytes(content if kind == "pt" else with_pickle(content))
    given = [None] if path != FOREIGN else []
    if kind == "vocabulary":
        vocabulary.write_bytes(content)
        given = [vocabulary]
    elif raw and raw[0] >= 128:
        given = [VOCABULARY]
    for one in given:
        with harness.refused(CharrnnError):
            made = import_model(path, one)
            assert np.isfinite(made.parameters.vector).all()
            made.save(SAVED)
            again = load(SAVED)
            assert again.parameters.vector.tobytes() == made.parameters.vector.tobytes()
            assert again.symbols == made.symbols


def seeds() -> dict[str, bytes]:
    """Good files of each kind, with and without what charrnn tells in them."""
    contents = {
        "safetensors": [exported(".safetensors"), exported(".safetensors", "lstm"), FOREIGN.read_bytes()],
        "header": [HEADER, BARE],
        "vocabulary": [b'["a", "b", "c"]', b'{"a": 0, "b": 1, "c": 2}', '["é", "\\u00e8", "𝄞"]'.encode()],
    }
    if TENSORS:
        file = io.BytesIO()
        torch.save({"w": torch.zeros(2, 2), "n": [1, 2.5, None, True, ("a", {})]}, file)
        contents |= {"pt": [TENSORS, file.getvalue()], "pickle": [own_pickle()]}
    return {
        f"{kind}{i}-{first}": bytes([KINDS.index(kind) + first * 26 * len(KINDS)]) + content
        for kind, several in contents.items()
        for i, content in enumerate(several)
        for first in (0, 1)
        if KINDS.index(kind) + first * 26 * len(KINDS) < 256
    }


if __name__ == "__main__":
    harness.main(one_input, seeds, harness.mutate_json)
