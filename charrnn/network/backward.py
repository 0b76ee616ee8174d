"""Backpropagation through a stack of layers: in one pass if the gains do not depend on the lag, else lag by lag.

Both start from ∂L/∂H of the top layer. Both end in the same products over all T·n rows, which give the gradients.
"""

from __future__ import annotations

import numpy as np

from charrnn.network import layer as layers
from charrnn.network import one_hot
from charrnn.network.buffers import Array, Buffers, Steps
from charrnn.network.cells import Cell
from charrnn.network.layer import Errors
from charrnn.network.parameters import Parameters
from charrnn.network.tape import Tape, handed_up, through_dropout
from charrnn.network.truncation import WHOLE

State = list[Array]


def error(cell: Cell, scratch: Buffers, i: int, T: int, n: int, h: int) -> Steps:
    """The buffer for ∂L/∂H (T, n, h) of layer i, the first state of dS.

    The dZ of the same layer may overwrite it, so neighbouring layers use two different buffers.
    """
    return _dS(cell, scratch, i, T, n, h).plane(0)


def _dS(cell: Cell, scratch: Buffers, i: int, T: int, n: int, h: int) -> Steps:
    return scratch.kept(("dS", i, T, n, h), lambda: scratch.planes(f"dS{i % 2}", cell.states, T, n, h))


def in_one_pass(
    cell: Cell,
    parameters: Parameters,
    tape: Tape,
    dH: Steps,
    crossings: list[float | Array],
    dS_T: State | None,
    gradient: Parameters,
    scratch: Buffers,
    add: bool,
    hand_back: bool,
    begun: Array | None,
) -> State:
    """The backward pass of one segment, from the top layer down. Returns ∂L/∂S_0 of each layer if `hand_back`, else an
    empty list.

    dH (T, n, h_L) is ∂L/∂H of the top layer, `crossings` are the T gains, and `dS_T` is ∂L/∂S_T of each layer, from the
    next segment. With `add`, W_x and W_hh are added to `gradient`, else overwritten; all other gradients are always
    added. dH and the scratch buffers are overwritten. `begun` are those of the T·n
    steps that had the state that a text begins with, for a cell that learns it.
    """
    hidden = parameters.architecture.hidden
    T, n = tape.ids.shape
    handed: State = []
    for i in reversed(range(len(hidden))):
        W, of_layer = parameters.layer(i + 1), tape.layers[i]
        errors = _errors(cell, i, T, n, hidden[i], scratch)
        if cell.states > 1:
            errors.dS.array[1:] = 0
        if dS_T is not None:
            errors.dS.array[..., -1, :, :] += dS_T[i]
        cell.slopes(W, of_layer.Z.array, of_layer.R.array, of_layer.before, of_layer.after, errors.K.array)
        layers.backward(cell, W, errors, crossings, scratch)
        if hand_back:
            handed.insert(0, layers.handed_back(cell, W, errors, slice(n)))
        add_gradient(cell, parameters, tape, i, errors, gradient, scratch, add)
        if begun is not None:
            cell.begin_gradient(W, layers.handed_back(cell, W, errors, begun), gradient.layer(i + 1))
        if i > 0:
            dH = error(cell, scratch, i - 1, T, n, hidden[i - 1])
            errors.dZ.rows.dot(W["W_x"].T, dH.rows)
            through_dropout(dH, tape.masks[i - 1])
    return handed


def by_lag(
    cell: Cell,
    parameters: Parameters,
    tape: Tape,
    dH: Steps,
    crossings: list[float | Array],
    lags: int,
    gradient: Parameters,
    scratch: Buffers,
    begun: Array | None = None,
) -> Array:
    """Propagates errors lag by lag, for all steps t at once. Each loss reaches `lags` steps, its own (lag 0) included.

    E_k⁽ˡ⁾[t] = dZ_k⁽ˡ⁺¹⁾[t] W_xᵀ + crossings[t+1] (dR_{k-1}⁽ˡ⁾[t+1] W_hhᵀ and `direct`); in the top layer the first
    term is dH[t] for k = 0 and absent for k > 0. dZ_k = pull(E_k), and dZ = Σ_k dZ_k. `gradient` is overwritten (W_x,
    W_hh) or added to (all others). Returns the norms ‖dZ_k⁽ˡ⁾‖ (lags, L), zero for k ≥ T. `begun` is that of
    `in_one_pass`.
    """
    hidden = parameters.architecture.hidden
    T, n = tape.ids.shape
    norms = np.zeros((lags, len(hidden)))
    each = [_errors_of_lag(cell, i, T, n, h, scratch) for i, h in enumerate(hidden)]  # of the lag at hand
    total = [_errors_of_lag(cell, i, T, n, h, scratch, "sum ") for i, h in enumerate(hidden)]  # over all lags
    for i, (E, of_layer) in enumerate(zip(each, tape.layers, strict=True)):
        before, after = of_layer.before, of_layer.after
        cell.slopes(parameters.layer(i + 1), of_layer.Z.array, of_layer.R.array, before, after, E.K.array)
    for k in range(min(lags, T)):
        for i in reversed(range(len(hidden))):
            W, E, sums = parameters.layer(i + 1), each[i], total[i]
            E_k = E.dS.array
            if k == 0:
                E_k.fill(0)
            else:
                _handed_to_the_step_before(cell, W["W_hh"], E, crossings, scratch)
            if k == 0 or i < len(hidden) - 1:
                E.dS.plane(0).array[...] += dH.array
            cell.pull(W, E_k, E.K.array, E.dZ.array, E.dR.array, E.direct.array)
            norms[k, i] = np.linalg.norm(E.dZ.array)
            pairs = [(sums.dS, E.dS), (sums.dZ, E.dZ), (sums.direct, E.direct)]
            for whole, part in pairs if cell.one_error else [*pairs, (sums.dR, E.dR)]:
                if k == 0:
                    np.copyto(whole.array, part.array)
                else:
                    np.add(whole.array, part.array, out=whole.array)
            if i > 0:
                dH = error(cell, scratch, i - 1, T, n, hidden[i - 1])
                E.dZ.rows.dot(W["W_x"].T, dH.rows)
                through_dropout(dH, tape.masks[i - 1])
    for i, sums in enumerate(total):
        W = parameters.layer(i + 1)
        add_gradient(cell, parameters, tape, i, sums, gradient, scratch, add=False)
        if begun is not None:
            cell.begin_gradient(W, layers.handed_back(cell, W, sums, begun), gradient.layer(i + 1))
    return norms


