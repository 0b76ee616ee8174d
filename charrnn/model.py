"""A model: weights, vocabulary and settings in one object. What `import charrnn` gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CharrnnError, CheckpointError, ConfigError, CorpusError
from charrnn.inference.sampling import Choice, Sampler, until
from charrnn.inference.scoring import Score, evaluate
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters, from_arrays, widened
from charrnn.network.stack import Stack, State
from charrnn.network.truncation import Truncation, truncation
from charrnn.storage import checkpoint as checkpoints
from charrnn.text.characters import normalized
from charrnn.text.tokenizer import Tokenizer, check_unknown, named


@dataclass(frozen=True, eq=False)
class Gradient:
    """∂L/∂θ by the weights' names, for the mean loss in nats per character, and the state after the last step."""

    nats_per_char: float
    weights: dict[str, Array]
    state: State | None


@dataclass(eq=False)
class Model:
    """A network with its vocabulary, and the settings that it was trained with (plain values; empty if unknown).

    A symbol is a code point, a grapheme or a byte, as `unit` says; texts are brought into the normal form `normalize`
    (none, nfc or nfkc) before they are cut into symbols. What is said of characters below holds for symbols.

    A state, which several methods take and give, is a list with an array for each layer: H (n, h),
    or H and C (2, n, h) of an lstm.
    """

    parameters: Parameters
    symbols: Sequence[str]
    settings: dict[str, object] = field(default_factory=dict)
    unit: str = "codepoint"
    normalize: str = "none"

    @property
    def architecture(self) -> Architecture:
        """Sizes, cell and φ of the network."""
        return self.parameters.architecture

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary."""
        return Tokenizer(self.symbols, self.unit, self.normalize)

    def __repr__(self) -> str:
        a = self.architecture
        widths = ", ".join(map(str, a.hidden))
        return f"<Model: {a.cell} {widths}, {a.symbols} symbols, {self.parameters.vector.size:,} parameters>"

    def encode(self, text: str, unknown: str = "error", source: str = "text") -> Array:
        """The ids (N,) of the N symbols of a text.

        A symbol outside the vocabulary is an `error` (CorpusError, which lists it), or one to `skip` or `replace`.
        """
        check_unknown(unknown)
        return self.tokenizer.encode(text, unknown=unknown, source=source)

    def stream(
        self, prompt: str = "", *, length: int | None = None, stop: str | Iterable[str] | None = None, **options: Any
    ) -> Characters:
        """Characters that go on from `prompt`, or from a line's beginning where there is none: without end, or `length`
        of them, or up to and with the first of the texts `stop`, one or several.

        Options: each character is drawn from A^(1/`temperature`), of the `top_k` most probable ones (0: all) and the
        fewest that have the mass `top_p`; `greedy` always takes the most probable one. The same `seed` gives the same
        text. `state` is what was read before the prompt; `unknown` as of `encode`.
        """
        stops = self._stops(stop)
        return Characters(self._sampler(prompt, **options), self.tokenizer, length, stops)

    def sample(self, length: int = 500, prompt: str = "", **options: Any) -> str:
        """`length` characters that go on from `prompt`, which is not part of them; or fewer, up to and with `stop`.

        The options are those of `stream`.
        """
        _at_least(0, length=length)
        return "".join(self.stream(prompt, length=length, **options))

    def samples(
        self,
        count: int,
        length: int = 500,
        prompt: str = "",
        *,
        stop: str | Iterable[str] | None = None,
        **options: Any,
    ) -> list[str]:
        """`count` samples side by side, many times faster than one after another."""
        _at_least(0, length=length)
        _at_least(1, count=count)
        stops = self._stops(stop)
        drawn = self._sampler(prompt, n=count, **options)
        columns = np.array(list(islice(drawn, length)), dtype=np.intp).reshape(length, count)
        return ["".join(_text(column.tolist(), self.tokenizer, length, stops)) for column in columns.T]

    def _stops(self, stop: str | Iterable[str] | None) -> tuple[str, ...]:
        """The texts to stop at; ConfigError for one that is never written."""
        stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
        for text in stops:
            if not text:
                raise ConfigError("stop: an empty text is found at once; give at least one character")
            unknown = next((c for c in self.tokenizer.cut(text) if c not in self.symbols), None)
            if unknown is not None:
                raise ConfigError(
                    f"stop {text!r}: the model does not know {named(unknown)} and never writes it; "
                    "give a text of characters that it knows"
                )
        return tuple(normalized(text, self.normalize) for text in stops)

    def _sampler(
        self,
        prompt: str,
        *,
        n: int = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        greedy: bool = False,
        seed: int | None = None,
        state: State | None = None,
        unknown: str = "error",
    ) -> Sampler:
        if not prompt and state is None:
            prompt = next((end for end in ("\n", "\r\n") if end in self.symbols), self.symbols[0])
        if seed is not None:
            _at_least(0, seed=seed)
        state = self._own(state)
        ids = self.encode(prompt, unknown, "the prompt")
        if not len(ids) and state is None:
            raise ConfigError("the prompt: no character of it is known to the model; give at least one that is")
        return Sampler(self.parameters, ids, seed, Choice(temperature, top_k, top_p, greedy), n, state)

    def score(
        self,
        text: str,
        *,
        state: State | None = None,
        unknown: str = "error",
        streams: int = 1,
        workers: int = 1,
        progress: Callable[[int], object] | None = None,
    ) -> Score:
        """How well the model predicts a text: `log_probabilities` (len(text) − 1,) in nats, and their mean.

        Every character but the first is predicted from those before it. With a `state`, that of a score before, the
        text goes on from there, and its first character is predicted too. More `streams` are faster, and not quite
        exact (`inference.scoring.evaluate`).
        """
        self._check(state)
        ids = self.encode(text, unknown)
        return self.score_ids(ids, state=state, streams=streams, workers=workers, keep=True, progress=progress)

    def score_ids(self, ids: Array, **options: Any) -> Score:
        """As `score`, for ids (N,); options as of `inference.scoring.evaluate`. ValueError for ids out of range."""
        options["state"] = self._own(options.get("state"))
        ids = np.asarray(ids)
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"ids must be integers (N,), are {ids.dtype} {ids.shape}")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.symbols):
            raise ValueError(f"ids must be from 0 to {len(self.symbols) - 1}, are {ids.min()} to {ids.max()}")
        return self.told_per_code_point(evaluate(self.parameters, ids, **options), ids)

    def told_per_code_point(self, score: Score, ids: Array) -> Score:
        """The score of the last symbols of the ids (N,), with the number of their code points, unless they are such."""
        if self.unit == "codepoint":
            return score
        return replace(score, code_points=self.tokenizer.code_points_in(ids[len(ids) - score.characters :]))

    def gradient(
        self,
        text: str,
        truncation: str | Truncation = "full",
        tau: int | None = None,
        *,
        state: State | None = None,
        seed: int = 0,
        unknown: str = "error",
    ) -> Gradient:
        """The gradient of the mean loss of a text, of which every character but the first is predicted.

        `truncation` is a name in `TRUNCATIONS`, with its `tau`, or a truncation of your own. CorpusError for a text of
        fewer than 2 characters. Random truncation gives one draw, by `seed`; the mean over
        seeds is the full gradient.
        """
        self._check(state)
        ids = self.encode(text, unknown).astype(np.intp)
        T = len(ids) - 1
        if T < 1:
            raise CorpusError(f"a text of length {len(ids)} has no loss; at least 2 characters are needed")
        made = replace(truncation, seq_length=T) if isinstance(truncation, Truncation) else _made(truncation, T, tau)
        window = made.draw(T, seed)
        into = Parameters(self.architecture, self.parameters.vector.dtype)
        steps = len(window.gains)
        total, kept = Stack(self.architecture, into.vector.dtype).loss_and_gradient(
            self.parameters, ids[:steps, None], ids[1 : steps + 1, None], self._own(state), window, into
        )
        return Gradient(total / steps, {name: into[name] for name in into}, kept)

    def _own(self, state: State | None) -> State | None:
        """A state in the precision of the weights; ValueError if it is none of one sequence."""
        self._check(state)
        return None if state is None else [np.asarray(S, self.parameters.vector.dtype) for S in state]

    def _check(self, state: State | None) -> None:
        """ValueError unless it is a state of one sequence."""
        cell = self.architecture.made_cell
        expected = [cell.state_shape(1, h) for h in self.architecture.hidden]
        if state is not None and [np.shape(S) for S in state] != expected:
            raise ValueError(f"a state must have arrays {expected}, has {[np.shape(S) for S in state]}")

    def grown(self, symbols: Sequence[str], init: str = "orthogonal", seed: int = 1) -> Model:
        """The same model with more symbols: `symbols`, sorted, which hold all of its own.

        The new ones have weights as at the start of a training, drawn by the way `init` with `seed`. What the model
        says of the others, relative to each other, stays as it was. ConfigError if a symbol of its own is missing.
        """
        if list(symbols) != sorted({*symbols, *self.symbols}):
            raise ConfigError("symbols: must be sorted, each once, and hold all that the model has")
        places = Tokenizer(symbols, self.unit).find(self.symbols)
        return replace(self, parameters=widened(self.parameters, len(symbols), places, init, seed), symbols=symbols)

    def astype(self, dtype: npt.DTypeLike) -> Model:
        """The same model with weights of another precision, float32 or float64; ConfigError for any other."""
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ConfigError(f"dtype {dtype}: must be float32 or float64")
        vector = self.parameters.vector.astype(dtype)
        return replace(self, parameters=Parameters(self.architecture, dtype, vector))

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint, whole or not at all. StorageError if the system fails."""
        checkpoints.save(Path(path), self.checkpoint())

    def checkpoint(self) -> checkpoints.Checkpoint:
        """The model as plain data."""
        a, weights = self.architecture, {name: self.parameters[name] for name in self.parameters}
        return checkpoints.Checkpoint(
            *(a.cell, a.hidden, a.activation, self.symbols, weights, self.settings),
            unit=self.unit,
            normalize=self.normalize,
        )


