"""Checkpoints whose sums are right and whose meaning is not: each a good one with a change, and why it is rejected."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from forge import signed

Arrays = dict[str, np.ndarray]
Change = Callable[[Arrays, dict[str, Any]], object]

SYMBOLS = "\nb€"


def good() -> tuple[Arrays, dict[str, Any]]:
    """Arrays and metadata of a network of two layers, 2 and 4 wide, as training keeps it."""
    rng = np.random.default_rng(0)
    shapes = {
        "W_xh1": (3, 2),
        "W_h1h1": (2, 2),
        "b_h1": (2,),
        "W_h1h2": (2, 4),
        "W_h2h2": (4, 4),
        "b_h2": (4,),
        "W_h2a": (4, 3),
        "b_a": (3,),
    }
    arrays: Arrays = {name: rng.standard_normal(shape).astype("<f4") for name, shape in shapes.items()}
    arrays["vocabulary"] = np.array([ord(c) for c in SYMBOLS], "<u4")
    arrays["state.optimizer_m"] = rng.standard_normal(57).astype("<f4")
    arrays["state.H1"] = np.zeros((2, 2), "<f4")
    metadata = {
        "format": 3,
        "cell": "rnn",
        "hidden": [2, 4],
        "activation": "tanh",
        "unit": "codepoint",
        "normalize": "none",
        "settings": {"hidden": [2, 4], "learning_rate": 0.003, "tau": None, "recompute": False},
        "progress": {"trainer": {"step": 7, "position": 14, "seconds": 0.5}, "best": 1.25, "_row": [0.0, 0]},
    }
    return arrays, metadata


def good_graphemes() -> tuple[Arrays, dict[str, Any]]:
    """The same network with three graphemes for symbols."""
    arrays, metadata = good()
    arrays["vocabulary"] = np.array([ord(c) for c in "\ne\u0301🇩🇪"], "<u4")
    arrays["vocabulary_lengths"] = np.array([1, 2, 2], "|u1")
    return arrays, {**metadata, "unit": "grapheme", "normalize": "nfc"}


def changed(change: Change) -> bytes:
    """The good checkpoint's file with a change to its arrays or metadata, and its sums made good again."""
    arrays, metadata = copy.deepcopy(good())
    change(arrays, metadata)
    return signed(arrays, metadata)


def metadata_with(**values: Any) -> Change:
    return lambda arrays, metadata: metadata.update(values)


def arrays_with(**values: Any) -> Change:
    return lambda arrays, metadata: arrays.update({k: np.asarray(v) for k, v in values.items()})


def without(name: str) -> Change:
    return lambda arrays, metadata: (arrays.pop(name, None), metadata.pop(name, None))


def with_state(array: Any) -> Change:
    return lambda arrays, metadata: arrays.update({"state.optimizer_m": np.asarray(array)})


def one_value(name: str, value: float) -> Change:
    def change(arrays: Arrays, metadata: dict[str, Any]) -> None:
        arrays[name].flat[-1] = value

    return change


def as_dtype(dtype: str, *names: str) -> Change:
    def change(arrays: Arrays, metadata: dict[str, Any]) -> None:
        for name in names or [name for name in arrays if name != "vocabulary"]:
            arrays[name] = arrays[name].astype(dtype)

    return change


def wide(width: int, **shapes: tuple[int, ...]) -> Change:
    """A first layer of `width` units in the metadata, with weights of other shapes."""

    def change(arrays: Arrays, metadata: dict[str, Any]) -> None:
        metadata["hidden"] = [width, 4]
        arrays.update({name: np.zeros(shape, "<f4") for name, shape in shapes.items()})

    return change


def without_weights_for_98_layers(arrays: Arrays, metadata: dict[str, Any]) -> None:
    metadata["hidden"] = [1] * 99 + [4]
    arrays["W_h100a"] = arrays.pop("W_h2a")


def vocabulary(*points: int, dtype: str = "<u4") -> Change:
    return arrays_with(vocabulary=np.array(points, dtype))


def of_format(version: int, **values: Any) -> Change:
    """An older format, which does not know units."""

    def change(arrays: Arrays, metadata: dict[str, Any]) -> None:
        for key in ("unit", "normalize"):
            del metadata[key]
        metadata.update({"format": version, **values})

    return change


