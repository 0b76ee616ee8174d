"""Untrusted JSON: parsed with limits on size and depth; values are read by name and type, never converted.

Every function raises ValueError with a clause that fits after the file's name; the caller raises its own kind of error
from it. NumPy is not needed here: a run reads its manifest before NumPy is imported.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping

from charrnn.errors import shown

MAX_DEPTH = 32
MAX_DIGITS = 100  # the largest integers are the 128 bits of a generator of random numbers
LARGEST = 2**53  # counts above it would not survive a reader that has only floats


def parse_json(raw: bytes, limit: int) -> object:
    """The value of a UTF-8 JSON text of at most `limit` bytes, its numbers finite, nested at most MAX_DEPTH deep.

    How deep `json.loads` goes before RecursionError depends on the interpreter and on the depth of the caller.
    """
    if len(raw) > limit:
        raise ValueError(f"it has {len(raw)} bytes, more than the {limit} allowed")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from error
    if _depth(text) > MAX_DEPTH:
        raise ValueError(f"it is no JSON, or nested more than {MAX_DEPTH} deep")
    try:
        return json.loads(text, parse_int=_integer, parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} at character {error.pos}") from error


def _depth(text: str) -> int:
    """The most brackets that are open at once, outside of strings."""
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    depth = deepest = 0
    for character in outside:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:  # Python takes time that grows with their square
        raise ValueError(f"the number {shown(text, 40)} has more than {MAX_DIGITS} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {shown(text, 40)} is not finite")
    return value


def literal(value: object) -> str:
    """`value` for a message, texts in quotes."""
    return shown(repr(value)) if isinstance(value, str) else shown(value)


def mapping(values: Mapping[str, object], name: str) -> dict[str, object]:
    """The object under `name`."""
    value = _value(values, name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {literal(value)}; it must be an object")
    return value


def text(values: Mapping[str, object], name: str) -> str:
    """The string under `name`."""
    value = _value(values, name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is {literal(value)}; it must be a string")
    return value


def whole(values: Mapping[str, object], name: str, least: int = 0, most: int = LARGEST) -> int:
    """The integer under `name`, from `least` to `most`. ValueError for 1.0 and true."""
    value = _value(values, name)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {literal(value)}; it must be a whole number from {least} to {most}")
    return value


def number(values: Mapping[str, object], name: str, least: float = -sys.float_info.max) -> float:
    """The finite number under `name`, at least `least`."""
    value = _value(values, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= sys.float_info.max:
        raise ValueError(f"{name} is {literal(value)}; it must be a finite number of at least {least:g}")
    return float(value)


def _value(values: Mapping[str, object], name: str) -> object:
    if name not in values:
        raise ValueError(f"{name} is missing")
    return values[name]
