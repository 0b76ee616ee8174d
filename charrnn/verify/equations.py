"""The document's equations one by one: as printed, and as the program computes them, against complex-step derivatives.

Every figure is computed when `equations` runs, on a small random network of two layers with unequal widths (§1.1 and
§1.2: its forward pass; §2.1: the loss of the last of T = 2 steps, summed over the batch; §2.1.1: the mean of both
steps' losses). The printed forms are written down literally. The oracle is a naive loop, differentiated by complex
step; it shares nothing with the program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from charrnn.network.buffers import Array
from charrnn.network.cells import Weights
from charrnn.network.cells.rnn import RNN
from charrnn.network.parameters import Architecture, Parameters
from charrnn.network.stack import Stack
from charrnn.network.truncation import Window

n, d, h1, h2, T = 2, 5, 4, 3, 2  # all widths differ, so that shapes that do not fit show themselves
Form = Callable[[], Array]


@dataclass(frozen=True)
class Equation:
    """One row: relative errors (largest difference over largest exact value).

    printed_error: None where the shapes do not fit. mended_error: None where nothing is to be mended.
    """

    section: str
    equation: str
    printed_error: float | None
    mended_error: float | None
    program_error: float
    note: str


@dataclass
class Case:
    """A random network, batch and starting state, and what a naive forward pass makes of them (lists over t = 1, 2)."""

    W: Parameters
    X: Array  # (T, n, d), one-hot
    Y: Array  # (T, n, d), one-hot
    H_0: list[Array]

    def run(self, W: Parameters, shift: dict[tuple[int, int], Array] | None = None) -> dict[str, list[Array]]:
        """Z1, H1, Z2, H2, Z3, A and the loss L of each step; `shift[layer, t]` is added to that Z."""
        H1, H2 = (H.astype(W.vector.dtype) for H in self.H_0)
        out: dict[str, list[Array]] = {name: [] for name in ("Z1", "H1", "Z2", "H2", "Z3", "A", "L")}
        for t in range(len(self.X)):
            moved = [(shift or {}).get((layer, t), 0.0) for layer in (1, 2, 3)]
            Z1 = self.X[t] @ W["W_xh1"] + H1 @ W["W_h1h1"] + W["b_h1"] + moved[0]
            H1 = np.tanh(Z1)
            Z2 = H1 @ W["W_h1h2"] + H2 @ W["W_h2h2"] + W["b_h2"] + moved[1]
            H2 = np.tanh(Z2)
            Z3 = H2 @ W["W_h2a"] + W["b_a"] + moved[2]
            A = np.exp(Z3) / np.exp(Z3).sum(axis=1, keepdims=True)
            L = -(self.Y[t] * np.log(A)).sum()
            for name, value in (("Z1", Z1), ("H1", H1), ("Z2", Z2), ("H2", H2), ("Z3", Z3), ("A", A), ("L", L)):
                out[name].append(value)
        return out


def random_case(seed: int = 0, steps: int = T) -> Case:
    """A case with a state that came in, so that H_{t-2} counts too."""
    rng = np.random.default_rng(seed)
    W = Parameters(Architecture(d, (h1, h2)), np.float64)
    W.vector[:] = 0.6 * rng.standard_normal(W.vector.size)
    X, Y = np.eye(d)[rng.integers(0, d, (2, steps, n))]
    return Case(W, X, Y, [0.5 * rng.standard_normal((n, h)) for h in (h1, h2)])


def by_weight(case: Case, name: str, loss: Callable[[list[Array]], Array]) -> Array:
    """∂ loss(L_1, L_2) / ∂ W[name], by complex step."""
    exact = np.empty_like(case.W[name])
    for i in np.ndindex(exact.shape):
        W = Parameters(case.W.architecture, complex, case.W.vector.astype(complex))
        W[name][i] += 1e-30j
        exact[i] = loss(case.run(W)["L"]).imag / 1e-30
    return exact


def by_Z(case: Case, layer: int, steps: list[int], loss: Callable[[list[Array]], Array]) -> Array:
    """∂ loss / ∂ Z of a layer at one step, or for a shift common to several, by complex step."""
    exact = np.empty((n, (h1, h2, d)[layer - 1]))
    W = Parameters(case.W.architecture, complex, case.W.vector.astype(complex))
    for i in np.ndindex(exact.shape):
        shift = np.zeros(exact.shape, complex)
        shift[i] = 1e-30j
        exact[i] = loss(case.run(W, {(layer, t): shift for t in steps})["L"]).imag / 1e-30
    return exact


class _Recording(RNN):
    """The program's cell, with the dZ that it computes kept: from the top layer down, each from the last step back."""

    def __init__(self) -> None:
        super().__init__("tanh")
        self.dZ: list[Array] = []

    def pull(self, W: Weights, dS: Array, K: Array, dZ: Array, dR: Array, direct: Array) -> None:
        """As the cell's, recorded."""
        super().pull(W, dS, K, dZ, dR, direct)
        self.dZ.append(dZ.copy())

    def of_layer(self, layer: int, layers: int, steps: int) -> Array:
        """dZ (T, n, h) of a layer, counted from 1."""
        start = (layers - layer) * steps
        return np.array(self.dZ[start : start + steps][::-1])


