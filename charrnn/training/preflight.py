"""What a run will need, said before it starts: memory by formula, time by measuring a few steps."""

from __future__ import annotations

import time

from charrnn.network.buffers import STEPS
from charrnn.network.one_hot import DENSE
from charrnn.network.output import block_rows
from charrnn.network.stack import segment_length
from charrnn.training.loop import Trainer
from charrnn.training.optimizers import BLOCK, OPTIMIZERS


def memory_bytes(trainer: Trainer) -> int:
    """Bytes that training needs for weights, gradient, optimiser, and the buffers of forward and backward pass.

    A formula, within a tenth of what is measured (tests/test_preflight.py). For random truncation it is that of the
    mean window. The text itself, and the interpreter with its libraries (about 40 MB), come on top.
    """
    config, streams, cell = trainer.config, trainer.streams, trainer.stack.cell
    n, hidden, symbols = streams.batch_size, config.hidden, trainer.architecture.symbols
    size, P = trainer.parameters.vector.itemsize, trainer.parameters.vector.size
    tau = config.tau or 1
    T = streams.seq_length
    if config.truncation != "full":
        T = min(T + tau - 1, streams.length)
    k = segment_length(T) if config.truncation != "sliding" else T
    segments = -(-T // k)
    gates, states = cell.gates, cell.states
    widest, total_h = max(hidden), sum(hidden)
    X = symbols if symbols <= DENSE else 0

    kept = (1 if config.recompute else segments) * (k + 1) * n * states * total_h  # S of every layer
    if cell.keeps_Z:
        kept += (1 if config.recompute else segments) * k * n * gates * total_h
    if config.dropout:
        kept += (1 if config.recompute else segments) * k * n * total_h
    between = segments * n * states * total_h if segments > 1 else 0  # the states that segments begin with
    errors = max(hidden[0::2]) + max(hidden[1::2], default=0)  # dH of a layer, and of the one below it
    shared = k * n * (gates * widest + errors + widest + X) + n * widest  # Z, dH, φ′, X; H_{t-1} W_hh
    shared += 0 if X else k * n * hidden[0] * gates  # rows of dZ_1, sorted by symbol
    shared += k * n * widest if config.dropout else 0  # H, masked
    if config.truncation == "sliding":
        shared += k * n * (states * (2 * total_h + widest) + gates * total_h)  # E of two lags, dZ carried; the sums
    logits = min(k * n, block_rows(symbols)) * symbols
    weights = (2 + len(OPTIMIZERS[config.optimizer][1])) * P + min(P, BLOCK)  # and the optimiser's scratch
    weights += (trainer.stack.workers - 1) * P  # a gradient for each of the others
    each = gates * widest * widest + symbols * hidden[0] * gates  # W_hh, laid out for the loop; W_xh + b
    each += gates * widest * max(*hidden, X) if segments > 1 else 0  # a segment's gradient, before it is added
    weights += trainer.stack.workers * each
    views = 150 * (k + T % k) * min((1 if config.recompute else segments) * len(hidden) + 4, STEPS)  # steps of blocks
    ids = 2 * T * n * 8 + 6 * k * n * 8  # inputs and targets; their order by symbol
    return size * (kept + between + shared + logits + weights) + views + ids + P


def seconds_per_step(trainer: Trainer) -> float:
    """The time of one step, by running the first one's forward and backward pass without taking it.

    The quickest of up to six: of those after the first, a tenth of a second is enough. The first waits for the workers
    to start and touches the memory; where it takes long all the same, it is the only one.
    """

    def seconds() -> float:
        started = time.perf_counter()
        trainer.loss_and_gradient()
        return time.perf_counter() - started

    measured = [seconds()]
    while measured[0] < 2 and sum(measured[1:]) < 0.1 and len(measured) < 6:
        measured.append(seconds())
    return min(measured)


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
