"""Coverage-guided fuzzing of `charrnn.storage.checkpoint.load`, with atheris, which charrnn itself does not need.

    pip install atheris
    python fuzz/fuzz_checkpoint.py -max_total_time=300 CORPUS_DIRECTORY

An input is either the bytes of a file, or the parts of one whose sums are then made right, so that the fuzzer gets past
them. A finding is any exception but CheckpointError, or a message that is not one printable line. The seeds are the
golden files and the good checkpoint of the tests; options after the script's name are libFuzzer's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

with atheris.instrument_imports(include=["charrnn", "zipfile", "json"]):
    import zipfile  # noqa: F401  (instrumented before anything else imports it)

    from charrnn.errors import CheckpointError
    from charrnn.storage.checkpoint import load

import forge  # noqa: E402  (found on the path that was just set)
import hostile_checkpoints  # noqa: E402

ARRAYS, _ = hostile_checkpoints.good()
DTYPES = ["<f4", "<f8", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1", "<f2", ">f4"]
FILE = Path(tempfile.mkdtemp(prefix="charrnn-fuzz-")) / "a.npz"


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
    try:
        load(FILE)
    except CheckpointError as error:
        line = str(error)
        if not line.isprintable() or len(line) > 1_000:
            raise ValueError(f"no clear line: {line!r}") from error


def write_seeds(directory: Path) -> None:
    """The golden files, and metadata behind arrays that are left as they are."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in (ROOT / "tests" / "golden").glob("*.npz"):
        (directory / path.name).write_bytes(path.read_bytes())
    arrays, metadata = hostile_checkpoints.good()
    (directory / "good").write_bytes(forge.signed(arrays, metadata))
    (directory / "metadata").write_bytes(bytes(len(arrays)) + forge.compact(metadata))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if not argument.startswith("-"):
            write_seeds(Path(argument))
            break
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