def graphemes(points: list[int], lengths: Any, normalize: str = "nfc") -> Change:
    """Graphemes of so many code points each; lengths as None are left out."""

    def change(arrays: Arrays, metadata: dict[str, Any]) -> None:
        metadata.update(unit="grapheme", normalize=normalize)
        arrays["vocabulary"] = np.array(points, "<u4")
        if lengths is not None:
            arrays["vocabulary_lengths"] = np.asarray(lengths, np.uint8 if isinstance(lengths, list) else None)

    return change


ESCAPE = "\x1b[2J\x1b]0;owned\x07\r\n\u202e\x9b31m\x00"

CHANGES: dict[str, tuple[Change, str]] = {
    # Sizes.
    "no layers": (metadata_with(hidden=[]), "hidden is"),
    "101 layers": (metadata_with(hidden=[1] * 101), "1 to 100 widths"),
    "200,000 layers": (metadata_with(hidden=[1] * 200_000), "1 to 100 widths"),
    "1,000,000 layers": (metadata_with(hidden=[1] * 1_000_000), "more than the 1000000 allowed"),
    "100 layers of which 98 have no weights": (without_weights_for_98_layers, "8 weights, too few for 100 layers"),
    "a layer of 60,000": (metadata_with(hidden=[60_000, 4]), "layer 1 is 60000 wide"),
    "a top layer of 60,000": (metadata_with(hidden=[2, 60_000]), "W_h2a"),
    "a layer of 10**18": (metadata_with(hidden=[10**18, 4]), "layer 1"),
    "a layer of 10**90": (metadata_with(hidden=[10**90, 4]), "layer 1"),
    "a layer of 10**17 by an empty array": (wide(10**17, W_xh1=(10**17, 0)), "W_xh1 is empty"),
    "a layer of 0": (metadata_with(hidden=[0, 4]), "width 0"),
    "a layer of −2": (metadata_with(hidden=[-2, 4]), "width -2"),
    "a layer of 2.0": (metadata_with(hidden=[2.0, 4]), r"width 2\.0"),
    "a layer of true": (metadata_with(hidden=[True, 4]), "width True"),
    "a layer of text": (metadata_with(hidden=["2", 4]), "width '2'"),
    "hidden a number": (metadata_with(hidden=2), "hidden is 2"),
    "hidden a text": (metadata_with(hidden="2,4"), "hidden is"),
    "hidden missing": (without("hidden"), "hidden is"),
    # The vocabulary.
    "vocabulary missing": (without("vocabulary"), "vocabulary is missing"),
    "vocabulary empty": (vocabulary(), "vocabulary is"),
    "vocabulary in two dimensions": (arrays_with(vocabulary=np.array([[10, 98, 99]], "<u4")), "vocabulary is"),
    "vocabulary of int64": (vocabulary(10, 98, 99, dtype="<i8"), "int64"),
    "vocabulary of floats": (vocabulary(10, 98, 99, dtype="<f4"), "float32"),
    "vocabulary with a surrogate": (vocabulary(10, 98, 0xD800), "no characters"),
    "vocabulary with the last surrogate": (vocabulary(10, 98, 0xDFFF), "no characters"),
    "vocabulary beyond Unicode": (vocabulary(10, 98, 0x110000), "no characters"),
    "vocabulary of the largest numbers": (vocabulary(10, 98, 2**32 - 1), "no characters"),
    "vocabulary not sorted": (vocabulary(98, 10, 99), "not sorted"),
    "vocabulary with a character twice": (vocabulary(10, 98, 98), "twice"),
    "vocabulary of another size": (vocabulary(10, 98), "W_h2a"),
    "vocabulary of two million": (arrays_with(vocabulary=np.arange(2_000_000, dtype="<u4")), "1112064"),
    # Its unit.
    "unit missing": (without("unit"), "unit is missing"),
    "unit of escapes": (metadata_with(unit=ESCAPE), r"unit is '\\x1b\[2J"),
    "unit a list": (metadata_with(unit=["byte"]), "unit is"),
    "normalize missing": (without("normalize"), "normalize is missing"),
    "normalize nfd": (metadata_with(normalize="nfd"), "normalize is 'nfd'"),
    "unit in format 2": (metadata_with(format=2), "it has normalize, unit, which format 2 does not"),
    "bytes of another vocabulary": (metadata_with(unit="byte"), "not that of all bytes"),
    "bytes in a normal form": (metadata_with(unit="byte", normalize="nfc"), "bytes have no normal form"),
    "lengths of code points": (arrays_with(vocabulary_lengths=np.ones(3, "|u1")), "uint8"),
    "graphemes without lengths": (graphemes([10, 98, 99], None), "vocabulary_lengths is missing"),
    "graphemes of float lengths": (graphemes([10, 98, 99], np.ones(3, "<f4")), r"lengths is float32"),
    "graphemes of no length": (graphemes([10, 98, 99], []), "vocabulary_lengths is"),
    "graphemes in two dimensions": (graphemes([10, 98, 99], np.ones((1, 3), "|u1")), "vocabulary_lengths is"),
    "a grapheme of 0": (graphemes([10, 98], [1, 0, 1]), "from 1 to 32"),
    "a grapheme of 33": (graphemes([10, *[769] * 33, 9999], [1, 33, 1]), "from 1 to 32"),
    "graphemes beyond the vocabulary": (graphemes([10, 98, 99], [1, 1, 2]), "add up"),
    "graphemes that leave some over": (graphemes([10, 98, 99, 769], [1, 1, 1]), "add up"),
    "graphemes not sorted": (graphemes([10, 101, 769, 101], [1, 2, 1]), "not sorted"),
    "a grapheme twice": (graphemes([101, 769, 101, 769, 102], [2, 2, 1]), "twice"),
    "a grapheme with a surrogate": (graphemes([10, 98, 0xD800, 99], [1, 2, 1]), "no characters"),
    "graphemes of another number": (graphemes([10, 98, 769], [1, 2]), "W_h2a"),
    # The weights.
    "no weights": (lambda a, m: [a.pop(n) for n in list(a) if n[0] in "Wb"], "no type"),
    "output missing": (without("W_h2a"), "W_h2a is missing"),
    "output bias missing": (without("b_a"), "b_a is missing"),
    "weights of integers": (as_dtype("<i8"), "int64"),
    "weights of booleans": (as_dtype("|b1"), "bool"),
    "one weight of float64": (as_dtype("<f8", "W_h1h2"), "float32 and float64"),
    "one weight of integers": (as_dtype("<i8", "b_h1"), "float32 and int64"),
    "an empty weight": (arrays_with(b_h1=np.zeros(0, "<f4")), "b_h1 is empty"),
    "a weight of NaN": (one_value("W_h1h1", np.nan), "W_h1h1 holds values that are not finite"),
    "a weight of infinity": (one_value("b_a", -np.inf), "b_a holds values that are not finite"),
    # The training's state.
    "optimiser at infinity": (one_value("state.optimizer_m", np.inf), "state.optimizer_m holds"),
    "optimiser of NaN in float64": (with_state(np.array([np.nan])), "state.optimizer_m holds"),
    # The rest of the metadata.
    "format missing": (without("format"), "format is missing"),
    "format 4": (metadata_with(format=4), "upgrade charrnn"),
    "format 0": (metadata_with(format=0), "format is 0"),
    "format −1": (metadata_with(format=-1), "format is -1"),
    "format 2.0": (metadata_with(format=2.0), r"format is 2\.0"),
    "format true": (metadata_with(format=True), "format is True"),
    "format a list": (metadata_with(format=[2]), r"format is \[2\]"),
    "cell missing": (without("cell"), "cell is missing"),
    "cell a number": (metadata_with(cell=1), "cell is 1"),
    "cell of escapes": (metadata_with(cell=ESCAPE), r"cell is '\\x1b\[2J"),
    "cell of 900,000 letters": (metadata_with(cell="x" * 900_000), "cell is 'xxx"),
    "activation of two lines": (metadata_with(activation="tanh\nerror: "), r"tanh\\nerror"),
    "settings missing": (without("settings"), "settings is missing"),
    "settings a list": (metadata_with(settings=[ESCAPE]), "settings is"),
    "progress missing": (without("progress"), "progress is missing"),
    "progress null": (metadata_with(progress=None), "progress is None"),
    "format 1 without settings for good": (of_format(1, progress={"config": 3}), "settings is 3"),
    "another key": (metadata_with(**{ESCAPE: 1}), r"it has \\x1b"),
    "a thousand other keys": (metadata_with(**{f"key{i}" * 100: i for i in range(1000)}), "it has key"),
}
CHECKPOINTS: dict[str, tuple[bytes, str]] = {name: (changed(change), why) for name, (change, why) in CHANGES.items()}
