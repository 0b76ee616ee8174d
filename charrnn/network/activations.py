"""φ and φ′: the activation functions, and their derivatives written in terms of H = φ(Z).

Every φ is written so that it is analytic where it is smooth: a complex Z gives the derivative by complex step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charrnn.network.buffers import Array


@dataclass(frozen=True)
class Activation:
    """phi(Z, out): H = φ(Z). dphi(H, out): φ′(Z), from H. Arrays of one shape; `steepest` is the largest φ′."""

    name: str
    phi: Callable[[Array, Array], Array]
    dphi: Callable[[Array, Array], Array]
    steepest: float = 1.0


def _dtanh(H: Array, out: Array) -> Array:
    np.multiply(H, H, out=out)
    return np.subtract(1, out, out=out)  # 1 − H²


def _relu(Z: Array, out: Array) -> Array:
    return np.multiply(Z, Z.real > 0, out=out)


def _drelu(H: Array, out: Array) -> Array:
    np.copyto(out, H.real > 0)
    return out


def _sigmoid(Z: Array, out: Array) -> Array:
    # ½(1 + tanh(Z/2)) is 1/(1 + e⁻ᶻ) without its overflow.
    np.multiply(Z, 0.5, out=out)
    np.tanh(out, out=out)
    np.add(out, 1, out=out)
    return np.multiply(out, 0.5, out=out)


def _dsigmoid(H: Array, out: Array) -> Array:
    np.subtract(1, H, out=out)
    return np.multiply(out, H, out=out)  # H (1 − H)


def _identity(Z: Array, out: Array) -> Array:
    np.copyto(out, Z)
    return out


def _didentity(H: Array, out: Array) -> Array:
    out.fill(1)
    return out


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation("tanh", np.tanh, _dtanh),
        Activation("relu", _relu, _drelu),
        Activation("sigmoid", _sigmoid, _dsigmoid, steepest=0.25),
        Activation("identity", _identity, _didentity),
    )
}
