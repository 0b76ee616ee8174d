"""The training loop: a generator of steps. Showing and saving them is the consumer's business."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from charrnn import engine as engines
from charrnn.engine.batch import Batch, Dropout, StepResult, unwarned
from charrnn.errors import DivergedError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.network.stack import State
from charrnn.network.truncation import truncation
from charrnn.registry import OPTIMIZERS
from charrnn.storage import fields
from charrnn.text.batches import Streams
from charrnn.training.optimizers import Updater, clip
from charrnn.training.schedules import Progress, learning_rate_factor
from charrnn.training.settings import Settings

# Combined with the seed, so that each kind of chance has a generator of its own.
CUTS, DROPOUT, ORDER = 1, 2, 3
MOST_ROLLBACKS = 3


@dataclass(frozen=True)
class Step:
    """One update: its number from 1, mean loss in nats per character, gradient norm before clipping, rate used."""

    number: int
    loss: float
    gradient_norm: float
    learning_rate: float
    characters: int


class Trainer:
    """Everything that changes during training: weights, optimiser, hidden state, position, and progress.

    Nothing random is kept: each update draws from a generator seeded by (seed, kind, number of the update).
    """

    def __init__(
        self, config: Settings, symbols: int, streams: Streams, workers: int = 1, make: engines.Maker | None = None
    ) -> None:
        self.config = config = config.fitted(streams.steps_per_epoch)
        self.streams = streams
        self.architecture = Architecture(symbols, config.hidden, config.activation, config.cell)
        self.truncation = truncation(
            config.truncation, streams.seq_length, tau=config.tau, cut=config.cut, alpha=config.alpha
        )
        shards = min(config.resolved_shards, streams.batch_size)
        self.state: State | None = None  # None where the text begins
        self.step = 0
        self.epoch = 0
        self.position = 0  # of the next window in every stream
        self.seconds = 0.0  # of training, validation not counted
        self.plateaus = 0  # decays of the plateau schedule
        self.rollbacks = 0  # after divergence; each halves the rate
        self._ahead: tuple[StepResult, int, float] | None = None  # what `look_ahead` has computed
        with contextlib.ExitStack() as undo:
            self.engine = (make or engines.make)(self.architecture, config.dtype, shards, workers)
            undo.callback(self.engine.close)
            self.parameters, self.gradient = self.engine.parameters, self.engine.gradient
            initial(
                self.architecture, np.random.default_rng(config.seed), config.dtype, config.init, self.parameters.vector
            )
            size, dtype = self.parameters.vector.size, self.parameters.vector.dtype
            self.updater = Updater(OPTIMIZERS[config.optimizer](), size, dtype)
            self.average = Parameters(self.architecture, config.dtype) if config.average else None
            self._difference = np.empty(size if config.average else 0, dtype)
            self._matrices = np.concatenate(
                [np.full(view.size, view.ndim > 1) for view in (self.parameters[name] for name in self.parameters)]
            )
            undo.pop_all()

    @property
    def network(self) -> Parameters:
        """What is evaluated and kept as best: the weights, or their average (Polyak & Juditsky 1992)."""
        return self.parameters if self.average is None else self.average

    @property
    def epochs(self) -> float:
        """Passes through the text so far."""
        return self.epoch + self.position / self.streams.length

    def used(self, config: Settings | None = None) -> dict[str, float]:
        """How much of each limit of the run, or of another `config`, is used up, by the setting's name."""
        config, used = config or self.config, {}
        if config.steps is not None:
            used["max_steps"] = self.step / config.steps
        if config.epochs is not None:
            used["epochs"] = self.epochs / config.epochs
        if config.max_minutes is not None:
            used["max_minutes"] = self.seconds / (60 * config.max_minutes)
        return used

    def progress(self, config: Settings | None = None) -> float:
        """Share of the run that is done: 1 when the first of its limits, or those of another `config`, is reached."""
        return max(self.used(config).values())

    def learning_rate(self, config: Settings | None = None) -> float:
        """Of the next update; or what it would be with another `config`."""
        config = config or self.config
        progress = Progress(self.step, self.progress(config), self.plateaus, config.decay, config.decay_every)
        factor = learning_rate_factor(config.schedule, progress, config.warmup_steps or 0)
        return config.learning_rate * factor * 0.5**self.rollbacks

    def steps(self) -> Iterator[Step]:
        """Updates until a limit of the run is reached; DivergedError as of `update`."""
        while self.progress() < 1:
            yield self.update()

    @unwarned
    def update(self) -> Step:
        """One window of the text: forward, backward under the truncation, clip, optimise, hand the state on.

        DivergedError before the weights take a loss or gradient that is not finite, and after an update that leaves
        weights that are not finite: then the trainer is of no more use until it is restored.
        """
        rate = self.learning_rate()
        result, position, norm = self._look_ahead()
        self._ahead = None
        started = time.perf_counter()
        config, streams = self.config, self.streams
        weights = self.parameters.vector
        if config.weight_decay:
            np.multiply(weights, 1 - rate * config.weight_decay, out=weights, where=self._matrices)
        self.updater.update(weights, self.gradient.vector, rate, self.step + 1)
        if not math.isfinite(weights.dot(weights)):
            where = self._not_finite(self.parameters)
            raise self._diverged(f"the update, of a gradient of norm {norm:g}, makes weights too large{where}")
        if self.average is not None:
            np.subtract(self.parameters.vector, self.average.vector, out=self._difference)
            self._difference *= max(1 - config.average, 1 / (self.step + 1))  # at first the mean of all so far
            self.average.vector += self._difference
        characters = streams.batch_size * (position - self.position)
        self.state, self.position = result.state, position
        if self.position >= streams.length:
            self.epoch, self.position, self.state = self.epoch + 1, 0, None
        self.step += 1
        self.seconds += time.perf_counter() - started
        return Step(self.step, result.loss, norm, rate, characters)

    def _look_ahead(self) -> tuple[StepResult, int, float]:
        """What the next update will take: the result, the position after it, and the norm of the gradient before it was
        clipped. It is computed once, whoever asks first. DivergedError where loss or gradient are not finite."""
        if self._ahead is None:
            started = time.perf_counter()
            result, position = self.loss_and_gradient()
            norm = clip(self.gradient.vector, self.config.grad_clip, self.config.clip_mode)
            self.seconds += time.perf_counter() - started
            if not (math.isfinite(result.loss) and math.isfinite(norm)):
                where = self._not_finite(self.gradient)
                raise self._diverged(f"the loss is {result.loss:g} and the gradient norm {norm:g}{where}")
            self._ahead = result, position, norm
        return self._ahead

    look_ahead = unwarned(_look_ahead)

    def _diverged(self, what: str) -> DivergedError:
        rate, limit = self.learning_rate(), self.config.grad_clip
        clipping = f"a grad_clip below {limit:g}" if limit else "clipping (grad_clip 1)"
        return DivergedError(f"step {self.step + 1}: {what}; try a learning_rate below {rate:g}, or {clipping}")

    def _not_finite(self, values: Parameters) -> str:
        """In which layers weights or gradient hold numbers that are not finite; nothing if there are none."""
        names = [f"layer {i + 1}" for i in range(len(self.architecture.hidden))]
        layers = [values.layer(i + 1).values() for i in range(len(names))]
        held = zip([*names, "the output layer"], [*layers, values.output()], strict=True)
        found = [name for name, views in held if not all(np.isfinite(view).all() for view in views)]
        return f", not finite in {', '.join(found)}" if found else ""

    def loss_and_gradient(self) -> tuple[StepResult, int]:
        """The result of the next window, and the position after it; changes no weight. The gradient is left in
        `self.gradient`."""
        self._ahead = None  # its gradient is overwritten
        config, streams = self.config, self.streams
        remaining = streams.length - self.position
        window = self.truncation.window(self.position, remaining, (config.seed, CUTS, self.step))
        start = self.position - window.context
        stop = start + len(window.gains)
        inputs, targets = streams.read(self.epoch, start, stop)
        if streams.end is not None:
            window = replace(window, fresh=inputs == streams.end)
        keep = len(window.gains) - self.truncation.context(stop)
        batch = Batch(inputs, targets[window.context :], self.state, window, keep, self._dropout(), config.recompute)
        return self.engine.loss_and_gradient(batch), stop

    def _dropout(self) -> Dropout | None:
        config = self.config
        if not config.dropout:
            return None
        return Dropout(config.dropout, config.hidden, config.dtype, (config.seed, DROPOUT, self.step))

    def memory_bytes(self) -> int:
        """Bytes held now for weights, gradients, optimiser and all buffers."""
        average = 2 * self._difference.nbytes  # and the average itself
        return self.engine.memory_bytes() + self.updater.nbytes + self._matrices.nbytes + average

    def gradient_norms(self) -> list[float]:
        """Norm of the last gradient (after clipping) by layer from below, the output layer last."""
        views = self.gradient
        layers = [tuple(views.layer(i + 1).values()) for i in range(len(self.architecture.hidden))]
        return [float(np.sqrt(sum(float(np.vdot(v, v)) for v in layer))) for layer in [*layers, views.output()]]

    def snapshot(self) -> tuple[dict[str, Array], dict[str, object]]:
        """The arrays (not copied) and numbers that `restore` needs besides the weights."""
        arrays = {f"optimizer_{name}": slot for name, slot in self.updater.slots.items()}
        arrays |= {f"H{i}": H for i, H in enumerate(self.state or (), start=1)}
        arrays |= {"average": self.average.vector} if self.average is not None else {}
        numbers = ("step", "epoch", "position", "seconds", "plateaus", "rollbacks")
        return arrays, {name: getattr(self, name) for name in numbers}

    def restore(self, weights: Array, arrays: dict[str, Array], numbers: Mapping[str, object]) -> None:
        """Sets the trainer back to `snapshot`. ValueError, with nothing changed, for a wrong name, shape or number."""
        length, n = self.streams.length, self.streams.batch_size
        step, epoch = fields.whole(numbers, "step"), fields.whole(numbers, "epoch")
        position, plateaus = fields.whole(numbers, "position", 0, length - 1), fields.whole(numbers, "plateaus")
        seconds = fields.number(numbers, "seconds", 0.0)
        # An older charrnn wrote none.
        rollbacks = fields.whole(numbers, "rollbacks", 0, MOST_ROLLBACKS) if "rollbacks" in numbers else 0
        cell, hidden = self.architecture.made_cell, self.architecture.hidden
        expected = {f"optimizer_{name}": slot.shape for name, slot in self.updater.slots.items()}
        # The state precedes the next window's context; there is none if that reaches the beginning of the text.
        if position > self.truncation.context(position):
            expected |= {f"H{i}": cell.state_shape(n, h) for i, h in enumerate(hidden, start=1)}
        if self.average is not None:
            expected["average"] = self.average.vector.shape
        if set(arrays) != set(expected):
            raise ValueError(f"{', '.join(sorted(set(arrays) ^ set(expected)))} missing or unknown")
        for name, shape in expected.items():
            if arrays[name].shape != shape or arrays[name].dtype != self.parameters.vector.dtype:
                raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}, not {shape}")
        self.parameters.vector[...] = weights
        for name, slot in self.updater.slots.items():
            slot[...] = arrays[f"optimizer_{name}"]
        if self.average is not None:
            self.average.vector[...] = arrays["average"]
        self.state = [arrays[f"H{i}"] for i in range(1, len(hidden) + 1)] if "H1" in expected else None
        self.step, self.epoch, self.position = step, epoch, position
        self.plateaus, self.seconds, self.rollbacks, self._ahead = plateaus, seconds, rollbacks, None
