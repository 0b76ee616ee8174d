"""The weights under the names and in the layout of PyTorch: nn.RNN, nn.GRU or nn.LSTM, then nn.Linear.

    rnn.weight_ih_l0 (gates · h, d)   W_xh1ᵀ      rnn.bias_ih_l0 (gates · h)   b_h1
    rnn.weight_hh_l0 (gates · h, h)   W_h1h1ᵀ     rnn.bias_hh_l0 (gates · h)   0, but c_h1 for the candidate of a gru
    decoder.weight (a, h)             W_haᵀ       decoder.bias (a)             b_a

The gates of an lstm are i, f, G, o there, and i, f, o, G here; those of a gru are in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from charrnn.errors import shown
from charrnn.formats.contents import rearranged
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters, from_arrays
from charrnn.storage.checkpoint import MAX_LAYERS

ORDER = {"rnn": (0,), "gru": (0, 1, 2), "lstm": (0, 1, 3, 2)}  # swapping o and G back is the same
CELL_OF_GATES = {len(gates): cell for cell, gates in ORDER.items()}
LAYER = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
RECURRENT = re.compile(rf"(.*?)({'|'.join(LAYER)})_l([0-9]{{1,3}})")


def to_arrays(parameters: Parameters) -> dict[str, Array]:
    """All weights by PyTorch's names, in C order."""
    arrays: dict[str, Array] = {}
    a = parameters.architecture
    for i in range(len(a.hidden)):
        W = parameters.layer(i + 1)
        arrays[f"rnn.weight_ih_l{i}"] = rearranged(W["W_x"], ORDER[a.cell]).T
        arrays[f"rnn.weight_hh_l{i}"] = rearranged(W["W_hh"], ORDER[a.cell]).T
        arrays[f"rnn.bias_ih_l{i}"] = rearranged(W["b"], ORDER[a.cell])
        second = np.zeros_like(W["b"])
        if a.cell == "gru":
            second[2 * a.hidden[i] :] = W["c"]
        arrays[f"rnn.bias_hh_l{i}"] = second
    W_ha, b_a = parameters.output()
    arrays |= {"decoder.weight": W_ha.T, "decoder.bias": b_a}
    return {name: np.array(array, order="C") for name, array in arrays.items()}


def to_parameters(arrays: Mapping[str, Array], activation: str) -> Parameters:
    """The weights out of a state_dict, whose cell and sizes follow from names and shapes; φ is `activation`.

    Before the names of the recurrent layers any prefix may stand. Beside them there is one linear layer, and maybe an
    embedding (symbols, d), whose product with weight_ih_l0ᵀ is W_xh1. The two biases are added up. ValueError that says
    what does not fit; ConfigError for a φ that the cell does not have.
    """
    _check_numbers(arrays)
    layers, others = _layers(arrays)
    W_ha, b_a = _linear(others)
    cell, widths = _sizes(layers)
    _check_shape("the linear layer's weight", W_ha, (None, widths[-1]))
    _check_shape("the linear layer's bias", b_a, (len(W_ha),))
    first = layers[0]["weight_ih"]
    embedding = next((name for name, array in others.items() if array.shape == (len(b_a), first.shape[1])), None)
    if embedding is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            W_x = others.pop(embedding).astype(np.float64) @ first.T.astype(np.float64)
            layers[0]["weight_ih"] = W_x.T.astype(first.dtype)
    elif first.shape[1] != len(b_a):
        raise ValueError(f"weight_ih_l0 is {first.shape}, and there is no embedding of {len(b_a)} symbols before it")
    if others:
        raise ValueError(f"{shown(min(others))} is no part of recurrent layers and a linear one")
    architecture = Architecture(len(b_a), widths, activation, cell)
    weights = {f"W_h{len(layers)}a": W_ha.T, "b_a": b_a}
    for i, layer in enumerate(layers, start=1):
        names, second, h = architecture.layer_names(i), layer["bias_hh"], widths[i - 1]
        if cell == "gru":
            weights[names["c"]] = second[2 * h :]
            second = np.append(second[: 2 * h], np.zeros(h, second.dtype))
        own = {"W_x": layer["weight_ih"].T, "W_hh": layer["weight_hh"].T, "b": _sum(layer["bias_ih"], second)}
        weights |= {names[name]: rearranged(array, ORDER[cell]) for name, array in own.items()}
    _check_numbers(weights)  # a product or a sum may be too large
    return from_arrays(architecture, weights)


