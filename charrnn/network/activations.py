"""φ and φ′: the activation functions, and their derivatives written in terms of H = φ(Z).

Every φ is analytic where it is smooth: with a complex Z, a complex step gives its derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from charrnn.errors import shown
from charrnn.network.buffers import Array


@dataclass(frozen=True)
class Activation:
    """phi(Z, out): H = φ(Z). dphi(H, out): φ′(Z), from H. Arrays of one shape; `steepest` is the largest φ′."""

    phi: Callable[[Array, Array], Array]
    dphi: Callable[[Array, Array], Array]
    steepest: float = 1.0


def dtanh(H: Array, out: Array) -> Array:
    """1 − H²."""
    np.multiply(H, H, out=out)
    return np.subtract(1, out, out=out)


def relu(Z: Array, out: Array) -> Array:
    """max(Z, 0)."""
    return np.multiply(Z, Z.real > 0, out=out)


def drelu(H: Array, out: Array) -> Array:
    """1 where H > 0, else 0."""
    np.copyto(out, H.real > 0)
    return out


def sigmoid(Z: Array, out: Array) -> Array:
    """σ(Z) = 1 / (1 + e⁻ᶻ), computed as ½ (1 + tanh(Z/2)), which does not overflow."""
    np.multiply(Z, 0.5, out=out)
    np.tanh(out, out=out)
    np.add(out, 1, out=out)
    return np.multiply(out, 0.5, out=out)


def dsigmoid(H: Array, out: Array) -> Array:
    """H (1 − H)."""
    np.subtract(1, H, out=out)
    return np.multiply(out, H, out=out)


def identity(Z: Array, out: Array) -> Array:
    """Z."""
    np.copyto(out, Z)
    return out


def didentity(H: Array, out: Array) -> Array:
    """1."""
    out.fill(1)
    return out


TANH = Activation(np.tanh, dtanh)
RELU = Activation(relu, drelu)
SIGMOID = Activation(sigmoid, dsigmoid, steepest=0.25)
IDENTITY = Activation(identity, didentity)


def check(name: str, thing: object) -> None:
    """TypeError if it is no Activation, ValueError if dphi is not the derivative of phi."""
    if not isinstance(thing, Activation):
        raise TypeError(f"activation {name}: must be a charrnn.network.activations.Activation, is {shown(thing)}")
    Z, h = np.linspace(-2.05, 1.97, 24), 1e-6  # no point lies at a kink that a φ is likely to have
    before, H, after, slope = np.full((4, len(Z)), np.nan)
    for shift, out in ((-h, before), (0, H), (h, after)):
        thing.phi(Z + shift, out)
    thing.dphi(H.copy(), slope)
    if not np.allclose(slope, (after - before) / (2 * h), rtol=1e-6, atol=1e-6):
        raise ValueError(f"activation {name}: dphi differs from the derivative of phi")
