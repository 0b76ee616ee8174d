"""φ and its derivative: the activation functions, each with the backward step in terms of H = φ(Z).

Every φ is written so that it is analytic where it is smooth: a complex Z gives the derivative by complex step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charrnn.network.buffers import Array


@dataclass(frozen=True)
class Activation:
    """phi(Z, out): H = φ(Z). backward(dH, H, out, scratch): dZ = dH ⊙ φ′(Z). All arrays are of one shape.

    `out` may be Z in the one and dH in the other; `scratch` is overwritten.
    """

    name: str
    phi: Callable[[Array, Array], Array]
    backward: Callable[[Array, Array, Array, Array], Array]
    smooth: bool = True


def _tanh(Z: Array, out: Array) -> Array:
    return np.tanh(Z, out=out)


def _tanh_backward(dH: Array, H: Array, out: Array, scratch: Array) -> Array:
    np.multiply(H, H, out=scratch)
    np.multiply(scratch, dH, out=scratch)
    return np.subtract(dH, scratch, out=out)  # dH ⊙ (1 − H²)


def _relu(Z: Array, out: Array) -> Array:
    return np.multiply(Z, Z.real > 0, out=out)


def _relu_backward(dH: Array, H: Array, out: Array, scratch: Array) -> Array:
    return np.multiply(dH, H.real > 0, out=out)


def _sigmoid(Z: Array, out: Array) -> Array:
    # ½(1 + tanh(Z/2)) is 1/(1 + e⁻ᶻ) without its overflow.
    np.multiply(Z, 0.5, out=out)
    np.tanh(out, out=out)
    np.add(out, 1, out=out)
    return np.multiply(out, 0.5, out=out)


def _sigmoid_backward(dH: Array, H: Array, out: Array, scratch: Array) -> Array:
    np.subtract(1, H, out=scratch)
    np.multiply(scratch, H, out=scratch)
    return np.multiply(dH, scratch, out=out)  # dH ⊙ H ⊙ (1 − H)


def _identity(Z: Array, out: Array) -> Array:
    np.copyto(out, Z)
    return out


def _identity_backward(dH: Array, H: Array, out: Array, scratch: Array) -> Array:
    np.copyto(out, dH)
    return out


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("tanh", _tanh, _tanh_backward),
        Activation("relu", _relu, _relu_backward, smooth=False),
        Activation("sigmoid", _sigmoid, _sigmoid_backward),
        Activation("identity", _identity, _identity_backward),
    )
}
