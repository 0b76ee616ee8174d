"""Encoded texts on disk: a header that says whose ids they are and how many, then the ids; read by mapping the file.

The header fills a page, so that the ids begin on one. It is written last: only then are number and checksum known.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CorpusError, StorageError
from charrnn.storage import fields
from charrnn.storage.durable import open_atomic, open_regular

Ids = npt.NDArray[Any]

MAGIC = b"charrnn ids 2\n"  # 1 did not say how many ids there are
HEADER = 4096  # bytes before the first id
BLOCK = 1 << 20  # bytes that are verified at a time


def write_ids(path: Path, header: Mapping[str, str], encoded: Iterable[Ids]) -> None:
    """Writes `header` and the ids (N,), given in pieces of one dtype, whole or not at all, never through a link.

    StorageError if the system fails.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {path.parent}: {error.strerror}; choose another directory") from error
    digest = hashlib.sha256()
    with open_atomic(path, follow=False) as file:
        file.write(bytes(HEADER))
        for ids in encoded:
            data = np.ascontiguousarray(ids).data
            file.write(data)
            digest.update(data)
        size = file.tell() - HEADER
        file.seek(0)
        file.write(_head(header, size, digest.hexdigest()))


def map_ids(
    path: Path, header: Mapping[str, str], dtype: npt.DTypeLike, *, verify: bool = False
) -> tuple[Ids, Callable[[], object]]:
    """The ids (N,) that `write_ids` kept under exactly this header, and a function that gives their memory back.

    The ids are mapped: the system reads pages when they are used, and may forget them. Their number is compared with
    the one in the header; `verify` reads them all, a block at a time, and compares their SHA-256. CorpusError if the
    file holds other ids, not all of them, or none.
    """
    dtype = np.dtype(dtype)
    try:
        with open_regular(path) as file:
            head = file.read(HEADER)
            size = os.fstat(file.fileno()).st_size - HEADER
            sha256 = _sha256(head, header, size)
            if size % dtype.itemsize:
                raise ValueError(f"its {size} bytes are no whole number of ids")
            if verify:
                digest = hashlib.sha256()
                while block := file.read(BLOCK):
                    digest.update(block)
                if digest.hexdigest() != sha256:
                    raise ValueError("the ids do not match their SHA-256")
            if not size:
                return np.empty(0, dtype), lambda: None
            mapped = mmap.mmap(file.fileno(), HEADER + size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror or error}); begin the run anew") from error
    except ValueError as error:
        raise CorpusError(f"{path}: not the ids of this text ({error}); begin the run anew") from error
    ids: Ids = np.frombuffer(mapped, dtype, offset=HEADER)
    advise = getattr(mapped, "madvise", None)  # not on Windows
    return ids, (lambda: advise(mmap.MADV_DONTNEED)) if advise else (lambda: None)


def _head(header: Mapping[str, str], size: int, sha256: str) -> bytes:
    """The header's page: the caller's `header`, bytes of ids, and their SHA-256."""
    head = MAGIC + json.dumps({"of": dict(header), "bytes": size, "ids": sha256}).encode("ascii")
    if len(head) > HEADER:
        raise ValueError(f"a header of {len(head)} bytes, more than {HEADER}")
    return head.ljust(HEADER)


def _sha256(head: bytes, header: Mapping[str, str], size: int) -> str:
    """The checksum in a file's first page; ValueError unless the page is that of `size` bytes under `header`."""
    if head.startswith(b"charrnn ids 1\n"):
        raise ValueError("written by an older charrnn")
    if not head.startswith(MAGIC):
        raise ValueError("it begins otherwise")
    content = fields.parse_json(head[len(MAGIC) :], HEADER)
    if not isinstance(content, dict) or content.get("of") != dict(header):
        raise ValueError("it belongs to another text, vocabulary or dtype")
    if content.get("bytes") != size:
        raise ValueError(f"it holds {size} bytes of ids, and its header says {fields.whole(content, 'bytes')}")
    return fields.text(content, "ids")
