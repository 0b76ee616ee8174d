"""The output layer: A = softmax(H W_ha + b_a), the cross-entropy, and their gradient.

Large vocabularies are worked through in blocks of rows, so that the logits never need more than `BLOCK` numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charrnn.network.buffers import Array, Buffers
from charrnn.network.parameters import Parameters

BLOCK = 4_000_000
TINY = float(np.finfo(np.float32).tiny)


def block_rows(a: int) -> int:
    """Rows of logits in one block, for a vocabulary of `a` symbols."""
    return max(BLOCK // a, 16)


def softmax(logits: Array, buffers: Buffers) -> Array:
    """exp(O) / Σ exp(O) of every row (m, a), in place; the largest logit of each row is taken off first."""
    logits -= np.maximum.reduce(logits.real, axis=-1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.dot(buffers.ones(logits.shape[-1]))[:, None]
    return logits


def probabilities(parameters: Parameters, H: Array, buffers: Buffers) -> Array:
    """A (m, a) for m rows of the top layer's H (m, h)."""
    W_ha, b_a = parameters.output()
    A = buffers.block("A", len(H), len(b_a))
    H.dot(W_ha, A)
    A += b_a
    return softmax(A, buffers)


def cross_entropy(parameters: Parameters, H: Array, targets: Array, buffers: Buffers) -> Array:
    """−log A[target] (m,) in nats, for m rows of H (m, h) and as many targets."""
    losses = np.empty(len(H), H.dtype)
    for part, A in _blocks(parameters, H, buffers):
        losses[part] = -_log_of_target(parameters, H[part], targets[part], A[np.arange(len(A)), targets[part]])
    return losses


def _log_of_target(parameters: Parameters, H: Array, targets: Array, A_target: Array) -> Array:
    """log A[target] (m,). Where A is too small for float32 (beyond 87 nats) it is O[target] − log Σ exp(O), of logits
    O whose largest is 0."""
    if np.minimum.reduce(A_target.real) >= TINY:
        return np.log(A_target)
    tiny = A_target.real < TINY
    W_ha, b_a = parameters.output()
    logs = np.log(np.where(tiny, 1, A_target))
    logits = H[tiny].dot(W_ha) + b_a
    logits -= np.maximum.reduce(logits.real, axis=-1, keepdims=True)
    logs[tiny] = logits[np.arange(len(logits)), targets[tiny]] - np.log(np.exp(logits).sum(axis=-1))
    return logs


def loss_and_error(
    parameters: Parameters,
    H: Array,
    targets: Array,
    divisor: float,
    gradient: Parameters,
    dH: Array,
    buffers: Buffers,
) -> float:
    """The sum of the m losses in nats (undivided); adds to dW_ha, db_a, and writes ∂L/∂H (m, h) into `dH`.

    L is the sum divided by `divisor`: dO = (A − Y) / divisor, dW_ha = Hᵀ dO, dH = dO W_haᵀ. The loss of a symbol that
    the network holds all but impossible is finite as long as its logits are.
    """
    W_ha, _ = parameters.output()
    dW_ha, db_a = gradient.output()
    total = 0.0
    for part, A in _blocks(parameters, H, buffers):
        m = len(A)
        chosen = np.arange(m), targets[part]
        A_target = A[chosen]
        logs = _log_of_target(parameters, H[part], targets[part], A_target)
        total -= float(np.add.reduce(logs, dtype=np.float64))
        A[chosen] = A_target - 1
        dO = np.multiply(A, 1 / divisor, out=A)
        dW_ha += H[part].T.dot(dO)
        db_a += buffers.ones(m).dot(dO)
        dO.dot(W_ha.T, dH[part])
    return total


def _blocks(parameters: Parameters, H: Array, buffers: Buffers) -> Iterator[tuple[slice, Array]]:
    m = block_rows(len(parameters["b_a"]))
    for start in range(0, len(H), m):
        part = slice(start, min(start + m, len(H)))
        yield part, probabilities(parameters, H[part], buffers)
