"""Named arrays and a dictionary in one .npz file that loads as it was written, or not at all.

`np.load` reads these files, but it is not a safe reader: it allocates what a header declares, lets
the last of two equal names win and checks a sum only when an array is asked for. This reader
accepts the files of `write_archive` and little else: stored (never compressed) members that fill
the file without gap or overlap, a few plain dtypes, C order. The member `metadata` is UTF-8 JSON as
an array of bytes. It lists the arrays, holds the caller's dictionary and carries a SHA-256 over
both and over the arrays' bytes. The sum finds damage; it is no signature.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CheckpointError, StorageError
from charrnn.storage.durable import atomic_write_bytes, open_atomic

__all__ = ["atomic_write_bytes", "read_archive", "write_archive"]

Array = npt.NDArray[Any]

VERSION = 1
DTYPES = ("<f4", "<f8", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1")
MAX_ARRAYS = 10_000
# A few bytes of zip directory or JSON become many of Python objects: both have their own limit.
MAX_DIRECTORY_BYTES = 200 * MAX_ARRAYS
MAX_METADATA_BYTES = 16_000_000
MAX_HEADER_BYTES = 2_000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
# The header as NumPy has always written it. Digits are bounded: 18 of them fit an int64.
_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[^']*)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>|[0-9]{1,18},|[0-9]{1,18}(?:, [0-9]{1,18})+)\), \} *\n"
)


class _Rejected(Exception):
    """What is wrong with the file; `read_archive` adds its name and the remedy."""


def write_archive(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, object]) -> None:
    """Replace `path`, whole or not at all, by an archive of `arrays` and `metadata`.

    `metadata` must be plain JSON with string keys and finite numbers; tuples come back as lists.
    The same content gives the same bytes. Raises StorageError if writing fails; a name, dtype or
    value that the format does not hold is a mistake of the caller and raises TypeError or
    ValueError before any file is touched.
    """
    stored = {name: _plain(name, array) for name, array in arrays.items()}
    document = _document(stored, metadata)
    if len(document) > MAX_METADATA_BYTES:
        raise ValueError(f"{len(document)} bytes of metadata, more than {MAX_METADATA_BYTES}")
    if len(stored) > MAX_ARRAYS:
        raise ValueError(f"{len(stored)} arrays, more than {MAX_ARRAYS}")
    members = {"metadata": np.frombuffer(document, np.uint8), **stored}
    with open_atomic(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in members.items():
            header = io.BytesIO()
            fields = np.lib.format.header_data_from_array_1_0(array)
            np.lib.format.write_array_header_1_0(header, fields)
            info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: equal content, equal bytes
            info.file_size = len(header.getvalue()) + array.nbytes  # zipfile picks ZIP64 by it
            with archive.open(info, "w") as member:
                member.write(header.getvalue())
                member.write(_bytes(array))


def read_archive(path: Path, *, max_bytes: int | None = None) -> tuple[dict[str, Array], dict[str, object]]:
    """Give the arrays, writable and in the order written, and the metadata of an archive.

    The file is read once through one handle, so replacing it meanwhile does no harm. Memory stays
    within a small multiple of the file's size, whatever its headers declare. Raises CheckpointError
    if the file is missing, larger than `max_bytes` or not exactly what `write_archive` writes,
    StorageError if the system cannot read it.
    """
    try:
        return _decode(_read(path, max_bytes))
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {path}; check the path, or train a model first") from error
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror or error}; check the file's permissions and disk"
        ) from error
    except _Rejected as error:
        raise CheckpointError(f"cannot load {path}: {error}; use another checkpoint or train again") from error
    except MemoryError as error:
        raise CheckpointError(
            f"cannot load {path}: it does not fit in memory; free some or use a smaller model"
        ) from error


def _read(path: Path, max_bytes: int | None) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):  # before open, which waits for ever on a FIFO
        raise _Rejected("it is not a regular file")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if max_bytes is not None and size > max_bytes:
            raise _Rejected(f"it has {size} bytes, more than the {max_bytes} allowed")
        return file.read(size)


def _decode(data: bytes) -> tuple[dict[str, Array], dict[str, object]]:
    arrays = {name: _array(name, member) for name, member in _members(data)}
    raw = arrays.pop("metadata", None)
    if raw is None:
        raise _Rejected("it has no metadata, so charrnn did not write it")
    if raw.dtype != np.uint8 or raw.ndim != 1 or raw.size > MAX_METADATA_BYTES:
        raise _Rejected(f"its metadata is not a list of at most {MAX_METADATA_BYTES} bytes")
    return arrays, _verified_metadata(raw.tobytes(), arrays)


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Name and content of every member, one at a time, after the checks on the zip file itself."""
    if data[-22:-18] != b"PK\x05\x06" or data[-2:] != b"\0\0":
        raise _Rejected("it is not a zip file, is cut short or has bytes after its end")
    if int.from_bytes(data[-10:-6], "little") > MAX_DIRECTORY_BYTES:
        raise _Rejected(f"its zip directory is longer than {MAX_DIRECTORY_BYTES} bytes")
    if data[-42:-38] == b"PK\x06\x07" and len(data) < zipfile.ZIP64_LIMIT:
        # That record could declare another, longer directory.
        raise _Rejected("it has a ZIP64 record and is too short to need one")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_layout(archive, data)
            for info in archive.infolist():
                yield info.filename.removesuffix(".npy"), archive.read(info)  # checks the CRC
    except (_Rejected, MemoryError):
        raise
    except Exception as error:  # zipfile gives no list of what a damaged file makes it raise
        raise _Rejected(f"its zip structure is damaged ({type(error).__name__})") from error