def _sum(first: Array, second: Array) -> Array:
    """`first` itself where `second` is 0: −0 + 0 would be 0."""
    with np.errstate(over="ignore"):
        return np.where(second == 0, first, first + second)


def _check_numbers(arrays: Mapping[str, Array]) -> None:
    dtypes = {array.dtype.name for array in arrays.values()}
    if dtypes not in ({"float32"}, {"float64"}):
        raise ValueError(f"its arrays are of {' and '.join(sorted(dtypes)) or 'no type'}, not all float32 or float64")
    for name, array in arrays.items():
        if not array.size:
            raise ValueError(f"{shown(name)} is empty")
        if not np.isfinite(array).all():
            raise ValueError(f"{shown(name)} holds values that are not finite")


def _layers(arrays: Mapping[str, Array]) -> tuple[list[dict[str, Array]], dict[str, Array]]:
    """The arrays of each recurrent layer, by the names in LAYER, and all others by theirs."""
    found: dict[int, dict[str, Array]] = {}
    others, prefixes = {}, set()
    for name, array in arrays.items():
        match = RECURRENT.fullmatch(name)
        if match is None:
            others[name] = array
        else:
            prefixes.add(match[1])
            found.setdefault(int(match[3]), {})[match[2]] = array
    if not found:
        raise ValueError("it has no recurrent layer: no weight_ih_l0")
    if len(prefixes) > 1:
        raise ValueError(f"it has several recurrent networks: {shown(', '.join(sorted(prefixes)))}")
    if len(found) > MAX_LAYERS:
        raise ValueError(f"it has {len(found)} layers, more than {MAX_LAYERS}")
    for i in range(len(found)):
        for name in LAYER:
            if name not in found.get(i, {}):
                raise ValueError(f"{name}_l{i} is missing")
    return [found[i] for i in range(len(found))], others


def _linear(others: dict[str, Array]) -> tuple[Array, Array]:
    """The weight and bias of the linear layer, taken out of `others`."""
    for bias, b_a in others.items():
        weight = f"{bias.removesuffix('bias')}weight"
        if bias.endswith("bias") and weight in others:
            del others[bias]
            return others.pop(weight), b_a
    raise ValueError("it has no linear layer after the recurrent ones: a weight and a bias of one name")


def _sizes(layers: list[dict[str, Array]]) -> tuple[str, tuple[int, ...]]:
    """The cell and the width of each layer, to which all shapes fit."""
    _check_shape("weight_hh_l0", layers[0]["weight_hh"], (None, None))
    rows, columns = layers[0]["weight_hh"].shape
    gates, rest = divmod(rows, columns)
    if rest or gates not in CELL_OF_GATES:
        raise ValueError(f"weight_hh_l0 is {rows} × {columns}, which is of no rnn, gru or lstm")
    widths: list[int] = []
    for i, layer in enumerate(layers):
        h = layer["weight_hh"].shape[-1]
        below = widths[-1] if widths else None
        for name, shape in zip(LAYER, ((gates * h, below), (gates * h, h), (gates * h,), (gates * h,)), strict=True):
            _check_shape(f"{name}_l{i}", layer[name], shape)
        widths.append(h)
    return CELL_OF_GATES[gates], tuple(widths)


def _check_shape(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    """ValueError unless the sides are these; None stands for any."""
    if array.ndim != len(shape) or any(
        asked not in (None, side) for side, asked in zip(array.shape, shape, strict=True)
    ):
        asked = " × ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"{name} is {' × '.join(map(str, array.shape))}; it must be {asked}")
