"""Influence balancing (Tallec & Ollivier 2017, §6.1): a parameter whose short-term and long-term effects disagree.

s_{t+1} = A s_t + θ v with A_ii = A_{i,i+1} = ½, v = +1 ten times, −1 thirteen times, and the loss ½ (s_t[0] − 1)². The
effect of θ on s[0] is positive over few steps and negative (−6) in the long run, so a gradient cut too early climbs
the wrong way. It is run here as what it is: a recurrent layer with φ the identity, W_hh = Aᵀ, W_xh = θ v and a constant
input, through the product's cell and truncation policies.
"""

from __future__ import annotations

import numpy as np

from charrnn.experiments import Result
from charrnn.network import layer
from charrnn.network.buffers import Array, Buffers
from charrnn.network.cells.rnn import RNN
from charrnn.network.layer import Errors
from charrnn.network.tape import LayerTape
from charrnn.network.truncation import Fixed, Random, Truncation, Window

H = 23
OPTIMUM = -1 / 6
A = 0.5 * np.eye(H) + 0.5 * np.eye(H, k=1)
V = np.array([1.0] * 10 + [-1.0] * 13)


def gradient(theta: float, s: Array, gains: Array, memory: Memory) -> tuple[float, Array]:
    """dL/dθ for the summed losses of one window (gains (T,)) that begins in the state s (1, H), and the last state."""
    cell, T, W = RNN("identity"), len(gains), {"W_hh": A.T}
    tape, errors = memory.of(T)
    tape.Z.array[...] = theta * V
    tape.S.array[0] = s
    layer.forward(cell, W, tape, memory.buffers)
    dH = errors.dS.array
    dH.fill(0)
    dH[:, 0, 0] = tape.after[:, 0, 0] - 1
    cell.slopes(W, tape.Z.array, tape.R.array, tape.before, tape.after, errors.K.array)
    layer.backward(cell, W, errors, Window(gains, 0, 1).crossings(T, 1), memory.buffers)
    return float((errors.dZ.array @ V).sum()), tape.S.array[-1].copy()


class Memory:
    """The arrays of one layer for windows of any length."""

    def __init__(self) -> None:
        self.buffers = Buffers(np.float64)

    def of(self, T: int) -> tuple[LayerTape, Errors]:
        """For T steps."""
        planes = self.buffers.planes
        dS = planes("dS", 1, T, 1, H)
        tape = LayerTape(planes("Z", 1, T, 1, H), planes("R", 1, 1, 1, H), planes("S", 1, T + 1, 1, H))
        return tape, Errors(dS, planes("K", 1, T, 1, H), dS, dS, planes("direct", 0, T, 1, H), None)


def run(truncation: Truncation, seed: int = 0, steps: int = 100_000) -> float:
    """θ after `steps` steps of the system, from 0.5, with the rate 3e-4/√k at the k-th update; ±∞ if it diverges."""
    theta, s, position, k = 0.5, np.ones((1, H)), 0, 0
    memory = Memory()
    while position < steps:
        k += 1
        gains = truncation.window(position, steps - position, (seed, k)).gains
        slope, s = gradient(theta, s, gains, memory)
        theta -= 3e-4 / k**0.5 * slope
        position += len(gains)
        if abs(theta) > 1000:
            return float(np.copysign(np.inf, theta))
    return theta


def experiment() -> Result:
    """Fixed blocks of 10, 50, 105 and 150 steps, and ARTBP of mean 16 with three cut schedules and five seeds each."""
    result = Result(["truncation", "θ after 100,000 steps (optimum −0.1667)", "succeeds"])

    def add(name: str, thetas: list[float]) -> None:
        good = sum(abs(theta - OPTIMUM) < 0.02 for theta in thetas)
        shown = ", ".join("diverges" if np.isinf(theta) else f"{theta:.4f}".replace("-", "−") for theta in thetas)
        result.rows.append([name, shown, f"{good} of {len(thetas)}"])

    for block in (10, 50, 105, 150):
        add(f"fixed, blocks of {block}", [run(Fixed(block, block))])
    for name, cut, alpha in (("constant", "constant", 4.0), ("α = 4", "polynomial", 4.0), ("α = 6", "polynomial", 6.0)):
        truncation = Random(1, 16, cut, alpha)
        add(f"ARTBP, mean 16, {name}", [run(truncation, seed) for seed in range(1, 6)])
    return result
