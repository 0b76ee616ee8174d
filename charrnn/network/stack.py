"""The stacked recurrent network, forward and backward, for any depth and any T.

Everything that is not recurrent is one product over all T·n rows; only H_{t-1} W_hh stays in the cell's loop.
Long sequences are worked through in segments of `segment_length` steps, in order forward and from the last backward;
the gradient is the sum over segments, so it is the same, bit for bit, whether a segment's states are kept or run again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np
import numpy.typing as npt

from charrnn.network import one_hot, output
from charrnn.network.buffers import Array, Buffers
from charrnn.network.cells import CELLS
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.truncation import Truncation

State = list[Array]
# Dropout's factors (T, n, h_l) for what a layer hands upwards, from the numbers of segment and layer, and T.
Masks = Callable[[int, int, int], Array] | None


def zero_state(parameters: Parameters, n: int) -> State:
    """H_0 = 0 for every layer: a list of (n, h_l)."""
    architecture = parameters.architecture
    states = CELLS[architecture.cell](architecture.activation).states
    return [np.zeros((n, states * h), parameters.vector.dtype) for h in architecture.hidden]


def segment_length(T: int) -> int:
    """Steps of a segment: all of a short sequence; near √T of a long one, in multiples of 64 that suit BLAS."""
    return T if T < 256 else 64 * ceil(isqrt(T) / 64)


@dataclass
class Tape:
    """What the forward pass of one segment leaves for the backward pass; its arrays live in the network's buffers."""

    ids: Array  # (T, n)
    Z: list[Array]  # per layer (T, n, gates·h_l)
    S: list[Array]  # per layer (T+1, n, states·h_l); H_t in the first h_l columns
    masks: list[Array | None]  # per layer (T, n, h_l), dropout's factors for what it hands up

    def state(self, step: int) -> State:
        """The state after `step` steps, copied; 0 is the one that came in."""
        return [np.array(S[step], order="C") for S in self.S]


