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

from charrnn.network import output
from charrnn.network.buffers import Array, Buffers, rows
from charrnn.network.cells import CELLS
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.truncation import Truncation

State = list[Array]
# Dropout's masks: the factors (T·n, h_l) for what layer l hands upwards in a segment; None for no dropout.
Masks = Callable[[int, int, tuple[int, int]], Array] | None


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
    below: list[Array]  # per layer above the first, what it reads: (T·n, h_{l-1}); last, what the output layer reads
    masks: list[Array | None]

    def state(self, step: int) -> State:
        """The state after `step` steps, copied; 0 is the one that came in."""
        return [np.array(S[step], order="C") for S in self.S]


def input_ids(inputs: Array, d: int) -> Array:
    """The ids (T, n) of either ids or one-hot arrays X (T, n, d): X_t W_x picks rows of W_x."""
    if inputs.ndim == 2:
        return inputs
    if inputs.ndim != 3 or inputs.shape[2] != d:
        raise ValueError(f"inputs of shape {inputs.shape}: must be ids (T, n) or one-hot (T, n, {d})")
    ids: Array = inputs.argmax(axis=2)
    if not (np.take_along_axis(inputs, ids[..., None], 2) == 1).all() or np.count_nonzero(inputs) != ids.size:
        raise ValueError("inputs (T, n, d) must be one-hot: a single 1 in each row")
    return ids


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
        ids = input_ids(inputs, self.architecture.symbols)
        T, n = ids.shape
        tape = Tape(ids, [], [], [], [])
        for layer, h in enumerate(self.architecture.hidden, start=1):
            W_x, W_hh, b = parameters.layer(layer)
            Z = buffers.sequence(f"Z{layer}", T, n, cell.gates * h)
            if layer == 1:
                # One-hot X_t picks rows. Taken from the transpose, because a sequence's memory is hidden-major.
                if n == 1:
                    np.take(W_x + b, ids[:, 0], axis=0, out=Z[:, 0], mode="clip")
                else:
                    table = np.ascontiguousarray((W_x + b).T)
                    np.take(table, ids, axis=1, out=Z.transpose(2, 0, 1), mode="clip")
            else:
                np.matmul(tape.below[-1], W_x, out=rows(Z))
                Z += b
            S = buffers.sequence(f"S{layer}", T + 1, n, cell.states * h)
            S[0] = state[layer - 1]
            cell.forward(Z, W_hh, S, self._shared)
            H_rows = rows(S[1:, :, :h])
            mask = masks(segment, layer, H_rows.shape) if masks else None
            if mask is not None:
                H_rows = np.multiply(H_rows, mask, out=rows(buffers.sequence(f"D{layer}", T, n, h)))
            tape.Z.append(Z)
            tape.S.append(S)
            tape.below.append(H_rows)
            tape.masks.append(mask)
        return tape

    def probabilities(self, parameters: Parameters, tape: Tape) -> Array:
        """A (T, n, a) = softmax(H W_ha + b_a) of every step of the tape."""
        T, n = tape.ids.shape
        return np.array(output.probabilities(parameters, tape.below[-1], self._shared)).reshape(T, n, -1)

    def losses(self, parameters: Parameters, tape: Tape, targets: Array) -> Array:
        """−log A_t[target] (T, n) in nats."""
        return output.cross_entropy(parameters, tape.below[-1], targets.ravel(), self._shared).reshape(targets.shape)

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

        total, dS_T = 0.0, None
        for i, start in reversed(list(enumerate(starts))):
            if recompute and i < len(starts) - 1:
                tapes[i] = self.forward(parameters, inputs[start : start + k], states[i], masks, i)
            tape, stop = tapes[i], min(start + k, T)
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
        dH = self._shared.sequence("dH", T, n, self.architecture.hidden[-1])
        first = min(first, T)
        dH[:first] = 0
        loss = 0.0
        if first < T:
            skipped = first * n
            dH_rows = rows(dH)[skipped:]
            loss = output.loss_and_error(
                parameters, tape.below[-1][skipped:], targets.ravel(), divisor, gradient, dH_rows, self._shared
            )
            _through_dropout(dH, tape.masks[-1])
        return dH, loss

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
        for layer in range(len(self.architecture.hidden), 0, -1):
            W_x, W_hh, _ = parameters.layer(layer)
            Z, S = tape.Z[layer - 1], tape.S[layer - 1]
            dS = self._with_memories(dH, tape, layer)
            arriving = dS_T[layer - 1] if dS_T is not None else None
            dZ, dR = self.cell.backward(dS, Z, W_hh, S, gains, arriving, self._shared)
            if hand_back:
                out = self._shared.sequence("handed", 1, *S[0].shape)
                handed.insert(0, gains[0] * np.array(self.cell.hand_back(dZ[:1], dR[:1], W_hh, S[:2], out)[0]))
            self._add_gradient(tape, layer, dZ, dR, gradient)
            if layer > 1:
                dH = self._error_below(tape, layer, dZ, W_x)
        return handed or None

    def backward_by_lag(self, parameters: Parameters, tape: Tape, dH: Array, lags: int, gradient: Parameters) -> Array:
        """Every loss's own last `lags` steps: errors carried by lag k, all steps t at once.

        E_k⁽ˡ⁾[t] = dZ_k⁽ˡ⁺¹⁾[t] W_xᵀ + dZ_{k-1}⁽ˡ⁾[t+1] W_hhᵀ, dZ_k = E_k ⊙ φ′(Z), dZ = Σ_k dZ_k.
        Returns the Frobenius norms of the dZ_k⁽ˡ⁾, (lags, L): how much of the error is left k steps back.
        """
        hidden = self.architecture.hidden
        T = len(tape.ids)
        norms = np.zeros((lags, len(hidden)))
        errors: dict[int, tuple[Array, Array]] = {}  # per layer, dZ_{k-1} and its dR
        totals: dict[int, tuple[Array, Array]] = {}
        for k in range(min(lags, T)):
            for layer in range(len(hidden), 0, -1):
                W_x, W_hh, _ = parameters.layer(layer)
                Z, S = tape.Z[layer - 1], tape.S[layer - 1]
                E = self._shared.sequence(f"E{layer}{k % 2}", *S[1:].shape)
                E.fill(0)
                if k == 0 or layer < len(hidden):
                    E[:, :, : hidden[layer - 1]] = dH
                if k > 0:
                    handed = self._shared.sequence("handed", *E.shape)
                    E[:-1] += self.cell.hand_back(*errors[layer], W_hh, S, handed)[1:]
                dZ, dR = errors[layer] = self.cell.backward_one_lag(E, Z, S, self._shared)
                norms[k, layer - 1] = np.sqrt((dZ * dZ).sum())
                if k == 0:
                    total = dZ.copy("K")
                    totals[layer] = total, (total if dR is dZ else dR.copy("K"))
                else:
                    totals[layer][0][...] += dZ
                    if dR is not dZ:
                        totals[layer][1][...] += dR
                if layer > 1:
                    dH = self._error_below(tape, layer, dZ, W_x)
        for layer, (dZ, dR) in totals.items():
            self._add_gradient(tape, layer, dZ, dR, gradient)
        return norms

    def _with_memories(self, dH: Array, tape: Tape, layer: int) -> Array:
        """dS (T, n, states·h) with dH in its first columns: dH itself, unless the cell carries more than H."""
        if self.cell.states == 1:
            return dH
        dS = self._shared.sequence("dS", *tape.S[layer - 1][1:].shape)
        dS.fill(0)
        dS[:, :, : dH.shape[2]] = dH
        return dS

    def _error_below(self, tape: Tape, layer: int, dZ: Array, W_x: Array) -> Array:
        """What layer `layer` hands to the layer below it, all steps in one product: dZ W_xᵀ, through its dropout."""
        T, n = tape.ids.shape
        dH = self._shared.sequence(f"dH{layer % 2}", T, n, W_x.shape[0])
        np.matmul(rows(dZ), W_x.T, out=rows(dH))
        _through_dropout(dH, tape.masks[layer - 2])
        return dH

    def _add_gradient(self, tape: Tape, layer: int, dZ: Array, dR: Array, gradient: Parameters) -> None:
        """dW_x += Xᵀ dZ, dW_hh += H_{t-1}ᵀ dR, db += Σ dZ, each over all T·n rows."""
        dW_x, dW_hh, db = gradient.layer(layer)
        h = self.architecture.hidden[layer - 1]
        dZ_rows = rows(dZ)
        dW_hh += rows(tape.S[layer - 1][:-1, :, :h]).T @ rows(dR)
        db += dZ_rows.sum(axis=0)
        if layer > 1:
            dW_x += tape.below[layer - 2].T @ dZ_rows
        else:
            add_rows(dW_x, tape.ids.ravel(), dZ_rows)


def _through_dropout(dH: Array, mask: Array | None) -> None:
    if mask is not None:
        np.multiply(rows(dH), mask, out=rows(dH))


def add_rows(dW: Array, ids: Array, dZ: Array) -> None:
    """dW[id] += Σ of the rows of dZ (m, h) that have that id: Xᵀ dZ for one-hot X (m, d), without making X."""
    order = np.argsort(ids, kind="stable")
    present, starts = np.unique(ids[order], return_index=True)
    if dZ.flags.c_contiguous:
        dW[present] += np.add.reduceat(dZ[order], starts, axis=0)
    else:
        dW[present] += np.add.reduceat(np.take(dZ.T, order, axis=1), starts, axis=1).T
