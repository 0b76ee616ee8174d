"""One small network on a few characters: every number of the forward and the backward pass, step by step.

The products are written out here, one step at a time; what happens inside a step is the cell's own `step`, `slopes` and
`pull`. The gradient that comes out is compared with that of the backward pass that training uses.
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass

import numpy as np

from charrnn.errors import ConfigError
from charrnn.network.buffers import Array, Buffers
from charrnn.network.output import softmax
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import Stack
from charrnn.network.truncation import Truncation, Window
from charrnn.text.tokenizer import Tokenizer

LONGEST, WIDEST, DEEPEST = 12, 8, 3  # characters, units and layers that can be followed by eye
RATE = 0.5  # of the one step of gradient descent at the end


@dataclass(frozen=True)
class Quantity:
    """A number (), row (k,) or matrix (m, k): its symbol, the formula that gives it, and what its rows stand for."""

    symbol: str
    formula: str
    value: Array
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Quantities that belong together, in the order in which they are computed."""

    title: str
    quantities: tuple[Quantity, ...]


@dataclass(frozen=True)
class Explanation:
    """Both passes over one text; losses in nats.

    cell: the documentation of the cell, with its equations. error: the largest difference between the gradient found
    here and that of the program, relative to the largest entry. after: the loss after one step of gradient descent with
    `rate`.
    """

    text: str
    symbols: str
    cell: str
    weights: Stage
    forward: tuple[Stage, ...]
    loss: float
    backward: tuple[Stage, ...]
    gradient: Stage
    error: float
    rate: float
    after: float


def explain(
    text: str,
    hidden: tuple[int, ...] = (3,),
    cell: str = "rnn",
    activation: str = "tanh",
    truncation: Truncation | None = None,
    seed: int = 1,
) -> Explanation:
    """Both passes of a random network in float64 over `text`, of which every character but the first is predicted.

    ConfigError for a text or a network too large to be followed, and for a truncation that is carried lag by lag.
    """
    if not 2 <= len(text) <= LONGEST:
        raise ConfigError(f"text: must have 2 to {LONGEST} characters, has {len(text)}")
    if len(hidden) > DEEPEST or max(hidden) > WIDEST:
        raise ConfigError(f"hidden {','.join(map(str, hidden))}: at most {DEEPEST} layers of {WIDEST} units are shown")
    symbols = "".join(sorted(set(text)))
    architecture = Architecture(len(symbols), hidden, activation, cell)
    parameters = initial(architecture, np.random.default_rng(seed), np.float64)
    ids = Tokenizer(symbols).encode(text).astype(np.intp)
    T = len(ids) - 1
    window = Window(np.ones(T), 0, T) if truncation is None else truncation.draw(T, seed)
    if window.lags is not None:
        raise ConfigError("truncation: errors carried lag by lag are not shown; choose full, fixed or random")
    steps = len(window.gains)  # random truncation may end earlier
    return _Walk(parameters, symbols, text[: steps + 1], ids[: steps + 1], window).explained()


