"""The training loop: a generator of steps. Showing and saving them is the consumer's business."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from charrnn.errors import DivergedError
from charrnn.network.buffers import Array
from charrnn.network.parallel import ParallelStack
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import State, zero_state
from charrnn.network.truncation import Policy
from charrnn.text.batches import Streams
from charrnn.training.config import TrainConfig
from charrnn.training.optimizers import Optimizer, clip, learning_rate_factor

# What the seed is combined with, so that one kind of chance does not depend on another.
CUTS, DROPOUT = 1, 2


@dataclass(frozen=True)
class Step:
    """One update: its number from 1, mean loss in nats per character, gradient norm before clipping, rate used."""

    number: int
    loss: float
    gradient_norm: float
    learning_rate: float
    characters: int


@dataclass(frozen=True)
class Dropout:
    """Inverted dropout: factors (T, n, h_l), 0 or 1 / (1 − rate), of one update; `seed` is the run's and its number."""

    rate: float
    hidden: tuple[int, ...]
    n: int
    dtype: str
    seed: tuple[int, int]

    def __call__(self, segment: int, layer: int, T: int) -> Array:
        run, step = self.seed
        rng = np.random.default_rng([run, DROPOUT, step, segment, layer])
        keep = 1 - self.rate
        mask: Array = (rng.random((T, self.n, self.hidden[layer - 1]), np.float32) < keep).astype(self.dtype)
        mask *= 1 / keep
        return mask


