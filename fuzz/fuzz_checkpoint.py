"""Fuzzes `charrnn.storage.checkpoint.load`; harness.py says how.

An input is either the bytes of a file, or the parts of one whose sums are then made right, so that the fuzzer gets past
them. The seeds are the golden files and the good checkpoint of the tests.
"""

from __future__ import annotations

import atheris
import harness

with atheris.instrument_imports(include=["charrnn", "zipfile", "json"]):
    import zipfile  # noqa: F401  (instrumented before anything else imports it)

    from charrnn.errors import CheckpointError
    from charrnn.storage.checkpoint import load

import forge
import hostile_checkpoints

ARRAYS, _ = hostile_checkpoints.good()
DTYPES = ["<f4", "<f8", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1", "<f2", ">f4"]
FILE = harness.directory() / "a.npz"


def archive(data: atheris.FuzzedDataProvider) -> bytes:
    """A file whose sums are right: arrays and metadata from the input, or those of the good checkpoint."""
    members, listed, content = [], [], b""
    for name, good in ARRAYS.items():
        if data.ConsumeBool():
            shape = [data.ConsumeIntInRange(0, 6) for _ in range(data.ConsumeIntInRange(0, 3))]
            dtype = data.PickValueInList(DTYPES)
            count = 1
            for size in shape:
                count *= size
            raw = data.ConsumeBytes(count * int(dtype[2])).ljust(count * int(dtype[2]), b"\1")
            name = data.PickValueInList([*ARRAYS, "W_h1a", "W_h3a", "state.", "x"])
        else:
            shape, dtype, raw = list(good.shape), good.dtype.str, good.tobytes()
        text = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        header = forge.header(repr(dtype), shape=f"({text})")
        members.append((f"{name}.npy", forge.npy_with_header(header, raw)))
        listed.append({"name": name, "dtype": dtype, "shape": shape})
        content += raw
    metadata = data.ConsumeBytes(data.remaining_bytes()).decode("utf-8", "replace")
    return forge.stored([forge.metadata_member(forge.document_of(metadata, listed, content)), *members])


def one_input(raw: bytes) -> None:
    """Loads what the input makes."""
    if raw[:1] == b"P":  # the bytes of a zip file
        FILE.write_bytes(raw)
    else:
        FILE.write_bytes(archive(atheris.FuzzedDataProvider(raw)))
    with harness.refused(CheckpointError):
        load(FILE)


def seeds() -> dict[str, bytes]:
    """The golden files, and metadata behind arrays that are left as they are."""
    files = {path.name: path.read_bytes() for path in (harness.ROOT / "tests" / "golden").glob("*.npz")}
    arrays, metadata = hostile_checkpoints.good()
    files["good"] = forge.signed(arrays, metadata)
    files["metadata"] = bytes(len(arrays)) + forge.compact(metadata)
    return files


if __name__ == "__main__":
    harness.main(one_input, seeds)