def _handed_to_the_step_before(
    cell: Cell, W_hh: Array, E: Errors, crossings: list[float | Array], scratch: Buffers
) -> None:
    """Sets dS[t] to the error from step t+1: dR[t+1] W_hhᵀ for H, `direct` for the carried states. Scales `direct`."""
    T, n, h = E.dS.array.shape[-3:]
    back = scratch.kept(("back", T, n, h), lambda: scratch.planes("back of all", 1, T, n, h))
    E.dR.rows.dot(W_hh.T, back.rows)
    for t, gain in enumerate(crossings):
        if gain is not WHOLE:
            back.array[t] *= gain
            E.direct.array[..., t, :, :] *= gain
    E.dS.array.fill(0)
    E.dS.plane(0).array[:-1] = back.array[1:]
    if cell.carries:
        dS = E.dS.array.reshape(cell.states, T, n, h)
        dS[slice(*cell.carries), :-1] += E.direct.array[..., 1:, :, :]


def _errors(cell: Cell, i: int, T: int, n: int, h: int, scratch: Buffers) -> Errors:
    """The error buffers of layer i, of which dS already holds ∂L/∂H. All layers share them, except dS."""

    def make() -> Errors:
        dS = _dS(cell, scratch, i, T, n, h)
        dZ = dS if cell.in_place else scratch.rows("dZ", cell.gates, T, n, h)
        dR = dZ if cell.one_error else scratch.rows("dR", cell.gates, T, n, h)
        K = scratch.planes("K", cell.slopes_per_unit, T, n, h)
        return Errors(dS, K, dZ, dR, scratch.planes("direct", _carried(cell), T, n, h), cell.carries)

    return scratch.kept(("errors", i, T, n, h), make)


def _errors_of_lag(cell: Cell, i: int, T: int, n: int, h: int, scratch: Buffers, name: str = "") -> Errors:
    """Error buffers that layer i does not share: for one lag, or (`name` "sum ") for the sum over lags."""

    def make() -> Errors:
        dZ = scratch.rows(f"{name}dZ{i}", cell.gates, T, n, h)
        dR = dZ if cell.one_error else scratch.rows(f"{name}dR{i}", cell.gates, T, n, h)
        dS = scratch.planes(f"{name}E{i}", cell.states, T, n, h)
        K = scratch.planes(f"K{i}", cell.slopes_per_unit, T, n, h)
        return Errors(dS, K, dZ, dR, scratch.planes(f"{name}direct{i}", _carried(cell), T, n, h), cell.carries)

    return scratch.kept(("errors of lag", name, i, T, n, h), make)


def _carried(cell: Cell) -> int:
    first, last = cell.carries or (0, 0)
    return last - first


def add_gradient(
    cell: Cell,
    parameters: Parameters,
    tape: Tape,
    i: int,
    errors: Errors,
    gradient: Parameters,
    scratch: Buffers,
    add: bool,
) -> None:
    """dW_x = Xᵀ dZ, dW_hh = H_{t-1}ᵀ dR, db = Σ dZ, over all T·n rows, and the gradients of the cell's own parameters.
    With `add`, W_x and W_hh are added to, else overwritten.

    For a large vocabulary no one-hot X is made: the rows of dZ are summed by symbol.
    """
    T, n = tape.ids.shape
    dW = gradient.layer(i + 1)
    d = len(dW["W_x"])
    dZ = errors.dZ.rows
    if i > 0:
        add_product(handed_up(tape, i - 1, h=d, scratch=scratch), dZ, dW["W_x"], add, scratch)
    elif d <= one_hot.DENSE:
        X = scratch.block("X", T * n, d)
        one_hot.fill(tape.ids.ravel(), X)
        add_product(X, dZ, dW["W_x"], add, scratch)
    else:
        if not add:
            dW["W_x"].fill(0)
        one_hot.add_transpose_times(tape.ids.ravel(), dZ, dW["W_x"], scratch.block("by id", *dZ.shape))
    add_product(tape.layers[i].H_before, errors.dR.rows, dW["W_hh"], add, scratch)
    dW["b"][...] += scratch.ones(T * n).dot(dZ)
    cell.own_gradients(parameters.layer(i + 1), errors.dS.array, errors.K.array, errors.dZ.array, errors.dR.array, dW)


def add_product(A: Array, B: Array, dW: Array, add: bool, scratch: Buffers) -> None:
    """dW = Aᵀ B, or dW += Aᵀ B."""
    if add:
        product = scratch.block("dW", *dW.shape)
        A.T.dot(B, product)
        np.add(dW, product, out=dW)
    else:
        A.T.dot(B, dW)
