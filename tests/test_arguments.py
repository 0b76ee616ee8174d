"""Arguments of Python calls, as they are read and as they are refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.arguments import number, path, switch, text, whole
from charrnn.errors import ConfigError


@pytest.mark.parametrize(
    ("read", "given", "meant"),
    [
        (whole, 3, 3),
        (whole, np.int8(3), 3),
        (whole, np.array(3), 3),
        (number, 3, 3.0),
        (number, np.float32(0.5), 0.5),
        (number, Fraction(1, 4), 0.25),
        (switch, True, True),
        (text, np.str_("a"), "a"),
        (path, "a/b", Path("a/b")),
        (path, Path("a"), Path("a")),
    ],
)
def test_a_value_is_read_as_the_plain_type_that_it_stands_for(
    read: Callable[[str, object], object], given: object, meant: object
) -> None:
    assert read("x", given) == meant
    assert type(read("x", given)) in (type(meant), np.str_)


@pytest.mark.parametrize(
    ("read", "words", "values"),
    [
        (whole, "a whole number of at least 0", (None, True, np.True_, -1, 2.0, np.float64(2), "3", b"3", [3])),
        (whole, "a whole number of at least 0", (np.array([3, 4]), Decimal(3), float("nan"), np.array([3.0]))),
        (whole, "a whole number from 0 to 1,000,000,000,000", (10**13, 10**5000)),
        (number, "a number", (None, True, "1", b"1", 1j, Decimal(1), np.array([1.0]), 10**400)),
        (switch, "True or False", (None, 0, 1, "no", np.array([True, False]))),
        (text, "text (str)", (None, 3, b"a", ["a"], Path("a"))),
        (path, "a path", (None, 3, "", b"a", "a\0b", ["a"])),
    ],
)
def test_what_a_value_must_be_is_said_in_one_line(
    read: Callable[[str, object], object], words: str, values: tuple[Any, ...]
) -> None:
    for value in values:
        with pytest.raises(ConfigError) as caught:
            read("depth", value)
        line = str(caught.value)
        assert line.startswith("depth ") and f": must be {words}" in line and len(line) < 200
