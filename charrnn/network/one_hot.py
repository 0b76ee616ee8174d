"""Products with the one-hot input X (T·n, d): picked rows of W, and for its gradient X itself, or rows added up."""

from __future__ import annotations

import numpy as np

from charrnn.network.buffers import Array

# Up to so many symbols, the product with X is faster than adding up rows by symbol (docs/benchmarks.md).
DENSE = 128


def input_ids(inputs: Array, d: int) -> Array:
    """The ids (T, n) of either ids or one-hot arrays X (T, n, d). ValueError if they are neither."""
    if inputs.ndim == 2:
        return inputs
    if inputs.ndim != 3 or inputs.shape[2] != d:
        raise ValueError(f"inputs of shape {inputs.shape}: must be ids (T, n) or one-hot (T, n, {d})")
    ids: Array = inputs.argmax(axis=2)
    if not (np.take_along_axis(inputs, ids[..., None], 2) == 1).all() or np.count_nonzero(inputs) != ids.size:
        raise ValueError("inputs (T, n, d) must be one-hot: a single 1 in each row")
    return ids


def times_W(ids: Array, W: Array, b: Array, out: Array) -> Array:
    """X W + b (m, h) into `out`, for ids (m): each row is the id's row of W + b. Exactly the dense product."""
    return np.take(W + b, ids, axis=0, out=out, mode="clip")


def fill(ids: Array, X: Array) -> None:
    """X (m, d) of ids (m)."""
    X.fill(0)
    X[np.arange(len(ids)), ids] = 1


def add_transpose_times(ids: Array, dZ: Array, dW: Array, by_id: Array) -> None:
    """dW += Xᵀ dZ: to the row of each id, the sum of the rows of dZ (m, h) that have it; `by_id` takes them, sorted."""
    order = np.argsort(ids, kind="stable")
    present, starts = np.unique(ids[order], return_index=True)
    np.take(dZ, order, axis=0, out=by_id, mode="clip")
    dW[present] += np.add.reduceat(by_id, starts, axis=0)