class Characters(Iterator[str]):
    """Characters of one sample, as they are drawn."""

    def __init__(self, sampler: Sampler, tokenizer: Tokenizer, length: int | None, stops: tuple[str, ...]) -> None:
        self._sampler = sampler
        self._drawn = _text((int(ids[0]) for ids in sampler), tokenizer, length, stops)

    def __iter__(self) -> Iterator[str]:
        return self._drawn

    def __next__(self) -> str:
        return next(self._drawn)

    @property
    def state(self) -> State:
        """The state after all characters so far, to go on from."""
        return self._sampler.state


def _text(ids: Iterable[int], tokenizer: Tokenizer, length: int | None, stops: tuple[str, ...]) -> Iterator[str]:
    """The text of the first `length` ids, or of those up to and with the first of the texts `stops`."""
    characters: Iterable[str] = filter(None, tokenizer.decoded(islice(ids, length)))
    for stop in stops:
        characters = until(characters, stop)
    return iter(characters)


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ConfigError(f"{name} {value}: must be at least {least}")


def _made(name: str, T: int, tau: int | None) -> Truncation:
    return truncation(name, T, tau=tau)


def load(path: str | Path) -> Model:
    """The model of a checkpoint file, or the best one of a run; CheckpointError if it is not exactly right."""
    return of_checkpoint(checkpoints.load(Path(path)), Path(path))


def of_checkpoint(checkpoint: checkpoints.Checkpoint, path: Path) -> Model:
    """The model that a checkpoint from `path` holds; CheckpointError if its weights do not fit each other."""
    try:
        architecture = Architecture(len(checkpoint.symbols), checkpoint.hidden, checkpoint.activation, checkpoint.cell)
        parameters = from_arrays(architecture, checkpoint.weights)
    except (ValueError, KeyError, CharrnnError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of charrnn ({error}); use another file") from error
    return Model(parameters, checkpoint.symbols, checkpoint.settings, checkpoint.unit, checkpoint.normalize)