class Trainer:
    """Everything that changes during training: weights, optimiser, hidden state, position, and progress.

    Nothing random is kept: each update draws from a generator seeded by (seed, kind, number of the update).
    """

    def __init__(self, config: TrainConfig, symbols: int, streams: Streams, workers: int = 1) -> None:
        self.config = config
        self.streams = streams
        self.architecture = Architecture(symbols, config.hidden, config.activation, config.cell)
        self.policy = Policy(config.truncation, streams.seq_length, config.tau, config.cut, config.alpha)
        self.stack = ParallelStack(self.architecture, config.dtype, workers)
        rng = np.random.default_rng(config.seed)
        self.parameters = initial(self.architecture, rng, config.dtype, config.init, self.stack.weights)
        self.gradient = Parameters(self.architecture, config.dtype)
        self.optimizer = Optimizer(config.optimizer, self.parameters.vector.size, self.parameters.vector.dtype)
        self.state: State = zero_state(self.parameters, streams.batch_size)
        self.step = 0
        self.epoch = 0
        self.position = 0  # of the next window in every stream
        self.seconds = 0.0  # of training, validation not counted
        self.plateaus = 0  # decays of the plateau schedule
        self._matrices = np.concatenate(
            [np.full(view.size, view.ndim > 1) for view in (self.parameters[name] for name in self.parameters)]
        )

    @property
    def epochs(self) -> float:
        """Passes through the text so far."""
        return self.epoch + self.position / self.streams.length

    def used(self) -> dict[str, float]:
        """How much of each limit of the run is used up, by the setting's name."""
        config, used = self.config, {}
        if config.steps is not None:
            used["max_steps"] = self.step / config.steps
        if config.epochs is not None:
            used["epochs"] = self.epochs / config.epochs
        if config.max_minutes is not None:
            used["max_minutes"] = self.seconds / (60 * config.max_minutes)
        return used

    def progress(self) -> float:
        """Share of the run that is done: 1 when the first of its limits is reached."""
        return max(self.used().values())

    def learning_rate(self) -> float:
        """Of the next update."""
        config, progress = self.config, self.progress()
        decays = self.plateaus
        if config.schedule == "step":
            # Rounding must not put a decay one update late.
            decays = self.step // config.decay_every if config.decay_every else int(5 * progress + 1e-9)
        return config.learning_rate * learning_rate_factor(
            config.schedule,
            progress,
            decay=config.decay,
            decays=decays,
            step=self.step,
            warmup_steps=config.warmup_steps,
        )

    def steps(self) -> Iterator[Step]:
        """Updates until a limit of the run is reached.

        Raises DivergedError before the weights take a loss or gradient that is not finite.
        """
        while self.progress() < 1:
            yield self.update()

    def update(self) -> Step:
        """One window of the text: forward, backward under the truncation, clip, optimise, hand the state on."""
        started = time.perf_counter()
        config, streams = self.config, self.streams
        with np.errstate(over="ignore", invalid="ignore"):  # divergence is found in the loss and the gradient
            loss, kept, position, characters = self.loss_and_gradient()
            norm = clip(self.gradient.vector, config.grad_clip, config.clip_mode)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergedError(
                f"step {self.step + 1}: the loss is {loss:g} and the gradient norm {norm:g}; "
                "try a smaller --learning-rate or --grad-clip"
            )
        rate = self.learning_rate()
        if config.weight_decay:
            np.multiply(
                self.parameters.vector,
                1 - rate * config.weight_decay,
                out=self.parameters.vector,
                where=self._matrices,
            )
        self.optimizer.update(self.parameters.vector, self.gradient.vector, rate, self.step)
        self.state, self.position = kept, position
        if self.position >= streams.length:
            self.epoch, self.position = self.epoch + 1, 0
            self.state = zero_state(self.parameters, streams.batch_size)
        self.step += 1
        self.seconds += time.perf_counter() - started
        return Step(self.step, loss, norm, rate, characters)

    def loss_and_gradient(self) -> tuple[float, State, int, int]:
        """Of the next window, without taking it: loss, state to go on from, position after it, its characters.

        The gradient is left in `self.gradient`.
        """
        config, streams, policy = self.config, self.streams, self.policy
        remaining = streams.length - self.position
        truncation = policy.window(self.position, remaining, (config.seed, CUTS, self.step))
        start = self.position - truncation.context
        stop = start + len(truncation.gains)
        inputs, targets = streams.read(self.epoch, start, stop)
        loss, kept = self.stack.loss_and_gradient(
            self.parameters,
            inputs,
            targets[truncation.context :],
            self.state,
            truncation,
            self.gradient,
            masks=self._dropout() if config.dropout else None,
            keep=len(truncation.gains) - policy.context(stop),
            recompute=config.recompute,
        )
        return loss, kept, stop, streams.batch_size * (stop - self.position)

    def _dropout(self) -> Dropout:
        config = self.config
        return Dropout(config.dropout, config.hidden, self.streams.batch_size, config.dtype, (config.seed, self.step))

    def gradient_norms(self) -> list[float]:
        """Norm of the last gradient (after clipping) by layer from below, the output layer last."""
        views = self.gradient
        layers = [views.layer(i) for i in range(1, len(self.architecture.hidden) + 1)]
        return [float(np.sqrt(sum(float(np.vdot(v, v)) for v in layer))) for layer in [*layers, views.output()]]

    def snapshot(self) -> tuple[dict[str, Array], dict[str, object]]:
        """The arrays and the numbers beside the weights that `restore` needs to go on exactly."""
        arrays = {f"optimizer_{name}": slot for name, slot in self.optimizer.slots.items()}
        arrays |= {f"H{i}": H for i, H in enumerate(self.state, start=1)}
        numbers = ("step", "epoch", "position", "seconds", "plateaus")
        return arrays, {name: getattr(self, name) for name in numbers}

    def restore(self, weights: Array, arrays: dict[str, Array], numbers: dict[str, object]) -> None:
        """Continues where `snapshot` was taken; KeyError or ValueError where something is missing or misshapen."""
        self.parameters.vector[...] = weights
        for name, slot in self.optimizer.slots.items():
            slot[...] = arrays[f"optimizer_{name}"]
        for i, H in enumerate(self.state, start=1):
            H[...] = arrays[f"H{i}"]
        for name in ("step", "epoch", "position", "plateaus"):
            value = numbers[name]
            if not isinstance(value, int):
                raise ValueError(f"{name} is {value!r}")
            setattr(self, name, value)
        self.seconds = float(str(numbers["seconds"]))
