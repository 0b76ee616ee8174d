"""Arrays in one .npz file, written plainly and read strictly.

`np.load` reads these files, but it is not a safe reader: it allocates what a header declares, lets the last of two
equal names win and checks a sum only when an array is asked for. This reader accepts what `write_arrays` writes and
little else: stored (never compressed) members that fill the file without gap or overlap, a few plain dtypes, C order.
"""

from __future__ import annotations

import io
import math
import re
import struct
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import shown

Array = npt.NDArray[Any]

DTYPES = ("<f4", "<f8", "<i8", "|u1", "<u2", "<u4", "<u8", "|b1")
# A network of 100 layers with its optimiser has some 1,000 arrays.
MAX_ARRAYS = 4_000
# A few bytes of zip directory become many of Python objects.
MAX_DIRECTORY_BYTES = 200 * MAX_ARRAYS
MAX_HEADER_BYTES = 2_000

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}")
# The header as NumPy has always written it. Digits are bounded: 18 of them fit an int64.
_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[^']*)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>|[0-9]{1,18},|[0-9]{1,18}(?:, [0-9]{1,18})+)\), \} *\n"
)


class Rejected(Exception):
    """What is wrong with the file; the caller adds its name and the remedy."""


def plain(name: str, array: Array) -> Array:
    """`array` in C order and little-endian; a copy only where it has to be.

    ValueError or TypeError for a name or dtype that the format does not hold.
    """
    if not _is_name(name):
        raise ValueError(f"{name!r} cannot name an array in an archive")
    dtype = np.asarray(array).dtype.newbyteorder("<").str
    if dtype not in DTYPES:
        raise TypeError(f"{name} has dtype {dtype}, which an archive does not hold")
    return np.asarray(array, dtype=dtype, order="C")  # np.ascontiguousarray makes 0-d arrays 1-d


def raw_bytes(array: Array) -> memoryview:
    """The bytes of an array in C order, not copied; memoryview.cast refuses empty ones."""
    return array.reshape(-1).view(np.uint8).data


def write_arrays(file: IO[bytes], arrays: Mapping[str, Array]) -> None:
    """Write arrays that have passed `plain`. Equal content gives equal bytes."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            header = io.BytesIO()
            fields = np.lib.format.header_data_from_array_1_0(array)
            np.lib.format.write_array_header_1_0(header, fields)
            info = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: equal content, equal bytes
            info.file_size = len(header.getvalue()) + array.nbytes  # zipfile picks ZIP64 by it
            with archive.open(info, "w") as member:
                member.write(header.getvalue())
                member.write(raw_bytes(array))


def read_arrays(file: IO[bytes], size: int) -> dict[str, Array]:
    """The arrays of an open file of `size` bytes, in the file's order, writable; Rejected if it is not exactly right.

    Nothing but the zip directory is read before the whole layout is known to be good.
    """
    return {name: _array(name, member) for name, member in _members(file, size)}


def _members(file: IO[bytes], size: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of every member, one at a time, after the checks on the zip file itself."""
    file.seek(max(size - 42, 0))
    tail = file.read(42)
    if tail[-22:-18] != b"PK\x05\x06" or tail[-2:] != b"\0\0":
        raise Rejected("it is not a zip file, is cut short or has bytes after its end")
    if int.from_bytes(tail[-10:-6], "little") > MAX_DIRECTORY_BYTES:
        raise Rejected(f"its zip directory is longer than {MAX_DIRECTORY_BYTES} bytes")
    if tail[:4] == b"PK\x06\x07" and size < zipfile.ZIP64_LIMIT:
        # That record could declare another, longer directory.
        raise Rejected("it has a ZIP64 record and is too short to need one")
    try:
        with zipfile.ZipFile(file) as archive:
            _check_layout(archive, file)
            for info in archive.infolist():
                yield info.filename.removesuffix(".npy"), archive.read(info)  # checks the CRC
    except (Rejected, MemoryError, OSError):
        raise
    except Exception as error:  # zipfile gives no list of what a damaged file makes it raise
        raise Rejected(f"its zip structure is damaged ({type(error).__name__})") from error


def _check_layout(archive: zipfile.ZipFile, file: IO[bytes]) -> None:
    """Check that plain members with distinct names fill the file up to the zip directory."""
    names = set()
    end = 0
    for info in archive.infolist():
        name = info.orig_filename  # zipfile cuts `filename` at a NUL
        if not name.endswith(".npy") or not _is_name(name.removesuffix(".npy")):
            raise Rejected(f"it holds {shown(name)}, which is no name of an array")
        if name in names:
            raise Rejected(f"it holds {name} twice")
        names.add(name)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise Rejected(f"{name} is compressed")
        if info.flag_bits:
            raise Rejected(f"{name} is encrypted or has other zip flags")
        if info.header_offset != end:
            raise Rejected(f"{name} does not start where the member before it ends")
        file.seek(end + 26)
        name_size, extra_size = struct.unpack("<HH", file.read(4))
        end += 30 + name_size + extra_size + info.file_size
    if end != archive.start_dir:
        raise Rejected("its members do not end where the zip directory starts")


def _array(name: str, member: bytes) -> Array:
    """The array in an .npy member; allocates only once the declared size is the true one."""
    if member[:8] != b"\x93NUMPY\x01\x00" or len(member) < 10:
        raise Rejected(f"{name} is not an array in the .npy format 1.0")
    start = 10 + int.from_bytes(member[8:10], "little")
    if start > MAX_HEADER_BYTES:
        raise Rejected(f"the header of {name} is longer than {MAX_HEADER_BYTES} bytes")
    fields = _HEADER.fullmatch(member[10:start].decode("latin-1"))
    if fields is None:
        raise Rejected(f"the header of {name} is not of the form that NumPy writes")
    dtype = fields["dtype"]
    if dtype not in DTYPES:
        raise Rejected(f"{name} has dtype {shown(dtype, 20)}, which is not one of {' '.join(DTYPES)}")
    if fields["fortran"] == "True":
        raise Rejected(f"{name} is in Fortran order")
    shape = tuple(int(size) for size in fields["shape"].split(",") if size)
    declared = math.prod(shape) * np.dtype(dtype).itemsize
    if declared != len(member) - start:
        raise Rejected(f"{name} declares {declared} bytes and has {len(member) - start}")
    try:
        array: Array = np.ndarray(shape, dtype, buffer=member, offset=start).copy()
    except ValueError as error:  # more dimensions than NumPy has, or (0, 10**18, 10**18)
        raise Rejected(f"{name} has a shape that NumPy cannot hold") from error
    if dtype == "|b1" and array.view(np.uint8).max(initial=0) > 1:
        raise Rejected(f"{name} is boolean with bytes other than 0 and 1")
    return array


def _is_name(name: str) -> bool:
    # np.load finds the member W.npy under both W and W.npy, so one must not be an array of its own.
    return _NAME.fullmatch(name) is not None and not name.endswith(".npy")