def program(case: Case, last_only: bool) -> tuple[Parameters, list[Array]]:
    """The program's ∂L/∂W, and its dZ (T, n, ·) of layers 1, 2 and the output; L as in §2.1 or as in §2.1.1."""
    steps = len(case.X)
    context, divisor = (steps - 1, 1 / n) if last_only else (0, steps / n)
    window = Window(np.ones(steps), context, divisor)
    ids, targets = case.X.argmax(2), case.Y.argmax(2)
    gradient = Parameters(case.W.architecture, np.float64)
    stack = Stack(case.W.architecture, np.float64)
    cell = stack.cell = _Recording()
    stack.loss_and_gradient(case.W, ids, targets[context:], case.H_0, window, gradient)
    A = stack.probabilities(case.W, stack.forward(case.W, ids, case.H_0))
    dO = (A - case.Y) / (1 if last_only else steps)
    return gradient, [cell.of_layer(1, 2, steps), cell.of_layer(2, 2, steps), dO]


def printed_2_1(case: Case) -> dict[str, Form]:
    """§2.1 (1) to (8), as printed, with t = 2."""
    W, out = case.W, case.run(case.W)
    H1, H2 = ([H_0, *out[name]] for H_0, name in zip(case.H_0, ("H1", "H2"), strict=True))
    t = 2
    phi1, phi2 = ([1 - H_k**2 for H_k in H] for H in (H1, H2))  # φ′(Z_k), for tanh
    X = [case.X[0] * 0, *case.X]  # X_1 is the first
    dZ3 = out["A"][1] - case.Y[1]
    dZ2 = (dZ3 @ W["W_h2a"].T) * phi2[t]
    dZ1 = (dZ2 @ W["W_h1h2"].T) * phi1[t]
    back2 = (dZ2 @ W["W_h2h2"]) * phi2[t - 1]  # printed without the transpose
    back1 = (dZ1 @ W["W_h1h1"]) * phi1[t - 1]
    return {
        "(1)": lambda: dZ3,
        "(2)": lambda: H2[t].T @ dZ3,
        "(3)": lambda: dZ2,
        "(4)": lambda: H1[t].T @ dZ2 + H1[t - 1].T @ back2,
        "(5)": lambda: H2[t - 1].T @ (H2[t - 1].T @ dZ2) + W["W_h2h2"].T @ (H2[t - 2].T @ back2),
        "(6)": lambda: dZ1,
        "(7)": lambda: X[t].T @ dZ1 + X[t - 1].T @ back1,
        "(8)": lambda: H1[t - 1].T @ (H1[t - 1].T @ dZ1) + W["W_h1h1"].T @ (H1[t - 2].T @ back1),
    }