def _check_layout(archive: zipfile.ZipFile, data: bytes) -> None:
    """Check that plain members with distinct names fill the file up to the zip directory."""
    names = set()
    end = 0
    for info in archive.infolist():
        name = info.orig_filename  # zipfile cuts `filename` at a NUL
        if not name.endswith(".npy") or not _is_name(name.removesuffix(".npy")):
            raise _Rejected(f"it holds {name[:100]!r}, which is no name of an array")
        if name in names:
            raise _Rejected(f"it holds {name} twice")
        names.add(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise _Rejected(f"{name} is compressed")
        if info.flag_bits:
            raise _Rejected(f"{name} is encrypted or has other zip flags")
        if info.header_offset != end:
            raise _Rejected(f"{name} does not start where the member before it ends")
        name_size, extra_size = struct.unpack_from("<HH", data, end + 26)
        end += 30 + name_size + extra_size + info.file_size
    if end != archive.start_dir:
        raise _Rejected("its members do not end where the zip directory starts")


def _array(name: str, member: bytes) -> Array:
    """The array in an .npy member; allocates only once the declared size is the true one."""
    if member[:8] != b"\x93NUMPY\x01\x00" or len(member) < 10:
        raise _Rejected(f"{name} is not an array in the .npy format 1.0")
    start = 10 + int.from_bytes(member[8:10], "little")
    if start > MAX_HEADER_BYTES:
        raise _Rejected(f"the header of {name} is longer than {MAX_HEADER_BYTES} bytes")
    fields = _HEADER.fullmatch(member[10:start].decode("latin-1"))
    if fields is None:
        raise _Rejected(f"the header of {name} is not of the form that NumPy writes")
    dtype = fields["dtype"]
    if dtype not in DTYPES:
        raise _Rejected(f"{name} has dtype {dtype[:20]!r}, which is not one of {' '.join(DTYPES)}")
    if fields["fortran"] == "True":
        raise _Rejected(f"{name} is in Fortran order")
    shape = tuple(int(size) for size in fields["shape"].split(",") if size)
    declared = math.prod(shape) * np.dtype(dtype).itemsize
    if declared != len(member) - start:
        raise _Rejected(f"{name} declares {declared} bytes and has {len(member) - start}")
    try:
        array: Array = np.ndarray(shape, dtype, buffer=member, offset=start).copy()
    except ValueError as error:  # more dimensions than NumPy has, or (0, 10**18, 10**18)
        raise _Rejected(f"{name} has a shape that NumPy cannot hold") from error
    if dtype == "|b1" and array.view(np.uint8).max(initial=0) > 1:
        raise _Rejected(f"{name} is boolean with bytes other than 0 and 1")
    return array


def _verified_metadata(raw: bytes, arrays: Mapping[str, Array]) -> dict[str, object]:
    """The caller's dictionary out of `raw`, which must be what `_document` makes of it."""
    try:
        document = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _Rejected(f"its metadata is not UTF-8 JSON ({type(error).__name__})") from error
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise _Rejected("its metadata has another structure than charrnn's")
    if document.get("archive_version") != VERSION:
        raise _Rejected(f"it is not of archive version {VERSION}, the one this charrnn reads")
    if document.get("arrays") != _listing(arrays):
        raise _Rejected("its arrays are not those that its metadata lists")
    metadata: dict[str, object] = document["metadata"]
    try:
        expected = _document(arrays, metadata)
    except (ValueError, RecursionError) as error:
        raise _Rejected("its metadata holds a number that is not finite") from error
    # Comparing bytes checks the SHA-256 and refuses repeated keys and any other second spelling.
    if raw != expected:
        raise _Rejected("its content does not match its SHA-256")
    return metadata


def _document(arrays: Mapping[str, Array], metadata: Mapping[str, object]) -> bytes:
    """The JSON text of the member `metadata`, in its one spelling."""
    content = {"archive_version": VERSION, "arrays": _listing(arrays), "metadata": dict(metadata)}
    digest = hashlib.sha256(_json(content))
    for array in arrays.values():
        digest.update(_bytes(array))
    return _json({**content, "sha256": digest.hexdigest()})


def _json(content: object) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def _listing(arrays: Mapping[str, Array]) -> list[dict[str, object]]:
    return [{"name": name, "dtype": array.dtype.str, "shape": list(array.shape)} for name, array in arrays.items()]


def _plain(name: str, array: Array) -> Array:
    """`array` in C order and little-endian; a copy only where it has to be."""
    if name == "metadata" or not _is_name(name):
        raise ValueError(f"{name!r} cannot name an array in an archive")
    dtype = np.asarray(array).dtype.newbyteorder("<").str
    if dtype not in DTYPES:
        raise TypeError(f"{name} has dtype {dtype}, which an archive does not hold")
    return np.asarray(array, dtype=dtype, order="C")  # np.ascontiguousarray makes 0-d arrays 1-d


def _is_name(name: str) -> bool:
    # np.load finds the member W.npy under both W and W.npy, so one must not be an array of its own.
    return _NAME.fullmatch(name) is not None and not name.endswith(".npy")


def _bytes(array: Array) -> memoryview:
    """The bytes of an array in C order, not copied; memoryview.cast refuses empty ones."""
    return array.reshape(-1).view(np.uint8).data