class _Walk:
    """The two passes, quantity by quantity. Layers and steps are counted from 1; a step's arrays have no axis n."""

    def __init__(self, parameters: Parameters, symbols: str, text: str, ids: Array, window: Window) -> None:
        self.parameters, self.symbols, self.text, self.ids, self.window = parameters, symbols, text, ids, window
        self.architecture = parameters.architecture
        self.cell, self.L, self.T = self.architecture.made_cell, len(self.architecture.hidden), len(ids) - 1
        self.X = np.eye(len(symbols))[ids[:-1]]
        begun = [self.cell.begin(parameters.layer(i), 1)[..., 0, :] for i in range(1, self.L + 1)]
        self.S: list[list[Array]] = [begun]  # S[t][i−1]
        self.K: list[list[Array]] = []
        self.A: list[Array] = []

    def explained(self) -> Explanation:
        names = tuple(Quantity(name, "", self.parameters[name], self._row_names(name)) for name in self.parameters)
        forward = tuple(self._step_forward(t) for t in range(1, self.T + 1))
        loss = self._mean_loss()
        self.gradient = Parameters(self.architecture, np.float64)
        backward = self._backward()
        program = Parameters(self.architecture, np.float64)
        stack = Stack(self.architecture, np.float64)
        inputs, targets = self.ids[:-1, None], self.ids[1:, None]
        stack.loss_and_gradient(self.parameters, inputs, targets, None, self.window, program)
        error = float(np.abs(self.gradient.vector - program.vector).max() / (np.abs(program.vector).max() or 1.0))
        moved = Parameters(self.architecture, np.float64, self.parameters.vector - RATE * self.gradient.vector)
        after = float(stack.losses(moved, stack.forward(moved, inputs, None), targets).sum() / self.window.divisor)
        found = Stage(
            "gradients",
            tuple(
                Quantity(f"d{name}", self._sum_of(name), self.gradient[name], self._row_names(name))
                for name in self.parameters
            ),
        )
        return Explanation(
            self.text,
            self.symbols,
            self._about(),
            Stage("weights", names),
            forward,
            loss,
            backward,
            found,
            error,
            RATE,
            after,
        )

    def _about(self) -> str:
        """The documentation of the cell: the equations of its step, and of the errors."""
        kind = type(self.cell)
        return "\n\n".join(filter(None, map(inspect.getdoc, (sys.modules.get(kind.__module__), kind))))

    def _name(self, symbol: str, t: int, layer: int = 0) -> str:
        """As in Z_2, or Z²_2 in layer 2 of several."""
        return f"{symbol}{'⁰¹²³'[layer] if layer and self.L > 1 else ''}_{t}"

    def _weight(self, name: str, layer: int) -> str:
        return self.architecture.layer_names(layer)[name]

    def _row_names(self, name: str) -> tuple[str, ...]:
        return tuple(repr(symbol)[1:-1] for symbol in self.symbols) if name == "W_xh1" else ()

    def _by_gate(self, values: Array) -> Array:
        """A row (gates · h,) as (gates, h), or (h,) for one gate."""
        return values if self.cell.gates == 1 else values.reshape(self.cell.gates, -1)

    def _step_forward(self, t: int) -> Stage:
        character, target = self.text[t - 1], self.text[t]
        said = [Quantity(f"X_{t}", f"one-hot of {character!r}", self.X[t - 1])]
        below, symbol = self.X[t - 1], f"X_{t}"
        states, slopes = [], []
        gates = self.cell.gate_names
        for i in range(1, self.L + 1):
            W, S_before = self.parameters.layer(i), self.S[t - 1][i - 1]
            H_before = S_before if self.cell.states == 1 else S_before[0]
            Z = self._by_gate(below @ W["W_x"] + W["b"])
            R = self._by_gate(H_before @ W["W_hh"])
            W_x, W_hh, b = (self._weight(name, i) for name in ("W_x", "W_hh", "b"))
            said.append(Quantity(self._name("Z", t, i), f"{symbol} {W_x} + {b}", Z.copy(), gates))
            said.append(Quantity(self._name("R", t, i), f"{self._name('H', t - 1, i)} {W_hh}", R.copy(), gates))
            S, K = np.empty_like(S_before), np.empty(self._slopes_shape(i))
            self.cell.step(W, Z, R, S_before, S)
            if "Z" in self.cell.keeps:
                said.append(Quantity("gates", "of Z and R", Z.copy(), gates))
            self.cell.slopes(W, Z, R, S_before, S, K)
            Z_and_R = f"{self._name('Z', t, i)}, {self._name('R', t, i)}"
            by = f"φ({Z_and_R.replace(', ', ' + ')})" if self.cell.gates == 1 else "step of the cell"
            said.append(Quantity(self._name("S" if self.cell.states > 1 else "H", t, i), by, S, self.cell.state_names))
            below = S if self.cell.states == 1 else S[0]
            symbol = self._name("H", t, i)
            states.append(S)
            slopes.append(K)
        W_ha, b_a = self.parameters.output()
        logits = below @ W_ha + b_a
        A = softmax(logits[None].copy(), Buffers(np.float64))[0]
        self.S.append(states)
        self.K.append(slopes)
        self.A.append(A)
        said.append(Quantity(f"O_{t}", f"{symbol} W_h{self.L}a + b_a", logits))
        said.append(Quantity(f"A_{t}", f"softmax(O_{t})", A))
        said.append(Quantity(f"L_{t}", f"−ln A_{t}[{target!r}]", np.array(-np.log(A[self.ids[t]]))))
        return Stage(f"step {t}: {character!r} comes in, {target!r} should come out", tuple(said))

    def _slopes_shape(self, layer: int) -> tuple[int, ...]:
        h, k = self.architecture.hidden[layer - 1], self.cell.slopes_per_unit
        return (h,) if k == 1 else (k, h)

    def _mean_loss(self) -> float:
        losses = [-np.log(A[target]) for A, target in zip(self.A, self.ids[1:], strict=True)]
        return float(np.sum(losses) / self.window.divisor)

    def _backward(self) -> tuple[Stage, ...]:
        stages = []
        cell, gains = self.cell, self.window.gains
        from_next: list[Array | None] = [None] * self.L  # ∂L/∂S_t by way of step t+1, of each layer
        for t in range(self.T, 0, -1):
            Y = np.eye(len(self.symbols))[self.ids[t]]
            dO = (self.A[t - 1] - Y) / self.window.divisor
            said = [Quantity(f"dO_{t}", f"(A_{t} − Y_{t}) / {self.window.divisor:g}", dO)]
            W_ha, _ = self.parameters.output()
            H_top = self._H(t, self.L)
            dW_ha, db_a = self.gradient.output()
            dW_ha += np.outer(H_top, dO)
            db_a += dO
            dH, formula = dO @ W_ha.T, f"dO_{t} W_h{self.L}aᵀ"
            for i in range(self.L, 0, -1):
                W, dW, before = self.parameters.layer(i), self.gradient.layer(i), self.S[t - 1][i - 1]
                dS = np.zeros_like(before)
                (dS if cell.states == 1 else dS[0])[...] += dH
                later = from_next[i - 1]
                if later is not None:
                    dS += gains[t] * later
                    formula += self._handed_formula(t, i, gains[t])
                said.append(
                    Quantity(
                        f"d{self._name('S' if cell.states > 1 else 'H', t, i)}", formula, dS.copy(), cell.state_names
                    )
                )
                K, shape = self.K[t - 1][i - 1], self._by_gate(np.empty(W["b"].shape)).shape
                dZ = dS if cell.in_place else np.empty(shape)
                dR = dZ if cell.one_error else np.empty(shape)
                first, last = cell.carries or (0, 0)
                direct = np.empty_like(before if cell.states == 1 else before[first:last])
                direct = direct[0] if cell.states > 1 and last - first == 1 else direct
                cell.pull(W, dS, K, dZ, dR, direct)
                by = f"φ′({self._name('Z', t, i)} + {self._name('R', t, i)})" if cell.gates == 1 else "of the cell"
                said.append(Quantity(self._name("K", t, i), by, K))
                how = f"d{self._name('H', t, i)} ⊙ {self._name('K', t, i)}" if cell.gates == 1 else "pull of the cell"
                said.append(Quantity(f"d{self._name('Z', t, i)}", how, dZ.copy(), cell.gate_names))
                if not cell.one_error:
                    said.append(Quantity(f"d{self._name('R', t, i)}", how, dR.copy(), cell.gate_names))
                below = self.X[t - 1] if i == 1 else self._H(t, i - 1)
                dW["W_x"][...] += np.outer(below, dZ)
                dW["W_hh"][...] += np.outer(self._H(t - 1, i), dR)
                dW["b"][...] += dZ.ravel()
                cell.own_gradients(W, dS, K, dZ, dR, dW)
                from_next[i - 1] = self._handed_back(W, dR, direct, before)
                dH, formula = dZ.ravel() @ W["W_x"].T, f"d{self._name('Z', t, i)} {self._weight('W_x', i)}ᵀ"
            stages.append(Stage(f"step {t}", tuple(said)))
        if cell.learns_begin:
            for i in range(1, self.L + 1):
                dS_0 = from_next[i - 1]
                assert dS_0 is not None
                cell.begin_gradient(self.parameters.layer(i), dS_0[..., None, :], self.gradient.layer(i))
        return tuple(stages)

    def _handed_formula(self, t: int, layer: int, gain: float) -> str:
        """What step t+1 adds to the error of step t."""
        if gain == 0:
            return f" (cut: nothing from step {t + 1})"
        R = self._name("Z" if self.cell.one_error else "R", t + 1, layer)
        handed = f"d{R} {self._weight('W_hh', layer)}ᵀ" + (" + carried" if self.cell.carries else "")
        if gain == 1:
            return f" + {handed}"
        return f" + {gain:.3g} ({handed})"

    def _H(self, t: int, layer: int) -> Array:
        S = self.S[t][layer - 1]
        H: Array = S if self.cell.states == 1 else S[0]
        return H

    def _handed_back(self, W: object, dR: Array, direct: Array, before: Array) -> Array:
        """∂L/∂S_{t−1} by way of step t: dR_t W_hhᵀ for H, and what the cell carries."""
        handed = np.zeros_like(before)
        (handed if self.cell.states == 1 else handed[0])[...] = dR.ravel() @ W["W_hh"].T  # type: ignore[index]
        if self.cell.carries:
            first, last = self.cell.carries
            carried = handed if self.cell.states == 1 else handed[first:last]
            carried += direct
        return handed

    def _sum_of(self, name: str) -> str:
        """How the gradient of a weight is a sum over the steps."""
        if name == f"W_h{self.L}a":
            return f"Σ H{'⁰¹²³'[self.L] if self.L > 1 else ''}_tᵀ dO_t"
        if name == "b_a":
            return "Σ dO_t"
        for i in range(1, self.L + 1):
            layer = "⁰¹²³"[i] if self.L > 1 else ""
            below = "X" if i == 1 else f"H{'⁰¹²³'[i - 1]}"
            R = "Z" if self.cell.one_error else "R"
            sums = {
                "W_x": f"Σ {below}_tᵀ dZ{layer}_t",
                "W_hh": f"Σ H{layer}_{{t−1}}ᵀ d{R}{layer}_t",
                "b": f"Σ dZ{layer}_t",
            }
            for own, full in self.architecture.layer_names(i).items():
                if full == name:
                    return sums.get(own, "of the cell")
        raise KeyError(name)
