"""Archives made without charrnn, from the format alone, to be the oracle of the reader."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
Member = tuple[str, bytes]

W = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.array([True, False])
ARRAYS = {"W": W, "b": B}
METADATA: dict[str, object] = {"step": 3, "symbols": "aé\n", "loss": 0.1, "state": [2**100, None]}


def npy(array: Any) -> bytes:
    """The .npy file that NumPy makes of an array, object arrays pickled."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def plain_npy(array: np.ndarray) -> bytes:
    """The same of an array of numbers in C order, in a fifth of the time."""
    text = header(repr(array.dtype.str), shape=str(array.shape)).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + text.ljust(117) + b"\n" + array.tobytes()


def npy_with_header(header: str, data: bytes) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def header(dtype: str = "'<f4'", fortran: str = "False", shape: str = "(2, 3)") -> str:
    return f"{{'descr': {dtype}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def listed(*arrays: tuple[str, str, list[Any]]) -> list[dict[str, Any]]:
    return [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in arrays]


LISTED = listed(("W", "<f4", [2, 3]), ("b", "|b1", [2]))


def document(arrays: Any = LISTED, metadata: Any = METADATA, data: bytes | None = None, version: Any = 1) -> bytes:
    """The metadata's JSON with its SHA-256 over the rest of the JSON and the arrays' bytes."""
    text = compact({"archive_version": version, "arrays": arrays, "metadata": metadata})
    return with_sum(text, W.tobytes() + B.tobytes() if data is None else data)


def document_of(metadata: str, arrays: Any, data: bytes) -> bytes:
    """The same around any text in the place of the caller's metadata, be it JSON or not."""
    text = compact({"archive_version": 1, "arrays": arrays, "metadata": None})
    return with_sum(text.removesuffix(b"null}") + metadata.encode() + b"}", data)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def with_sum(text: bytes, data: bytes) -> bytes:
    return text[:-1] + f',"sha256":"{hashlib.sha256(text + data).hexdigest()}"}}'.encode()


def metadata_member(text: bytes) -> Member:
    return ("metadata.npy", npy(np.frombuffer(text, np.uint8)))


def npz(members: Iterable[Member], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of duplicate names
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def signed(arrays: Mapping[str, np.ndarray], metadata: Any) -> bytes:
    """An archive whose sums are all right, whatever it holds."""
    listing = listed(*((name, array.dtype.str, list(array.shape)) for name, array in arrays.items()))
    text = document(listing, metadata, b"".join(array.tobytes() for array in arrays.values()))
    return stored([metadata_member(text), *((f"{name}.npy", plain_npy(array)) for name, array in arrays.items())])


def stored(members: Iterable[Member]) -> bytes:
    """A zip file of members as they are, in a tenth of the time of `zipfile`."""
    local, central = bytearray(), bytearray()
    count = 0
    for name, content in members:
        sums = struct.pack("<3I2H", zlib.crc32(content), len(content), len(content), len(name), 0)
        central += b"PK\x01\x02" + struct.pack("<6H", 20, 20, 0, 0, 0, 33) + sums
        central += struct.pack("<3H2I", 0, 0, 0, 0, len(local)) + name.encode()
        local += b"PK\x03\x04" + struct.pack("<5H", 20, 0, 0, 0, 33) + sums + name.encode() + content
        count += 1
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, count, count, len(central), len(local), 0)
    return bytes(local + central + end)


GOOD_MEMBERS = [metadata_member(document()), ("W.npy", npy(W)), ("b.npy", npy(B))]
GOOD = npz(GOOD_MEMBERS)


def with_w(content: bytes, dtype: str = "<f4", shape: Any = (2, 3), data: bytes = b"") -> bytes:
    """An archive whose member W is `content`, with metadata that vouches for it."""
    text = document(listed(("W", dtype, list(shape))), data=data)
    return npz([metadata_member(text), ("W.npy", content)])


def with_document(text: bytes) -> bytes:
    return npz([metadata_member(text), *GOOD_MEMBERS[1:]])


def with_directory_moved(data: bytes, at: int, inserted: bytes) -> bytes:
    """`data` with bytes inserted at `at`, before the zip directory, which stays found."""
    start = struct.unpack("<I", data[-6:-2])[0] + len(inserted)
    return data[:at] + inserted + data[at:-6] + struct.pack("<I", start) + b"\0\0"


def with_flags(data: bytes, flags: int) -> bytes:
    at = data.index(b"PK\x01\x02")
    return data[: at + 8] + struct.pack("<H", flags) + data[at + 10 :]


def with_second_name_for_one_member() -> bytes:
    """Two entries of the zip directory, W and b, that both point at one and the same member."""
    at = GOOD.rindex(b"PK\x01\x02")
    previous = GOOD.rindex(b"PK\x01\x02", 0, at)
    offset = GOOD[previous + 42 : previous + 46]
    return GOOD[: at + 42] + offset + GOOD[at + 46 :]


def with_zip64_record() -> bytes:
    start = struct.unpack("<I", GOOD[-6:-2])[0]
    size = len(GOOD) - 22 - start
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, size, start)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(GOOD) - 22, 1)
    return GOOD[:-22] + record + locator + GOOD[-22:]
