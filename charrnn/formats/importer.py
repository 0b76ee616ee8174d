"""Models that come from elsewhere, or from `charrnn export`. Reading a file never executes code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from charrnn import arguments
from charrnn.errors import CheckpointError, ConfigError, CorpusError
from charrnn.formats import PathLike
from charrnn.formats.contents import FORMAT, OWN_ACTIVATIONS
from charrnn.formats.pytorch import to_parameters
from charrnn.model import Model
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.registry import ACTIVATIONS, BYTES, LONGEST_SYMBOL, NORMALIZATIONS, UNITS
from charrnn.storage import fields
from charrnn.storage.durable import read_whole
from charrnn.text.corpus import vocabulary_of

# By ending: the module of this room whose function `read(path)` gives arrays and what is told beside them.
READERS = {".safetensors": "tensors", ".pt": "state_dict", ".pth": "state_dict"}
IN_JSON = ("charrnn", "hidden", "vocabulary", "settings")  # of what `contents.facts` tells
MAX_JSON_BYTES = 4_000_000
SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Told:
    """What a file that charrnn wrote says beside its weights."""

    cell: str
    activation: str
    hidden: tuple[int, ...]
    unit: str
    normalize: str
    vocabulary: list[str]
    settings: dict[str, object]


def import_model(
    path: PathLike, vocabulary: PathLike | Sequence[str] | None = None, activation: str | None = None
) -> Model:
    """The model of a .safetensors file, or of a PyTorch state_dict in a .pt file.

    A file of `charrnn.export` gives the very model back. Any other holds recurrent layers by PyTorch's names, a linear
    layer, and maybe an embedding before them. It needs a `vocabulary`: the symbols in the order of their ids, or the
    name of a file, which is a JSON list of them, a JSON object with the id of each, or else a text, whose distinct
    characters they are, sorted. `activation` is that of an rnn, tanh where it is left out.

    CheckpointError for a file that cannot be taken, CorpusError for such a vocabulary, ConfigError for an argument.
    """
    path = arguments.path("path", path)
    if activation is not None:
        _ = ACTIVATIONS[arguments.text("activation", activation)]
    if vocabulary is not None and not isinstance(vocabulary, os.PathLike | Sequence):
        raise arguments.wrong("vocabulary", vocabulary, "symbols, or a path")
    if path.suffix.lower() not in READERS:
        raise ConfigError(f"{path}: a model is imported from a file that ends in {', '.join(READERS)}; name one")
    try:
        arrays, text = import_module(f"charrnn.formats.{READERS[path.suffix.lower()]}").read(path)
        told = _told(text) if "charrnn" in text else None
        if told and (vocabulary, activation) != (None, None):
            given = "activation" if vocabulary is None else "vocabulary"
            raise ConfigError(f"{given}: {path} has its own; leave it out")
        if told is None and vocabulary is None:
            raise ConfigError(
                f"{path} says nothing of its symbols; give their vocabulary, or the text it was made from"
            )
        parameters = to_parameters(arrays, told.activation if told else activation or "tanh")
        a = parameters.architecture
        if told and (told.cell, told.hidden) != (a.cell, a.hidden):
            raise ValueError(f"it says {told.cell} {told.hidden}, and its arrays are of {a.cell} {a.hidden}")
        if told:
            return _model(parameters, told.vocabulary, told.settings, told.unit, told.normalize)
    except ValueError as error:
        raise CheckpointError(f"{path}: not a model that can be imported ({error}); use another file") from error
    assert vocabulary is not None
    where = os.fspath(vocabulary) if isinstance(vocabulary, str | os.PathLike) else "vocabulary"
    try:
        return _model(parameters, _symbols(vocabulary))
    except ValueError as error:
        raise CorpusError(f"{where}: {error}; give the vocabulary of {path}") from error


def _told(text: Mapping[str, str]) -> Told:
    """What `contents.facts` told; ValueError that says what is wrong with it."""
    raw = {name: text[name].encode("utf-8", "surrogatepass") for name in IN_JSON if name in text}
    plain = {name: fields.parse_json(value, len(value)) for name, value in raw.items()}
    if fields.whole(plain, "charrnn", 1) > FORMAT:
        raise ValueError(f"it is of a newer format than {FORMAT}: upgrade charrnn")
    hidden, vocabulary = plain.get("hidden"), plain.get("vocabulary")
    if not isinstance(hidden, list) or not isinstance(vocabulary, list):
        raise ValueError("hidden and vocabulary must be lists")
    cell, activation = fields.text(text, "cell"), fields.text(text, "activation")
    if activation not in OWN_ACTIVATIONS or (cell != "rnn" and activation != "tanh"):
        raise ValueError(f"activation is {fields.literal(activation)}, which this cell does not have")
    unit, normalize = text.get("unit", "codepoint"), text.get("normalize", "none")
    for name, value, known in (("unit", unit, UNITS), ("normalize", normalize, NORMALIZATIONS)):
        if value not in known:
            raise ValueError(f"{name} is {fields.literal(value)}; it must be one of {', '.join(known)}")
    if unit == "byte" and normalize != "none":
        raise ValueError(f"unit is byte and normalize {normalize}; bytes have no normal form")
    return Told(cell, activation, tuple(hidden), unit, normalize, vocabulary, fields.mapping(plain, "settings"))


def _symbols(vocabulary: PathLike | Sequence[str]) -> list[str]:
    """The symbols that an argument stands for, in the order of their ids."""
    if not isinstance(vocabulary, str | os.PathLike):
        return list(vocabulary)
    path = arguments.path("vocabulary", vocabulary)
    if path.suffix.lower() != ".json":
        return list(vocabulary_of([str(path)]))
    found = fields.parse_json(read_whole(path, MAX_JSON_BYTES, CorpusError), MAX_JSON_BYTES)
    if isinstance(found, dict):
        if {type(value) for value in found.values()} - {int} or set(found.values()) != set(range(len(found))):
            raise ValueError("its ids must be 0, 1, 2 … each once")
        return sorted(found, key=found.__getitem__)
    if not isinstance(found, list):
        raise ValueError("it must hold a list of symbols, or an object with the id of each")
    return found


def _model(
    parameters: Parameters,
    symbols: list[str],
    settings: dict[str, object] | None = None,
    unit: str = "codepoint",
    normalize: str = "none",
) -> Model:
    """The model with its symbols sorted, as charrnn has them. ValueError for symbols that it cannot have."""
    if len(symbols) != parameters.architecture.symbols:
        raise ValueError(f"{len(symbols)} symbols, and the network has {parameters.architecture.symbols}")
    what, longest = ("grapheme", LONGEST_SYMBOL) if unit == "grapheme" else ("character", 1)
    for symbol in symbols:
        if not isinstance(symbol, str) or not 1 <= len(symbol) <= longest or SURROGATE.search(symbol):
            raise ValueError(f"the symbol {fields.literal(symbol)} is not one {what}")
    if len(set(symbols)) < len(symbols):
        raise ValueError("a symbol occurs twice")
    order = sorted(range(len(symbols)), key=symbols.__getitem__)
    known = [symbols[i] for i in order]
    if unit == "byte" and known != list(BYTES):
        raise ValueError("its unit is byte, and its vocabulary is not that of all bytes")
    ordered = tuple(known) if unit == "grapheme" else "".join(known)
    return Model(_permuted(parameters, np.array(order)), ordered, settings or {}, unit, normalize)


def _permuted(parameters: Parameters, order: Array) -> Parameters:
    """The weights with symbol `order[i]` at place i."""
    moved = Parameters(parameters.architecture, parameters.vector.dtype, parameters.vector.copy())
    W_x, (W_ha, b_a) = parameters.layer(1)["W_x"], parameters.output()
    moved.layer(1)["W_x"][...] = W_x[order]
    moved.output()[0][...] = W_ha[:, order]
    moved.output()[1][...] = b_a[order]
    return moved
