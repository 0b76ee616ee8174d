"""The checks that a registered cell must pass: names, shapes, and a `pull` that is the derivative of its `step`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from charrnn.errors import shown
from charrnn.network.buffers import Array
from charrnn.network.cells import Cell, Weights
from charrnn.registry import NAME, NAME_RULE

D, H, N = 4, 3, 2  # inputs, units and sequences of the network that is tried


def check(name: str, make: object) -> None:
    """TypeError or ValueError that names the cell, and what it breaks. Takes a few milliseconds."""
    if not isinstance(make, type) or not issubclass(make, Cell):
        raise TypeError(f"cell {name}: must be a class that extends charrnn.Cell, is {shown(make)}")
    for method in ("step", "slopes", "pull"):
        if getattr(make, method) is getattr(Cell, method):
            raise TypeError(f"cell {name}: must define {method}")
    cell = make("tanh")
    shapes = cell.shapes(D, H)
    for key in shapes:
        if not isinstance(key, str) or not NAME.fullmatch(key):
            raise ValueError(f"cell {name}: a parameter's name must be {NAME_RULE}, is {shown(repr(key))}")
    for key, shape in (("W_x", (D, cell.gates * H)), ("W_hh", (H, cell.gates * H)), ("b", (cell.gates * H,))):
        if shapes.get(key) != shape:
            raise ValueError(f"cell {name}: shapes({D}, {H}) must give {key} {shape}, gives {shapes.get(key)}")
    if cell.in_place and (not cell.one_error or cell.gates != cell.states):
        raise ValueError(f"cell {name}: in_place needs one_error, and as many gates as states")
    if cell.carries is not None and not 0 <= cell.carries[0] < cell.carries[1] <= cell.states:
        raise ValueError(f"cell {name}: carries {cell.carries} are not among its {cell.states} states")
    rng = np.random.default_rng(0)
    W = {key: 0.5 * rng.standard_normal(shape) for key, shape in shapes.items()}
    begun = cell.begin(W, N)
    if not isinstance(begun, np.ndarray) or begun.shape != cell.state_shape(N, H):
        raise ValueError(f"cell {name}: begin must give an array {cell.state_shape(N, H)}")
    for lead in ((), (N,), (2, N)):  # one sequence alone, a step, all steps
        shapes_of = partial(_planes, lead)
        Z, R = (rng.standard_normal(shapes_of(cell.gates)) for _ in range(2))
        S, dS = (rng.standard_normal(shapes_of(cell.states)) for _ in range(2))
        _check_derivatives(name, cell, W, Z, R, S, dS, lead)


def _planes(lead: tuple[int, ...], k: int) -> tuple[int, ...]:
    return (*lead, H) if k == 1 else (k, *lead, H)


def _check_derivatives(
    name: str, cell: Cell, W: Weights, Z: Array, R: Array, S: Array, dS: Array, lead: tuple[int, ...]
) -> None:
    """Complex-step derivatives of Σ dS ⊙ step(Z, R, S) against dZ, dR, direct and the gradients of own parameters."""

    def objective(W: Weights, Z: Array, R: Array, S: Array) -> complex:
        out = np.empty(S.shape, complex)
        cell.step(W, Z.astype(complex), R.astype(complex), S.astype(complex), out)
        return complex((dS * out).sum())

    def slope(x: Array, evaluate: Callable[[Array], complex]) -> Array:
        exact = np.empty(x.shape)
        for i in np.ndindex(x.shape):
            moved = x.astype(complex)
            moved[i] += 1e-30j
            exact[i] = evaluate(moved).imag / 1e-30
        return exact

    def moved_by_name(key: str, moved: Array) -> complex:
        """The objective of a step, and of the state that a text begins with, where one parameter is moved."""
        others = {**W, key: moved}
        return objective(others, Z, R, S) + complex((dS * cell.begin(others, N)).sum() if lead == (N,) else 0)

    first, last = cell.carries or (0, 0)
    after, K = np.empty(S.shape), np.empty(_planes(lead, cell.slopes_per_unit))
    left_Z, left_R, kept_S = Z.copy(), R.copy(), S.copy()
    cell.step(W, left_Z, left_R, S, after)
    if (kept_S != S).any():
        raise ValueError(f"cell {name}: step overwrites S_(t-1)")
    if "Z" not in cell.keeps and (left_Z != Z).any():
        raise ValueError(f"cell {name}: step writes into Z, which its `keeps` does not name")
    # What a cell does not keep holds the numbers of another layer by the time that slopes is called.
    left_Z, left_R = (
        x if which in cell.keeps else np.full_like(x, np.nan) for x, which in ((left_Z, "Z"), (left_R, "R"))
    )
    cell.slopes(W, left_Z, left_R, S, after, K)
    errors = dS.copy()
    dZ = errors if cell.in_place else np.empty(Z.shape)
    dR = dZ if cell.one_error else np.empty(R.shape)
    direct = np.empty(_planes(lead, last - first))
    cell.pull(W, errors, K, dZ, dR, direct)
    carried = np.zeros(S.shape)
    if cell.carries:
        (carried[None] if cell.states == 1 else carried)[first:last] = direct
    own = {key: np.zeros(W[key].shape) for key in W}
    cell.own_gradients(W, errors, K, dZ, dR, own)
    begun = {key: np.zeros(W[key].shape) for key in W}
    if lead == (N,):
        cell.begin_gradient(W, dS, begun)
    pairs = {
        "dZ": (dZ, slope(Z, lambda Z: objective(W, Z, R, S))),
        "dR": (dR, slope(R, lambda R: objective(W, Z, R, S))),
        "what it carries": (carried, slope(S, lambda S: objective(W, Z, R, S))),
    }
    for key in W:
        if key not in ("W_x", "W_hh", "b"):
            exact = slope(W[key], partial(moved_by_name, key))
            pairs[f"the gradient of {key}"] = own[key] + begun[key], exact
    for what, (ours, exact) in pairs.items():
        error = np.abs(ours - exact).max() / max(np.abs(exact).max(), 1e-3)
        if not error < 1e-10:
            raise ValueError(f"cell {name}: {what} differs from the derivative of step by {error:.1e} of its size")
