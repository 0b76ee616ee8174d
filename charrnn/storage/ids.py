"""Encoded texts on disk: a header that says whose ids they are, then the ids; read by mapping the file into memory."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CorpusError, StorageError
from charrnn.storage.durable import atomic_write_bytes

Ids = npt.NDArray[Any]

MAGIC = b"charrnn ids 1\n"
HEADER = 4096  # bytes before the first id: the ids begin on a page


def write_ids(path: Path, header: Mapping[str, str], encoded: Iterable[Ids]) -> None:
    """Writes `header` and the ids (N,), given in pieces, whole or not at all. StorageError if the system fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {path.parent}: {error.strerror}; choose another directory") from error

    def parts() -> Iterable[memoryview | bytes]:
        yield (MAGIC + json.dumps(dict(header)).encode()).ljust(HEADER)
        for ids in encoded:
            yield ids.data

    atomic_write_bytes(path, parts())


def map_ids(path: Path, header: Mapping[str, str], dtype: npt.DTypeLike) -> tuple[Ids, Callable[[], object]]:
    """The ids (N,) that `write_ids` kept under exactly this header, and a function that gives their memory back.

    The ids are mapped: the system reads pages when they are used, and may forget them. CorpusError if the file holds
    other ids, or none.
    """
    dtype = np.dtype(dtype)
    try:
        with path.open("rb") as file:
            head = file.read(HEADER)
            size = os.fstat(file.fileno()).st_size - HEADER
            if not head.startswith(MAGIC) or json.loads(head[len(MAGIC) :]) != dict(header) or size % dtype.itemsize:
                raise ValueError
            if not size:
                return np.empty(0, dtype), lambda: None
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read ({error.strerror}); begin the run anew") from error
    except ValueError as error:
        raise CorpusError(f"{path}: not the ids of this text; begin the run anew") from error
    ids: Ids = np.frombuffer(mapped, dtype, offset=HEADER)
    advise = getattr(mapped, "madvise", None)  # not on Windows
    return ids, (lambda: advise(mmap.MADV_DONTNEED)) if advise else (lambda: None)