class Stack:
    """A network of one architecture, with the memory for its forward and backward pass. Weights are passed in."""

    def __init__(self, architecture: Architecture, dtype: npt.DTypeLike = np.float32) -> None:
        self.architecture = architecture
        self.cell = CELLS[architecture.cell](architecture.activation)
        self.dtype = np.dtype(dtype)
        self._shared = Buffers(dtype)
        self._kept: list[Buffers] = []

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return self._shared.nbytes + sum(buffers.nbytes for buffers in self._kept)

    def forward(
        self, parameters: Parameters, inputs: Array, state: State, masks: Masks = None, segment: int = 0, slot: int = 0
    ) -> Tape:
        """Document §1.2: Z_t = X_t W_x + b, H_t = φ(Z_t + H_{t-1} W_hh), layer upon layer.

        `inputs` are ids (T, n) or one-hot (T, n, d); `state` is the H_0 (n, h_l) of each layer. The tape stays valid
        until the next forward pass into the same `slot`.
        """
        while len(self._kept) <= slot:
            self._kept.append(Buffers(self.dtype))
        buffers, cell = self._kept[slot], self.cell
        ids = one_hot.input_ids(inputs, self.architecture.symbols)
        T, n = ids.shape
        tape = Tape(ids, [], [], [])
        for layer, h in enumerate(self.architecture.hidden, start=1):
            W_x, W_hh, b = parameters.layer(layer)
            Z = (buffers if cell.keeps_Z else self._shared).block(
                f"Z{layer}" if cell.keeps_Z else "Z", T, n, cell.gates * h
            )
            if layer == 1:
                one_hot.times_W(ids.ravel(), W_x, b, out=_rows(Z))
            else:
                self._handed_up(tape, layer - 1).dot(W_x, _rows(Z))
                Z += b
            S = buffers.block(f"S{layer}", T + 1, n, cell.states * h)
            S[0] = state[layer - 1]
            cell.forward(Z, W_hh, S, self._shared)
            tape.Z.append(Z)
            tape.S.append(S)
            tape.masks.append(masks(segment, layer, T) if masks else None)
        return tape

    def _handed_up(self, tape: Tape, layer: int) -> Array:
        """What the layer above reads, all steps as rows: H (T·n, h_l), through its dropout."""
        T, n = tape.ids.shape
        h = self.architecture.hidden[layer - 1]
        H, mask = tape.S[layer - 1][1:, :, :h], tape.masks[layer - 1]
        if mask is not None:
            H = np.multiply(H, mask, out=self._shared.block("H masked", T, n, h))
        return _rows(H)

    def probabilities(self, parameters: Parameters, tape: Tape) -> Array:
        """A (T, n, a) = softmax(H W_ha + b_a) of every step of the tape."""
        T, n = tape.ids.shape
        return np.array(output.probabilities(parameters, self._top(tape), self._shared)).reshape(T, n, -1)

    def losses(self, parameters: Parameters, tape: Tape, targets: Array) -> Array:
        """−log A_t[target] (T, n) in nats."""
        return output.cross_entropy(parameters, self._top(tape), targets.ravel(), self._shared).reshape(targets.shape)

    def _top(self, tape: Tape) -> Array:
        return self._handed_up(tape, len(self.architecture.hidden))

    def loss_and_gradient(
        self,
        parameters: Parameters,
        inputs: Array,
        targets: Array,
        state: State,
        truncation: Truncation,
        gradient: Parameters,
        *,
        masks: Masks = None,
        keep: int | None = None,
        recompute: bool = False,
    ) -> tuple[float, State]:
        """The mean loss in nats of the steps that have one, ∂L/∂θ into `gradient`, and the state after `keep` steps.

        `inputs` (T, n) and `targets` (T − context, n); `state` comes in before the first step of the context.
        L = Σ losses / (n · truncation.divisor). `keep` None is the state after the last step. With `recompute` only
        the states between segments are kept, and the segments are run again on the way back.
        """
        T, n = inputs.shape[:2]
        keep = T if keep is None else keep
        gradient.vector.fill(0)
        k = segment_length(T) if truncation.lags is None else T
        starts = range(0, T, k)
        kept = list(state)
        tapes: list[Tape] = []
        states: list[State] = []  # the one that each segment begins with
        for i, start in enumerate(starts):
            states.append(state)
            last = start + k >= T
            slot = 0 if recompute else i
            tape = self.forward(parameters, inputs[start : start + k], state, masks, i, slot)
            tapes.append(tape)
            if start <= keep <= start + k:
                kept = tape.state(keep - start)
            if not last:
                state = tape.state(k)
                if recompute:
                    tape.masks.clear()  # they are drawn again

        total, dS_T = 0.0, None
        for i, start in reversed(list(enumerate(starts))):
            tape, stop = tapes[i], min(start + k, T)
            if recompute and stop < T:
                tape = self.forward(parameters, inputs[start:stop], states[i], masks, i)
            first = max(truncation.context - start, 0)
            part = targets[max(start - truncation.context, 0) : max(stop - truncation.context, 0)]
            dH, loss = self._output_error(parameters, tape, part, first, n * truncation.divisor, gradient)
            total += loss
            if truncation.lags is not None:
                self.backward_by_lag(parameters, tape, dH, truncation.lags, gradient)
            else:
                dS_T = self.backward(parameters, tape, dH, truncation.gains[start:stop], dS_T, gradient, start > 0)
        return total / targets.size, kept

    def _output_error(
        self, parameters: Parameters, tape: Tape, targets: Array, first: int, divisor: float, gradient: Parameters
    ) -> tuple[Array, float]:
        """∂L/∂H of the top layer (T, n, h), zero for steps before `first`, and the sum of the losses."""
        T, n = tape.ids.shape
        dH = self._error(len(self.architecture.hidden), T, n)
        skipped = min(first, T) * n
        dH_rows = _rows(dH)
        dH_rows[:skipped] = 0
        loss = 0.0
        if skipped < T * n:
            H_rows = self._top(tape)[skipped:]
            loss = output.loss_and_error(
                parameters, H_rows, targets.ravel(), divisor, gradient, dH_rows[skipped:], self._shared
            )
        _through_dropout(dH, tape.masks[-1])
        return dH, loss

    def _error(self, layer: int, T: int, n: int) -> Array:
        """The buffer for ∂L/∂H (T, n, h_l). The cell turns it into dZ in place, so the layer below needs another."""
        return self._shared.block(f"dH{layer % 2}", T, n, self.architecture.hidden[layer - 1])

    def backward(
        self,
        parameters: Parameters,
        tape: Tape,
        dH: Array,
        gains: Array,
        dS_T: State | None,
        gradient: Parameters,
        hand_back: bool,
    ) -> State | None:
        """Backpropagation through one segment, from the top layer down; what it hands to the segment before it.

        dZ_t = (error from the layer above + gains[t+1] · dZ_{t+1} W_hhᵀ) ⊙ φ′(Z_t), then the products over all rows.
        """
        handed: State = []
        T, n = tape.ids.shape
        for layer in range(len(self.architecture.hidden), 0, -1):
            W_x, W_hh, _ = parameters.layer(layer)
            Z, S = tape.Z[layer - 1], tape.S[layer - 1]
            dS = self._with_memories(dH, tape, layer)
            arriving = dS_T[layer - 1] if dS_T is not None else None
            dZ, dR, direct = self.cell.backward(dS, Z, W_hh, S, gains, arriving, self._shared)
            if hand_back:
                before = np.zeros((n, S.shape[2]), self.dtype) if direct is None else direct.copy()
                before[:, : W_hh.shape[0]] += dR[0] @ W_hh.T
                handed.insert(0, gains[0] * before)
            self._add_gradient(tape, layer, dZ, dR, gradient, fresh=dS_T is None)
            if layer > 1:
                dH = self._error(layer - 1, T, n)
                _rows(dZ).dot(W_x.T, _rows(dH))
                _through_dropout(dH, tape.masks[layer - 2])
        return handed or None

    def backward_by_lag(self, parameters: Parameters, tape: Tape, dH: Array, lags: int, gradient: Parameters) -> Array:
        """Every loss's own last `lags` steps: errors carried by lag k, all steps t at once.

        E_k⁽ˡ⁾[t] = dZ_k⁽ˡ⁺¹⁾[t] W_xᵀ + dZ_{k-1}⁽ˡ⁾[t+1] W_hhᵀ, dZ_k = E_k ⊙ φ′(Z), dZ = Σ_k dZ_k.
        Returns the Frobenius norms of the dZ_k⁽ˡ⁾, (lags, L): how much of the error is left k steps back.
        """
        hidden, shared = self.architecture.hidden, self._shared
        T, n = tape.ids.shape
        norms = np.zeros((lags, len(hidden)))
        S = tape.S
        dZ: list[Array] = [np.empty(0)] * len(hidden)
        dR = list(dZ)
        direct: list[Array | None] = [None] * len(hidden)
        totals: list[tuple[Array, Array]] = [(np.empty(0), np.empty(0))] * len(hidden)
        for k in range(min(lags, T)):
            for i in range(len(hidden) - 1, -1, -1):
                W_x, W_hh, _ = parameters.layer(i + 1)
                E = shared.block(f"E{i}{k % 2}", T, n, S[i].shape[2])
                E.fill(0)
                if k == 0 or i < len(hidden) - 1:
                    E[:, :, : hidden[i]] = dH
                if k > 0:
                    carried = shared.block("carried", T, n, hidden[i])
                    _rows(dR[i]).dot(W_hh.T, _rows(carried))
                    E[:-1, :, : hidden[i]] += carried[1:]
                    if (past := direct[i]) is not None:
                        E[:-1] += past[1:]
                dZ[i], dR[i], direct[i] = self.cell.backward_one_lag(E, tape.Z[i], W_hh, S[i], shared)
                norms[k, i] = np.linalg.norm(dZ[i])
                if k == 0:
                    total = dZ[i].copy()
                    totals[i] = total, (total if dR[i] is dZ[i] else dR[i].copy())
                else:
                    np.add(totals[i][0], dZ[i], out=totals[i][0])
                    if dR[i] is not dZ[i]:
                        np.add(totals[i][1], dR[i], out=totals[i][1])
                if i > 0:
                    dH = self._error(i, T, n)
                    _rows(dZ[i]).dot(W_x.T, _rows(dH))
                    _through_dropout(dH, tape.masks[i - 1])
        for i, (total, total_R) in enumerate(totals):
            self._add_gradient(tape, i + 1, total, total_R, gradient, fresh=True)
        return norms

    def error_norms_by_lag(self, parameters: Parameters, tape: Tape, targets: Array, lags: int) -> Array:
        """‖dZ_k‖ (lags, L) for the losses of the tape's last steps, those of `targets`: how far back they are felt."""
        gradient = Parameters(self.architecture, self.dtype)
        dH, _ = self._output_error(parameters, tape, targets, len(tape.ids) - len(targets), targets.size, gradient)
        return self.backward_by_lag(parameters, tape, dH, lags, gradient)

    def _with_memories(self, dH: Array, tape: Tape, layer: int) -> Array:
        """dS (T, n, states·h) with dH in its first columns: dH itself, unless the cell carries more than H."""
        if self.cell.states == 1:
            return dH
        dS = self._shared.block("dS", *tape.S[layer - 1][1:].shape)
        dS.fill(0)
        dS[:, :, : dH.shape[2]] = dH
        return dS

    def _add_gradient(self, tape: Tape, layer: int, dZ: Array, dR: Array, gradient: Parameters, fresh: bool) -> None:
        """dW_x += Xᵀ dZ, dW_hh += H_{t-1}ᵀ dR, db += Σ dZ, over all T·n rows; `fresh` if they were zero before.

        A one-hot X of many symbols is not made; rows of dZ are added up by symbol.
        """
        T, n = tape.ids.shape
        dW_x, dW_hh, db = gradient.layer(layer)
        d, h = len(dW_x), len(dW_hh)
        dZ_rows = _rows(dZ)
        if layer > 1:
            _add_product(self._handed_up(tape, layer - 1), dZ_rows, dW_x, fresh)
        elif d <= one_hot.DENSE:
            X = self._shared.block("X", T * n, d)
            one_hot.fill(tape.ids.ravel(), X)
            _add_product(X, dZ_rows, dW_x, fresh)
        else:
            one_hot.add_transpose_times(tape.ids.ravel(), dZ_rows, dW_x)
        _add_product(_rows(tape.S[layer - 1][:-1, :, :h]), _rows(dR), dW_hh, fresh)
        db += self._shared.ones(T * n).dot(dZ_rows)


def _rows(sequence: Array) -> Array:
    """All steps of a sequence (T, n, width) under each other, (T·n, width); a view of it where it is contiguous."""
    return sequence.reshape(-1, sequence.shape[2])


def _through_dropout(dH: Array, mask: Array | None) -> None:
    """The error at what a layer handed up becomes the error at its H, in place."""
    if mask is not None:
        np.multiply(dH, mask, out=dH)


def _add_product(A: Array, B: Array, dW: Array, fresh: bool) -> None:
    """dW += Aᵀ B."""
    if fresh:
        A.T.dot(B, dW)
    else:
        dW += A.T.dot(B)
