"""The arguments of Python calls: what is wrong is refused in one line with the argument's name.

Each function gives the value as the plain type that it stands for, or raises ConfigError. NumPy is not needed here.
"""

from __future__ import annotations

import operator
import os
from contextlib import suppress
from numbers import Real
from pathlib import Path

from charrnn.errors import ConfigError, shown

MOST = 10**12  # of counts and lengths: far beyond any use, and far from where 64 bits or float32 overflow


def whole(name: str, value: object, least: int = 0, most: int = MOST) -> int:
    """A whole number from `least` to `most`, of Python or NumPy; True is none."""
    if type(value) is int and least <= value <= most:  # by far the most; some are asked for at every update
        return value
    with suppress(TypeError):  # of what is no whole number
        if not isinstance(value, bool):
            read = operator.index(value)  # type: ignore[arg-type]
            if least <= read <= most:
                return read
            if read > most:
                raise wrong(name, value, f"a whole number from {least:,} to {most:,}")
    raise wrong(name, value, f"a whole number of at least {least:,}")


def number(name: str, value: object) -> float:
    """A real number, of Python or NumPy; True is none. Its range is for the caller to check."""
    if type(value) is float:  # by far the most; an abstract type takes long to check
        return value
    with suppress(OverflowError):  # of an int
        if isinstance(value, Real) and not isinstance(value, bool):
            return float(value)
    raise wrong(name, value, "a number")


def switch(name: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise wrong(name, value, "True or False")
    return value


def text(name: str, value: object) -> str:
    """Text, which bytes and paths are not."""
    if not isinstance(value, str):
        raise wrong(name, value, "text (str)")
    return value


def path(name: str, value: object) -> Path:
    """A path that a file could have: neither empty nor with a NUL in it."""
    found = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(found, str) or not found or "\0" in found:
        raise wrong(name, value, "a path, as text or a Path")
    return Path(found)


def wrong(name: str, value: object, rule: str) -> ConfigError:
    """The error of an argument that breaks its rule."""
    return ConfigError(f"{name} {shown(repr(value)) if isinstance(value, str) else shown(value)}: must be {rule}")