def mended_2_1(case: Case) -> dict[str, Form]:
    """§2.1 (4), (5), (7) and (8), mended: W_hhᵀ carries errors back, and layer 1 at t−1 hears of layer 2 at t−1 too."""
    W, out = case.W, case.run(case.W)
    H1, H2 = ([H_0, *out[name]] for H_0, name in zip(case.H_0, ("H1", "H2"), strict=True))
    t = 2
    phi1, phi2 = ([1 - H_k**2 for H_k in H] for H in (H1, H2))  # φ′(Z_k), for tanh
    X = [case.X[0] * 0, *case.X]  # X_1 is the first
    dZ3 = out["A"][1] - case.Y[1]
    dZ2 = (dZ3 @ W["W_h2a"].T) * phi2[t]
    dZ1 = (dZ2 @ W["W_h1h2"].T) * phi1[t]
    back2 = (dZ2 @ W["W_h2h2"].T) * phi2[t - 1]
    back1 = (dZ1 @ W["W_h1h1"].T + back2 @ W["W_h1h2"].T) * phi1[t - 1]
    return {
        "(4)": lambda: H1[t].T @ dZ2 + H1[t - 1].T @ back2,
        "(5)": lambda: H2[t - 1].T @ dZ2 + H2[t - 2].T @ back2,
        "(7)": lambda: X[t].T @ dZ1 + X[t - 1].T @ back1,
        "(8)": lambda: H1[t - 1].T @ dZ1 + H1[t - 2].T @ back1,
    }


def printed_2_2(case: Case) -> Array:
    """§2.2, as printed: a product over k of all four factors, for each sequence of the batch."""
    W, out = case.W, case.run(case.W)
    H1 = [case.H_0[0], *out["H1"]]
    total = np.zeros((h1, h1))
    for i in range(n):
        for t in range(T):
            product = np.eye(d)
            for k in range(t, T):
                dphi2, dphi1 = np.diag(1 - out["H2"][k][i] ** 2), np.diag(1 - out["H1"][k][i] ** 2)
                product = product @ (W["W_h2a"].T @ dphi2 @ W["W_h1h2"].T @ dphi1)
            total += H1[t][i][:, None] * product
    return total


def equations(seed: int = 0) -> list[Equation]:
    """Every numbered equation of §1.1, §1.2, §2.1, §2.1.1 and §2.2, in the document's order."""
    return [*_forward(seed), *_last_step(seed), *_both_steps(seed), _any_T(seed)]


def _error(value: Array, exact: Array) -> float:
    if value.shape != exact.shape:
        raise ValueError(f"{value.shape} is not {exact.shape}")
    return float(np.abs(value - exact).max() / np.abs(exact).max())


def mended_2_2(case: Case) -> Array:
    """§2.2, mended: the factors of output and layer 2 once, in front; then one recurrent Jacobian for each step back,
    W_hhᵀ diag φ′, of layers 1 and 2 together, since in a stack the product is a sum over paths."""
    W, out = case.W, case.run(case.W)
    H1 = [case.H_0[0], *out["H1"]]
    total = np.zeros((h1, h1))
    for i in range(n):
        d1, d2 = ([1 - out[name][k][i] ** 2 for k in range(T)] for name in ("H1", "H2"))
        dZ2 = (out["A"][-1][i] - case.Y[-1][i]) @ W["W_h2a"].T * d2[-1]
        error = np.concatenate([dZ2 @ W["W_h1h2"].T * d1[-1], dZ2])  # dZ of layers 1 and 2 at the last step
        for t in range(T - 1, -1, -1):
            total += np.outer(H1[t][i], error[:h1])
            if t > 0:
                down = W["W_h2h2"].T * d2[t - 1]
                across = down @ W["W_h1h2"].T * d1[t - 1]
                own = W["W_h1h1"].T * d1[t - 1]
                error = error @ np.block([[own, np.zeros((h1, h2))], [across, down]])
    return total


def _row(
    section: str,
    equation: str,
    printed: Form,
    program_value: Array,
    exact: Array,
    note: str,
    mended: Form | None = None,
) -> Equation:
    try:
        printed_error: float | None = _error(printed(), exact)
    except ValueError:
        printed_error = None
    mended_error = None if mended is None else _error(mended(), exact)
    return Equation(section, equation, printed_error, mended_error, _error(program_value, exact), note)


