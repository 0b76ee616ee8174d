"""Changes to JSON that leave it JSON: values of other kinds and sizes, keys and elements that are gone or new."""

from __future__ import annotations

import random
from typing import Any

from hostile_checkpoints import ESCAPE

VALUES: list[Any] = [None, True, False, 0, -1, 1, 2, 3, 2**31, 2**63, 10**90, 0.5, -0.0, 1e308, "", "rnn", ESCAPE]
VALUES += [
    "grapheme",
    "byte",
    "nfkc",
    "\ud800",
    [],
    [1],
    [2, 4],
    [4, 2],
    [-1] * 3,
    [[[]]],
    {},
    {"a": {}},
    {"config": {}},
]


def change_json(rng: random.Random, value: Any) -> Any:
    """`value` with another value, key or element somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        kind = rng.randrange(8)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return {**value, rng.choice(["extra", "format", ESCAPE, ""]): rng.choice(VALUES)}
        return {**value, key: change_json(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        return [*value[:at], change_json(rng, value[at]), *value[at + rng.randrange(2) :]]
    return rng.choice(VALUES)
