"""What a run will need, said before it starts: memory by formula, time by measuring two steps."""

from __future__ import annotations

import time

from charrnn.network.output import block_rows
from charrnn.network.stack import segment_length
from charrnn.training.loop import Trainer
from charrnn.training.optimizers import OPTIMIZERS


def memory_bytes(trainer: Trainer) -> int:
    """Bytes that training needs for its weights, gradient, optimiser and the buffers of forward and backward pass.

    Per step, sequence and unit: Z, H and, at the widest layer, dH (twice) and φ′. Random truncation: its mean window.
    """
    config, streams = trainer.config, trainer.streams
    n, T, hidden = streams.batch_size, streams.seq_length, config.hidden
    size = trainer.parameters.vector.itemsize
    steps = T
    if config.truncation == "random":
        steps = T + (config.tau or 1) - 1
    elif config.truncation != "full":
        steps = T + min((config.tau or 1) - 1, streams.length)
    k = segment_length(steps) if config.truncation != "sliding" else steps
    kept = k if config.recompute else steps
    states = trainer.stack.cell.states
    gates = trainer.stack.cell.gates
    rows, kept_rows = k * n, kept * n
    total = (3 + OPTIMIZERS[config.optimizer][1]) * trainer.parameters.vector.size * size
    total += kept_rows * sum(hidden) * (gates + states) * size  # Z, S
    if config.dropout:
        total += 2 * kept_rows * sum(hidden) * size  # masks, and H after them
    backward = rows * (max(hidden) + hidden[-1] + (max(hidden) if len(hidden) > 1 else 0))  # φ′ and dH
    if config.truncation == "sliding":
        backward += rows * (2 * sum(hidden) + max(hidden) + sum(hidden))  # E_k, E_{k-1}, handed, their sum
    total += backward * size
    symbols = trainer.architecture.symbols
    total += min(rows, block_rows(symbols)) * symbols * size  # A
    if config.recompute:
        total += (steps // k) * n * sum(hidden) * states * size
    return total


def seconds_per_step(trainer: Trainer) -> float:
    """The time of one step, by running the first one's forward and backward pass without taking it."""
    best = float("inf")
    for _ in range(2):
        started = time.perf_counter()
        trainer.loss_and_gradient()
        best = min(best, time.perf_counter() - started)
        if best > 1:
            break
    return best


def expected_seconds(trainer: Trainer) -> float:
    """The time that the rest of the run will take, without validation; the limits of the run are respected."""
    config = trainer.config
    step = seconds_per_step(trainer)
    estimates = []
    if config.steps is not None:
        estimates.append((config.steps - trainer.step) * step)
    if config.epochs is not None:
        estimates.append((config.epochs - trainer.epochs) * trainer.streams.length / trainer.streams.seq_length * step)
    if config.max_minutes is not None:
        estimates.append(60 * config.max_minutes - trainer.seconds)
    return max(min(estimates), 0.0)


def describe_bytes(count: float) -> str:
    """As in 3.2 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