def _forward(seed: int) -> list[Equation]:
    rows = []
    for section, steps in (("1.1", 1), ("1.2", T)):
        case = random_case(seed, steps)
        if section == "1.1":
            case.H_0 = [np.zeros_like(H) for H in case.H_0]
        W, out = case.W, case.run(case.W)
        stack = Stack(W.architecture, np.float64)
        tape = stack.forward(W, case.X.argmax(2), case.H_0)
        ours = [tape.layers[0].S.array[-1], tape.layers[1].S.array[-1], stack.probabilities(W, tape)[-1]]
        H1, H2 = ([H_0, *out[name]] for H_0, name in zip(case.H_0, ("H1", "H2"), strict=True))
        past = (H1[-2] @ W["W_h1h1"], H2[-2] @ W["W_h2h2"]) if section == "1.2" else (0.0, 0.0)
        Z3 = H2[-1] @ W["W_h2a"] + W["b_a"]
        forms = [
            np.tanh(case.X[-1] @ W["W_xh1"] + past[0] + W["b_h1"]),
            np.tanh(H1[-1] @ W["W_h1h2"] + past[1] + W["b_h2"]),
            np.exp(Z3 - Z3.max()) / np.exp(Z3 - Z3.max()).sum(axis=1, keepdims=True),
        ]
        note = "the stack at T = 1, H_0 = 0" if section == "1.1" else "as printed"
        for i, exact in enumerate((H1[-1], H2[-1], out["A"][-1])):
            rows.append(_row(section, f"({i + 1})", partial(forms.__getitem__, i), ours[i], exact, note))
    return rows


def _last_step(seed: int) -> list[Equation]:
    case = random_case(seed)
    gradient, dZ = program(case, last_only=True)
    forms, mended = printed_2_1(case), mended_2_1(case)

    def loss(L: list[Array]) -> Array:
        return L[-1]

    transpose = "W_hh for its transpose"
    twice = f"H_(t-1) stands twice; {transpose}, and a needless factor in front"
    path = "the path through layer 2 at t-1 is missing"
    rows = []
    for equation, what, note in (
        ("(1)", 3, "as printed"),
        ("(2)", "W_h2a", "as printed"),
        ("(3)", 2, "as printed"),
        ("(4)", "W_h1h2", f"{transpose}; h is h_1"),
        ("(5)", "W_h2h2", twice),
        ("(6)", 1, "h is h_1"),
        ("(7)", "W_xh1", f"{transpose}; {path}"),
        ("(8)", "W_h1h1", f"{twice}; {path}"),
    ):
        if isinstance(what, int):
            ours, exact = dZ[what - 1][-1], by_Z(case, what, [T - 1], loss)
        else:
            ours, exact = gradient[what], by_weight(case, what, loss)
        rows.append(_row("2.1", equation, forms[equation], ours, exact, note, mended.get(equation)))
    return rows


def _both_steps(seed: int) -> list[Equation]:
    case = random_case(seed)
    gradient, dZ = program(case, last_only=False)

    def mean(L: list[Array]) -> Array:
        return sum(L[1:], L[0]) / T

    def total(L: list[Array]) -> Array:
        return sum(L[1:], L[0])

    def only(t: int) -> Callable[[list[Array]], Array]:
        return lambda L: L[t]

    rows = []
    for equation, what, note in (
        ("(1)", 3, "as printed"),
        ("(2)", "W_h2a", "as printed"),
        ("(3)", 2, "with the losses of later steps in each term"),
        ("(4)", "W_h1h2", "W_hh2 is W_h1h2"),
        ("(5)", "W_h2h2", "as printed"),
        ("(6)", 1, "with the losses of later steps in each term"),
        ("(7)", "W_xh1", "as printed"),
        ("(8)", "W_h1h1", "as printed"),
    ):
        if isinstance(what, int):
            printed = sum(by_Z(case, what, [t], total) for t in range(T)) / T
            ours, exact = dZ[what - 1].sum(axis=0), by_Z(case, what, list(range(T)), mean)
        else:
            printed = sum(by_weight(case, what, only(t)) for t in range(T)) / T
            ours, exact = gradient[what], by_weight(case, what, mean)
        rows.append(_row("2.1.1", equation, partial(np.asarray, printed), ours, exact, note))
    return rows


def _any_T(seed: int) -> Equation:
    case = random_case(seed)
    gradient, _ = program(case, last_only=True)
    exact = by_weight(case, "W_h1h1", lambda L: L[-1])
    note = "the output factor belongs in front, once; the product is over the recurrent Jacobians"
    printed, mended = partial(printed_2_2, case), partial(mended_2_2, case)
    return _row("2.2", "–", printed, gradient["W_h1h1"], exact, note, mended)
