"""The stacked recurrent network, forward and backward, for any depth and any T.

Everything that is not recurrent is one product over all T·n rows; only H_{t-1} W_hh stays in the loop over time.
Long sequences are worked through in segments of `segment_length` steps, in order forward and from the last backward;
the gradient is the sum over segments, so it has the same bits whether a segment's states are kept or recomputed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, isqrt

import numpy as np
import numpy.typing as npt

from charrnn.network import backward, one_hot, output
from charrnn.network import layer as layers
from charrnn.network.buffers import Array, Buffers, Steps
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.products import unflagged
from charrnn.network.tape import LayerTape, Tape, handed_up, through_dropout
from charrnn.network.truncation import Window

State = list[Array]  # S of every layer: (states, n, h_l), or (n, h_l) for cells whose only state is H
# (segment, layer, T) -> the dropout factors (T, n, h_l) of a layer's output; layers count from 1.
Masks = Callable[[int, int, int], Array] | None

VIEWS = 1150  # bytes, about, of Python's own objects for one layer's views of one step, forward and backward


def segment_length(T: int) -> int:
    """Steps of a segment: all of a short sequence; near √T of a long one, in multiples of 64 that suit BLAS."""
    return T if T < 256 else 64 * ceil(isqrt(T) / 64)


class Stack:
    """A network of one architecture, with the memory for its forward and backward pass. Weights are passed in."""

    def __init__(self, architecture: Architecture, dtype: npt.DTypeLike = np.float32) -> None:
        self.architecture = architecture
        self.cell = architecture.made_cell
        self.dtype = np.dtype(dtype)
        self._buffers = Buffers(dtype)
        self._last = (0, 1, 0, False, False)  # T, steps of a segment, n, dropout and recompute of the last step

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, and of what the last step held beside them: dropout's factors, the states between
        segments, and views of single steps."""
        T, k, n, dropout, recompute = self._last
        hidden, segments = self.architecture.hidden, -(-T // k)
        # While an earlier segment draws its factors again, those of the last segment are still held.
        drawn = (k + (T - 1) % k + 1 if segments > 1 else T) if recompute else T
        factors = drawn * n * sum(hidden) if dropout else 0
        between = max(segments - 1, 0) * n * self.cell.states * sum(hidden)
        views = VIEWS * len(hidden) * (k + T % k) if T else 0
        return self._buffers.nbytes + (factors + between) * self.dtype.itemsize + views

    def begin(self, parameters: Parameters, n: int) -> State:
        """The state that a text begins with, of every layer: zeros, unless the cell says otherwise."""
        return [self.cell.begin(parameters.layer(i + 1), n) for i in range(len(self.architecture.hidden))]

    def _forward(
        self,
        parameters: Parameters,
        inputs: Array,
        state: State | None = None,
        masks: Masks = None,
        segment: int = 0,
        slot: int = 0,
        fresh: Array | None = None,
    ) -> Tape:
        """Document §1.2: Z_t = X_t W_x + b and S_t = step(Z_t, H_{t-1} W_hh, S_{t-1}), layer upon layer.

        `inputs` are ids (T, n) or one-hot (T, n, d); `state` came in, None where the text begins. Where `fresh` (T, n)
        holds, a piece of the text begins. The tape stays valid until the next forward pass into the same `slot`.
        """
        cell = self.cell
        tape = Tape(one_hot.input_ids(inputs, self.architecture.symbols))
        T, n = tape.ids.shape
        if state is None:
            state = self.begin(parameters, n)
        for i in range(len(self.architecture.hidden)):
            W = parameters.layer(i + 1)
            of_layer = self._layer_tape(i, T, n, slot, fresh is not None)
            self._inputs(parameters, tape, i, of_layer.Z)
            of_layer.came_in[...] = state[i]
            layers.forward(cell, W, of_layer, self._buffers, fresh)
            tape.layers.append(of_layer)
            tape.masks.append(masks(segment, i + 1, T) if masks else None)
        return tape

    forward = unflagged(_forward)

    def _inputs(self, parameters: Parameters, tape: Tape, i: int, Z: Steps) -> None:
        """Z_t = X_t W_x + b of layer i, for all steps at once, gate by gate."""
        W, h = parameters.layer(i + 1), self.architecture.hidden[i]
        if self.cell.gates == 1:
            gates = [(Z, W["W_x"], W["b"])]
        else:
            columns = [slice(gate * h, (gate + 1) * h) for gate in range(self.cell.gates)]
            gates = [(Z.plane(gate), W["W_x"][:, own], W["b"][own]) for gate, own in enumerate(columns)]
        if i == 0:
            ids = tape.ids.ravel()
            for of_gate, W_x, b in gates:
                one_hot.times_W(ids, W_x, b, out=of_gate.rows)
        else:
            X = handed_up(tape, i - 1, self.architecture.hidden[i - 1], self._buffers)
            for of_gate, W_x, b in gates:
                X.dot(W_x, of_gate.rows)
                np.add(of_gate.rows, b, of_gate.rows)

    def _layer_tape(self, i: int, T: int, n: int, slot: int, pieces: bool) -> LayerTape:
        """Layer i's part of the tape in `slot`. Z and R of a cell that does not keep them are shared by all layers."""
        cell, h, buffers = self.cell, self.architecture.hidden[i], self._buffers

        def make() -> LayerTape:
            own, keeps_R = f"{slot}.{i}", "R" in cell.keeps
            Z = buffers.planes(f"Z{own}" if "Z" in cell.keeps else "Z", cell.gates, T, n, h)
            R = buffers.stepwise(f"R{own}" if keeps_R else "R", cell.gates, T if keeps_R else 1, n, h)
            S = buffers.planes(f"S{own}", cell.states, T + 1, n, h)
            return LayerTape(Z, R, S, buffers.planes(f"S_before{own}", cell.states, T, n, h) if pieces else None)

        return buffers.kept(("tape", slot, i, T, n, pieces), make)

    @unflagged
    def probabilities(self, parameters: Parameters, tape: Tape) -> Array:
        """A (T, n, a) = softmax(H W_ha + b_a) of every step of the tape."""
        T, n = tape.ids.shape
        return np.array(output.probabilities(parameters, self._top(tape), self._buffers)).reshape(T, n, -1)

    @unflagged
    def losses(self, parameters: Parameters, tape: Tape, targets: Array) -> Array:
        """−log A_t[target] (T, n) in nats."""
        return output.cross_entropy(parameters, self._top(tape), targets.ravel(), self._buffers).reshape(targets.shape)

    def _top(self, tape: Tape) -> Array:
        top = len(self.architecture.hidden) - 1
        return handed_up(tape, top, self.architecture.hidden[top], self._buffers)

    def loss_and_gradient(
        self,
        parameters: Parameters,
        inputs: Array,
        targets: Array,
        state: State | None,
        window: Window,
        gradient: Parameters,
        *,
        divisor: float | None = None,
        masks: Masks = None,
        keep: int | None = None,
        recompute: bool = False,
    ) -> tuple[float, State | None]:
        """The sum of the losses in nats, ∂L/∂θ into `gradient`, and the state after `keep` steps.

        `inputs` (T, n) and `targets` (T − context, n); `state` is the state before the first step of the context, None
        at the beginning of the text. The gradient is of L, the sum divided by `divisor` (default: n · window.divisor);
        the returned sum is not divided. By default `keep` is T. With `recompute` only the states between segments are
        kept, and the backward pass recomputes the rest.

        NumPy may warn of invalid operations (see `unflagged`). Callers silence it: to do so here would take a hundredth
        of an update of a small network.
        """
        T, n = inputs.shape[:2]
        fresh = window.fresh
        keep = T if keep is None else keep
        divisor = divisor or n * window.divisor
        for dW in gradient.sums:
            dW.fill(0)
        k = segment_length(T) if window.lags is None else T
        segments = [slice(start, min(start + k, T)) for start in range(0, T, k)]
        self._last = (T, k, n, masks is not None, recompute)
        kept = state
        tapes: list[Tape] = []
        states: list[State | None] = []  # the one that each segment begins with
        for i, steps in enumerate(segments):
            states.append(state)
            begins = None if fresh is None else fresh[steps]
            tape = self._forward(parameters, inputs[steps], state, masks, i, 0 if recompute else i, begins)
            tapes.append(tape)
            if steps.start < keep <= steps.stop:
                kept = tape.state(keep - steps.start)
            if steps.stop < T:
                state = tape.state(k)
                if recompute:
                    tape.masks.clear()  # they are drawn again
                else:
                    tape.drop_views()

        total, dS_T, crossings = 0.0, None, window.crossings(T, n)
        for i in range(len(segments) - 1, -1, -1):
            tape, steps = tapes[i], segments[i]
            begins = None if fresh is None else fresh[steps]
            if recompute and steps.stop < T:
                tape = self._forward(parameters, inputs[steps], states[i], masks, i, fresh=begins)
            first = max(window.context - steps.start, 0)
            part = targets[max(steps.start - window.context, 0) : max(steps.stop - window.context, 0)]
            dH, loss = self._output_error(parameters, tape, part, first, divisor, gradient)
            total += loss
            gains, add = crossings[steps], steps.stop < T
            begun = self._begun(states[i] is None, n, begins)
            if window.lags is not None:  # there is one segment
                backward.by_lag(self.cell, parameters, tape, dH, gains, window.lags, gradient, self._buffers, begun)
                break
            dS_0 = backward.in_one_pass(
                self.cell, parameters, tape, dH, gains, dS_T, gradient, self._buffers, add, steps.start > 0, begun
            )
            dS_T = [gains[0] * dS for dS in dS_0]
        return total, kept

    def _begun(self, text_begins: bool, n: int, fresh: Array | None) -> Array | None:
        """Those of the T·n steps that had the state which a text begins with; None for a cell that does not learn it.

        That state is a parameter, not an earlier step: its gradient is not scaled by a gain.
        """
        if (fresh is None and not text_begins) or not self.cell.learns_begin:
            return None
        first = np.arange(n if text_begins else 0)
        return first if fresh is None else np.union1d(first, np.flatnonzero(fresh))

    @unflagged
    def error_norms_by_lag(
        self, parameters: Parameters, tape: Tape, targets: Array, lags: int, fresh: Array | None = None
    ) -> Array:
        """‖dZ_k‖ (lags, L) for the losses of the tape's last steps, one for each row of `targets`.

        `fresh` (T, n) is that of the forward pass: no error goes back from where a piece begins.
        """
        gradient = Parameters(self.architecture, self.dtype)
        T = len(tape.ids)
        with np.errstate(divide="ignore"):  # the losses themselves do not matter here
            dH, _ = self._output_error(parameters, tape, targets, T - len(targets), targets.size, gradient)
        crossings = Window(np.ones(T), 0, T, lags, fresh).crossings(T, tape.ids.shape[1])
        return backward.by_lag(self.cell, parameters, tape, dH, crossings, lags, gradient, self._buffers)

    def _output_error(
        self, parameters: Parameters, tape: Tape, targets: Array, first: int, divisor: float, gradient: Parameters
    ) -> tuple[Steps, float]:
        """∂L/∂H of the top layer (T·n, h_L), zero for steps before `first`, and the sum of the losses."""
        T, n = tape.ids.shape
        top = len(self.architecture.hidden) - 1
        dH = backward.error(self.cell, self._buffers, top, T, n, self.architecture.hidden[top])
        skipped = min(first, T) * n
        dH.rows[:skipped] = 0
        loss = 0.0
        if skipped < T * n:
            H = self._top(tape)[skipped:]
            loss = output.loss_and_error(
                parameters, H, targets.ravel(), divisor, gradient, dH.rows[skipped:], self._buffers
            )
        through_dropout(dH, tape.masks[-1])
        return dH, loss
