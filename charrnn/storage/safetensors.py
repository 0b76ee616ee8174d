"""The safetensors format: the length of a JSON header, the header, and the bytes of the arrays, without gaps.

The library of that name writes the metadata in an order that differs from call to call, and takes arrays that are not
in C order for arrays that are. Here the same content gives the same bytes, and a header has the bounds of other JSON.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.storage import fields
from charrnn.storage.npz import MAX_ARRAYS, raw_bytes

Array = npt.NDArray[Any]

DTYPES = {"F32": "<f4", "F64": "<f8"}
MAX_HEADER_BYTES = 4_000_000  # a vocabulary of 100,000 symbols takes 1 MB
METADATA = "__metadata__"


def encode(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The content of a file with these arrays, float32 or float64, in their order. ValueError if it is too long."""
    dtypes = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    header: dict[str, object] = {METADATA: dict(metadata)}
    stored, end = [], 0
    for name, array in arrays.items():
        plain = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        header[name] = {
            "dtype": dtypes[plain.dtype],
            "shape": list(plain.shape),
            "data_offsets": [end, end + plain.nbytes],
        }
        stored.append(raw_bytes(plain))
        end += plain.nbytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays begin at a multiple of 8 bytes
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(f"its header has {len(text)} bytes, more than the {MAX_HEADER_BYTES} allowed")
    return b"".join([struct.pack("<Q", len(text)), text, *stored])


def decode(content: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays, in the order of the header, and the metadata of a file's content; ValueError that says what is wrong.

    The arrays must fill the file without gap or overlap. They are views of `content`, and cannot be written to.
    """
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise ValueError(f"it declares a header of {length} bytes, and has {len(content)} bytes in all")
    header = fields.parse_json(content[8 : 8 + length], MAX_HEADER_BYTES)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    metadata = fields.mapping(header, METADATA) if METADATA in header else {}
    header.pop(METADATA, None)
    if len(header) > MAX_ARRAYS:
        raise ValueError(f"it has {len(header)} arrays, more than {MAX_ARRAYS}")
    spans = {name: _span(name, fields.mapping(header, name)) for name in header}
    start = 0
    for name, (begin, end, _, _) in sorted(spans.items(), key=lambda item: item[1][:2]):
        if begin != start:
            raise ValueError(f"{fields.literal(name)} does not begin where the array before it ends")
        start = end
    if start != len(content) - 8 - length:
        raise ValueError(f"its arrays have {start} bytes, and the file has {len(content) - 8 - length} for them")
    arrays: dict[str, Array] = {
        name: np.ndarray(shape, dtype, content, 8 + length + begin) for name, (begin, _, dtype, shape) in spans.items()
    }
    return arrays, {name: fields.text(metadata, name) for name in metadata}


def _span(name: str, entry: Mapping[str, object]) -> tuple[int, int, str, tuple[int, ...]]:
    """Begin, end, dtype and shape (one or two sides) of an array, which agree with each other."""
    shown, kind = fields.literal(name), fields.text(entry, "dtype")
    if kind not in DTYPES:
        raise ValueError(f"{shown} is of {fields.literal(kind)}, not of {' or '.join(DTYPES)}")
    shape, offsets = (_whole_numbers(entry, key) for key in ("shape", "data_offsets"))
    if not 1 <= len(shape) <= 2 or not all(shape) or len(offsets) != 2:
        raise ValueError(f"{shown} has the shape {fields.literal(shape)}; one or two sides of at least 1 are allowed")
    (begin, end), size = offsets, math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
    if end - begin != size:
        raise ValueError(f"{shown} has {end - begin} bytes, and its shape {shape} asks for {size}")
    return begin, end, DTYPES[kind], shape


def _whole_numbers(entry: Mapping[str, object], key: str) -> tuple[int, ...]:
    values = entry.get(key)
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value <= fields.LARGEST for value in values):
        raise ValueError(f"{key} is {fields.literal(values)}; it must be a list of whole numbers")
    return tuple(values)
