"""An .onnx file: the network as a graph of standard operators, with its state as input and output.

    in    ids (T, n), int64; H1_in (1, n, h_1), C1_in of an lstm, H2_in …; zeros where a text begins
    out   log_probabilities (T, n, a) of the next symbol, in nats; H1_out, C1_out, H2_out …, to go on with

One RNN, GRU or LSTM node for each layer. The first one takes one-hot vectors: their product with W_xh1 is exactly a row
of it. The metadata holds the vocabulary, which says what the ids mean, and the settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.errors import ConfigError
from charrnn.extras import needed
from charrnn.formats.contents import as_float32, as_text, check_own, facts, rearranged
from charrnn.network.buffers import Array

if TYPE_CHECKING:
    from charrnn.formats import Origin
    from charrnn.model import Model

OPSET, IR = 14, 7  # the first with these operators as they are now; newer runtimes read older files
LARGEST = 2**31 - 2**20  # bytes: protobuf has 2 GiB for all
# The gates in the order of ONNX: of a gru u, r, N; of an lstm i, o, f, G.
ORDER = {"rnn": (0,), "gru": (1, 0, 2), "lstm": (0, 2, 1, 3)}
PHI: dict[str, dict[str, Any]] = {
    "tanh": {"activations": ["Tanh"]},
    "relu": {"activations": ["Relu"]},
    "sigmoid": {"activations": ["Sigmoid"]},
    "identity": {"activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]},
}


def content(model: Model, origin: Origin) -> bytes:
    """The file, in float32. ConfigError for a cell or φ that is not built in, for weights beyond float32, for a network
    of more than 2 GiB, and without the package onnx."""
    check_own(model, "an .onnx file has", PHI)
    model = as_float32(model, "an .onnx file")
    if model.parameters.vector.nbytes > LARGEST:
        raise ConfigError("an .onnx file holds at most 2 GiB of weights; use .safetensors")
    onnx = needed("onnx", "onnx", "an .onnx file")
    graph = Graph(onnx)
    graph.add_network(model)
    made = onnx.helper.make_model(
        graph.made("charrnn"),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="charrnn",
    )
    onnx.helper.set_model_props(made, as_text(facts(model)))
    onnx.checker.check_model(made, full_check=True)
    written: bytes = made.SerializeToString(deterministic=True)
    return written


class Graph:
    """The nodes of a graph so far, its constants, inputs and outputs."""

    def __init__(self, onnx: Any) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def add_network(self, model: Model) -> None:
        """From ids to the logarithms of probabilities, layer upon layer."""
        a = model.architecture
        self.inputs.append(self._value("ids", "INT64", ("T", "n")))
        self._constant("symbols", np.array(a.symbols))
        self._constant("off_on", np.array([0, 1], np.float32))
        self._constant("direction_axis", np.array([1]))
        self._node("OneHot", ["ids", "symbols", "off_on"], ["X"])
        below = "X"
        for layer in range(1, len(a.hidden) + 1):
            below = self._layer(model, layer, below)
        W_ha, b_a = model.parameters.output()
        self._constant("W_ha", W_ha)
        self._constant("b_a", b_a)
        self._node("MatMul", [below, "W_ha"], ["H_W_ha"])
        self._node("Add", ["H_W_ha", "b_a"], ["logits"])
        self._node("LogSoftmax", ["logits"], ["log_probabilities"], axis=-1)
        self.outputs.insert(0, self._value("log_probabilities", "FLOAT", ("T", "n", a.symbols)))

    def _layer(self, model: Model, layer: int, below: str) -> str:
        """Adds a layer, whose input is called `below` (T, n, d); the name of its output H (T, n, h)."""
        a, W, h = model.architecture, model.parameters.layer(layer), model.architecture.hidden[layer - 1]
        order = ORDER[a.cell]
        second = np.zeros_like(W["b"])  # ONNX adds it to H W_hh, for the candidate of a gru inside the reset
        if a.cell == "gru":
            second[2 * h :] = W["c"]
        weights = {
            f"W{layer}": rearranged(W["W_x"], order).T,
            f"R{layer}": rearranged(W["W_hh"], order).T,
            f"B{layer}": np.concatenate([rearranged(W["b"], order), rearranged(second, order)]),
        }
        for name, array in weights.items():
            self._constant(name, array[None])  # of one direction
        states = [f"{S}{layer}" for S in (("H", "C") if a.cell == "lstm" else ("H",))]
        for state in states:
            self.inputs.append(self._value(f"{state}_in", "FLOAT", (1, "n", h)))
            self.outputs.append(self._value(f"{state}_out", "FLOAT", (1, "n", h)))
        extra = {"gru": {"linear_before_reset": 1}, "lstm": {}, "rnn": PHI[a.activation]}[a.cell]
        self._node(
            a.cell.upper(),
            [below, *weights, "", *(f"{state}_in" for state in states)],  # "": no lengths, all steps are read
            [f"Y{layer}", *(f"{state}_out" for state in states)],
            hidden_size=h,
            **extra,
        )
        self._node("Squeeze", [f"Y{layer}", "direction_axis"], [f"H{layer}"])
        return f"H{layer}"

    def made(self, name: str) -> Any:
        """The whole graph."""
        return self.onnx.helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.constants)

    def _node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, outputs, **attributes))

    def _constant(self, name: str, array: Array) -> None:
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(array, order="C"), name))

    def _value(self, name: str, kind: str, shape: tuple[int | str, ...]) -> Any:
        return self.onnx.helper.make_tensor_value_info(name, getattr(self.onnx.TensorProto, kind), shape)
