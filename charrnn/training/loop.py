"""The training loop: a generator of steps. Showing and saving them is the consumer's business."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.errors import DivergedError
from charrnn.network import truncation
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import State, backward, cross_entropy, forward, zero_state
from charrnn.text.batches import Streams
from charrnn.training.config import TrainConfig
from charrnn.training.optimizers import Adam, clip_norm, learning_rate_at


@dataclass(frozen=True)
class Step:
    """One update: its number counted from 1, mean loss in nats per character, and gradient norm before clipping."""

    number: int
    loss: float
    gradient_norm: float


class Trainer:
    """Everything that changes during training: weights, optimiser, hidden state and position."""

    def __init__(self, config: TrainConfig, symbols: int, ids: Array) -> None:
        self.config = config
        self.streams = Streams(ids, config.batch_size, config.seq_length)
        architecture = Architecture(symbols, config.hidden, config.activation)
        self.parameters = initial(architecture, np.random.default_rng(config.seed), np.float32)
        self.optimizer = Adam(self.parameters.vector.size, self.parameters.vector.dtype)
        self.state: State = zero_state(self.parameters, self.streams.batch_size)
        self.step = 0

    def snapshot(self) -> dict[str, Array]:
        """The arrays beside the weights that `restore` needs to go on exactly; copies."""
        layers = {f"H_{i}": H.copy() for i, H in enumerate(self.state)}
        step = np.array(self.step, np.int64)
        return {"adam_m": self.optimizer.m.copy(), "adam_v": self.optimizer.v.copy(), "step": step, **layers}

    def restore(self, parameters: Parameters, arrays: dict[str, Array]) -> None:
        """Continues where `snapshot` was taken."""
        self.parameters.vector[...] = parameters.vector
        self.optimizer.m[...] = arrays["adam_m"]
        self.optimizer.v[...] = arrays["adam_v"]
        self.step = int(arrays["step"])
        self.state = [arrays[f"H_{i}"] for i in range(len(self.state))]

    def steps(self) -> Iterator[Step]:
        """Updates until `max_steps`; raises DivergedError before weights take a loss or gradient that is not finite."""
        config, T = self.config, self.streams.seq_length
        gains = truncation.full(T) if config.truncation == "full" else truncation.fixed(T, config.tau or T)
        gradient = Parameters(self.parameters.architecture, self.parameters.vector.dtype)
        while self.step < config.max_steps:
            if self.step % self.streams.steps_per_epoch == 0:
                self.state = zero_state(self.parameters, self.streams.batch_size)
            inputs, targets = self.streams.batch(self.step)
            tape = forward(self.parameters, inputs, self.state)
            loss = float(cross_entropy(tape, targets).mean())
            backward(self.parameters, tape, targets, gains, gradient)
            norm = clip_norm(gradient.vector, config.grad_clip)
            if not np.isfinite(loss) or not np.isfinite(norm):
                raise DivergedError(
                    f"step {self.step + 1}: loss {loss}, gradient norm {norm}; try a smaller --learning-rate"
                )
            rate = learning_rate_at(
                self.step, peak=config.learning_rate, warmup_steps=config.warmup_steps, max_steps=config.max_steps
            )
            self.optimizer.update(self.parameters.vector, gradient.vector, rate, self.step)
            self.state = tape.last_state()
            self.step += 1
            yield Step(self.step, loss, norm)
