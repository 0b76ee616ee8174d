"""Named arrays and a dictionary in one .npz file that loads as it was written, or not at all.

Beside the arrays the file has the member `metadata`: UTF-8 JSON as an array of bytes. It lists the arrays, holds the
caller's dictionary and carries a SHA-256 over both and over the arrays' bytes. The checksum detects damage but is no
signature: anyone can compute it, so the caller must validate the content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CheckpointError, StorageError
from charrnn.storage.durable import memory, open_atomic, open_regular
from charrnn.storage.fields import parse_json
from charrnn.storage.npz import MAX_ARRAYS, Rejected, plain, raw_bytes, read_arrays, write_arrays

Array = npt.NDArray[Any]

VERSION = 1
MAX_METADATA_BYTES = 1_000_000  # a few bytes of JSON become many of Python objects; 1,000 arrays take 100 kB


def write_archive(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, object]) -> None:
    """Replace `path`, whole or not at all, by an archive of `arrays` and `metadata`; a link itself, not its target.

    `metadata` must be plain JSON with string keys and finite numbers; tuples come back as lists.
    The same content gives the same bytes. Raises StorageError if writing fails; a name, dtype or
    value that the format does not hold is a mistake of the caller and raises TypeError or
    ValueError before any file is touched.
    """
    if "metadata" in arrays:
        raise ValueError("'metadata' cannot name an array in an archive")
    if len(arrays) > MAX_ARRAYS:
        raise ValueError(f"{len(arrays)} arrays, more than {MAX_ARRAYS}")
    stored = {name: plain(name, array) for name, array in arrays.items()}
    document = _document(stored, metadata)
    parse_json(document, MAX_METADATA_BYTES)  # what would not be read is not written
    with open_atomic(path, follow=False) as file:
        write_arrays(file, {"metadata": np.frombuffer(document, np.uint8), **stored})


def read_archive(path: Path, *, max_bytes: int | None = None) -> tuple[dict[str, Array], dict[str, object]]:
    """Give the arrays, writable and in the order written, and the metadata of an archive.

    The file is read through one handle, so replacing it meanwhile does no harm. Memory stays
    within three times the file's size, whatever its headers declare. Raises CheckpointError if the
    file is missing, larger than `max_bytes` (left out: than half of this machine's memory) or not
    exactly what `write_archive` writes, StorageError if the system cannot read it.
    """
    try:
        return _read(path, max_bytes)
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}; check the path, or train a model first") from error
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror or error}; check the file's permissions and disk"
        ) from error
    except Rejected as error:
        raise CheckpointError(f"cannot load {path}: {error}; use another checkpoint or train again") from error
    except MemoryError as error:
        raise CheckpointError(
            f"cannot load {path}: it does not fit in memory; free some or use a smaller model"
        ) from error


def _read(path: Path, max_bytes: int | None) -> tuple[dict[str, Array], dict[str, object]]:
    # A sparse file is small on disk but fills memory when read: so the limit is this machine's memory.
    allowed = memory() // 2 if max_bytes is None else max_bytes
    try:
        file = open_regular(path)
    except ValueError as error:  # of a name with a NUL, too
        raise Rejected(str(error)) from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > allowed:
            raise Rejected(f"it has {size} bytes, more than the {allowed} allowed")
        arrays = read_arrays(file, size)
    raw = arrays.pop("metadata", None)
    if raw is None:
        raise Rejected("it has no metadata, so charrnn did not write it")
    if raw.dtype != np.uint8 or raw.ndim != 1:
        raise Rejected("its metadata is not a list of bytes")
    return arrays, _verified_metadata(raw.tobytes(), arrays)


def _verified_metadata(raw: bytes, arrays: Mapping[str, Array]) -> dict[str, object]:
    """The caller's dictionary out of `raw`, which must be what `_document` makes of it."""
    try:
        document = parse_json(raw, MAX_METADATA_BYTES)
    except ValueError as error:
        raise Rejected(f"its metadata: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise Rejected("its metadata has another structure than charrnn's")
    if document.get("archive_version") != VERSION:
        raise Rejected(f"it is not of archive version {VERSION}, the one this charrnn reads")
    if document.get("arrays") != _listing(arrays):
        raise Rejected("its arrays are not those that its metadata lists")
    metadata: dict[str, object] = document["metadata"]
    # Comparing bytes checks the SHA-256 and refuses repeated keys and any other second spelling.
    if raw != _document(arrays, metadata):
        raise Rejected(
            "its content does not match its SHA-256: it is damaged, or was edited by other means than Model.save"
        )
    return metadata


def _document(arrays: Mapping[str, Array], metadata: Mapping[str, object]) -> bytes:
    """The JSON text of the member `metadata`, in its one spelling."""
    content = {"archive_version": VERSION, "arrays": _listing(arrays), "metadata": dict(metadata)}
    digest = hashlib.sha256(_json(content))
    for array in arrays.values():
        digest.update(raw_bytes(array))
    return _json({**content, "sha256": digest.hexdigest()})


def _json(content: object) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _listing(arrays: Mapping[str, Array]) -> list[dict[str, object]]:
    return [{"name": name, "dtype": array.dtype.str, "shape": list(array.shape)} for name, array in arrays.items()]
