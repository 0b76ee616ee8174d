"""A model: weights, vocabulary and settings in one object. What `import charrnn` gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CharrnnError, CheckpointError, ConfigError, CorpusError
from charrnn.inference.pieces import Pieces, draw_pieces
from charrnn.inference.sampling import Choice, Sampler, until
from charrnn.inference.scoring import Score, begins, evaluate
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters, from_arrays
from charrnn.network.stack import Stack, State
from charrnn.network.truncation import Truncation, truncation
from charrnn.storage import checkpoint as checkpoints
from charrnn.text.pieces import SEPARATOR, end_symbol, pack
from charrnn.text.tokenizer import Tokenizer, check_unknown


@dataclass(frozen=True, eq=False)
class Gradient:
    """∂L/∂θ by the weights' names, for the mean loss in nats per character, and the state after the last step."""

    nats_per_char: float
    weights: dict[str, Array]
    state: State | None


@dataclass(eq=False)
class Model:
    """A network with its vocabulary, and the settings that it was trained with (plain values; empty if unknown).

    A state, which several methods take and give, is a list with an array for each layer: H (n, h),
    or H and C (2, n, h) of an lstm.
    """

    parameters: Parameters
    symbols: str
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def architecture(self) -> Architecture:
        """Sizes, cell and φ of the network."""
        return self.parameters.architecture

    def __repr__(self) -> str:
        a = self.architecture
        widths = ", ".join(map(str, a.hidden))
        return f"<Model: {a.cell} {widths}, {a.symbols} symbols, {self.parameters.vector.size:,} parameters>"

    @property
    def piece_kind(self) -> str:
        """Of the pieces that it was trained on, as of the setting `pieces`: none, lines, blank or files."""
        return str(self.settings.get("pieces", "none"))

    @property
    def end(self) -> int | None:
        """The id that ends a piece; None for a model that was not trained on pieces."""
        end = end_symbol(self.piece_kind)
        return self.symbols.index(end) if end and end in self.symbols else None

    def encode(self, text: str, unknown: str = "error", source: str = "text") -> Array:
        """The ids (len(text),) of a text; a character outside the vocabulary is an `error` (CorpusError, which lists
        it), or one to `skip` or `replace`."""
        check_unknown(unknown)
        return Tokenizer(self.symbols).encode(text, unknown=unknown, source=source)

    def stream(
        self, prompt: str = "", *, length: int | None = None, stop: str | Iterable[str] | None = None, **options: Any
    ) -> Characters:
        """Characters that go on from `prompt`, or from a line's beginning where there is none: without end, or `length`
        of them, or up to and with the first of the texts `stop`, one or several.

        A model that was trained on pieces writes one after another, the first of which begins with the prompt; what
        ends them is written as a line end, or as an empty line if they hold such.

        Options: each character is drawn from A^(1/`temperature`), of the `top_k` most probable ones (0: all) and the
        fewest that have the mass `top_p`; `greedy` always takes the most probable one. The same `seed` gives the same
        text. `state` is what was read before the prompt; `unknown` as of `encode`.
        """
        stops = self._stops(stop)
        return Characters(self._sampler(prompt, **options), self._written, length, stops)

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
        written = self._written
        return ["".join(_ended((written[i] for i in column), length, stops)) for column in columns.T]

    def pieces(
        self,
        count: int,
        *,
        known: Collection[str] = (),
        length: int = 10_000,
        tries: int | None = None,
        prompt: str = "",
        **options: Any,
    ) -> Pieces:
        """`count` pieces, each from its beginning (`prompt`, if given) to its end, which is not part of it; for a model
        that was trained on pieces.

        If anything is `known`, that is thrown away, and so is what was drawn before; as is a piece that is empty or has
        more than `length` characters. Fewer than `count` come back after so many `tries`; left out, these are 20 for
        each piece and 1000 at least. Options as of `stream`, without `state`. ConfigError for a model that does not
        know pieces.
        """
        _at_least(1, count=count, length=length)
        end = self.end
        if end is None:
            raise ConfigError(
                "pieces: the model was not trained on pieces; train one with pieces lines, blank or files"
            )
        seed = options.pop("seed", None)
        if seed is not None:
            _at_least(0, seed=seed)

        def sampler(n: int, turn: int) -> Sampler:
            of_turn = None if seed is None else int(np.random.SeedSequence([seed, turn]).generate_state(1)[0])
            return self._sampler(prompt, n=n, seed=of_turn, **options)

        def text(ids: list[int]) -> str:
            return prompt + "".join(self.symbols[i] for i in ids)

        return draw_pieces(sampler, text, end, count, known, length, tries or max(1000, 20 * count))

    @property
    def _written(self) -> Sequence[str]:
        """The symbols as they are written: the one that is never printed, as an empty line."""
        return [("\n\n" if c == SEPARATOR and self.piece_kind in ("blank", "files") else c) for c in self.symbols]

    def _stops(self, stop: str | Iterable[str] | None) -> tuple[str, ...]:
        """The texts to stop at; ConfigError for one that is never written."""
        stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
        for text in stops:
            if not text:
                raise ConfigError("stop: an empty text is found at once; give at least one character")
            unknown = next((c for c in text if c not in self.symbols), None)
            if unknown is not None:
                raise ConfigError(
                    f"stop {text!r}: the model does not know {unknown!r} (U+{ord(unknown):04X}) and never writes it; "
                    "give a text of characters that it knows"
                )
        return stops

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
        end = self.end
        if not prompt and state is None and end is None:
            prompt = "\n" if "\n" in self.symbols else self.symbols[0]
        if seed is not None:
            _at_least(0, seed=seed)
        state = self._own(state)
        ids = self.encode(prompt, unknown, "the prompt")
        if end is not None and state is None:
            ids = np.append(ids.dtype.type(end), ids)
        if not len(ids) and state is None:
            raise ConfigError("the prompt: no character of it is known to the model; give at least one that is")
        return Sampler(self.parameters, ids, seed, Choice(temperature, top_k, top_p, greedy), n, state, end)

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

        For a model that was trained on pieces the text is cut as that one was: every character of a piece is predicted,
        and its end (`text.pieces.pack` tells their order). With a `state` it is not cut, but read as it stands.
        """
        self._check(state)
        ids = self.encode(text, unknown)
        if state is None:
            ids = pack(ids, self.symbols, self.piece_kind)
        return self.score_ids(ids, state=state, streams=streams, workers=workers, keep=True, progress=progress)

    def score_ids(self, ids: Array, **options: Any) -> Score:
        """As `score`, for ids (N,); options as of `inference.scoring.evaluate`. ValueError for ids out of range."""
        options = {"end": self.end, **options, "state": self._own(options.get("state"))}
        ids = np.asarray(ids)
        if ids.ndim != 1 or not np.issubdtype(ids.dtype, np.integer):
            raise ValueError(f"ids must be integers (N,), are {ids.dtype} {ids.shape}")
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.symbols):
            raise ValueError(f"ids must be from 0 to {len(self.symbols) - 1}, are {ids.min()} to {ids.max()}")
        return evaluate(self.parameters, ids, **options)

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
        ids = self.encode(text, unknown)
        if state is None:
            ids = pack(ids, self.symbols, self.piece_kind)
        ids = ids.astype(np.intp)
        T = len(ids) - 1
        if T < 1:
            raise CorpusError(f"a text of length {len(ids)} has no loss; at least 2 characters are needed")
        made = replace(truncation, seq_length=T) if isinstance(truncation, Truncation) else _made(truncation, T, tau)
        window = made.draw(T, seed)
        window = replace(window, fresh=begins(ids[: len(window.gains), None], self.end))
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
        return checkpoints.Checkpoint(a.cell, a.hidden, a.activation, self.symbols, weights, self.settings)


class Characters(Iterator[str]):
    """Characters of one sample, as they are drawn."""

    def __init__(self, sampler: Sampler, symbols: Sequence[str], length: int | None, stops: tuple[str, ...]) -> None:
        self._sampler = sampler
        drawn = (symbols[int(ids[0])] for ids in sampler)
        self._drawn = drawn if length is None and not stops else _ended(drawn, length, stops)

    def __iter__(self) -> Iterator[str]:
        return self._drawn

    def __next__(self) -> str:
        return next(self._drawn)

    @property
    def state(self) -> State:
        """The state after all characters so far, to go on from."""
        return self._sampler.state


def _ended(characters: Iterator[str], length: int | None, stops: tuple[str, ...]) -> Iterator[str]:
    """The first `length` characters, or those up to and with the first of the texts `stops`."""
    most = sys.maxsize if length is None else length
    for stop in stops[1:]:
        characters = until(characters, most, stop)
    return until(characters, most, stops[0] if stops else None)


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
    return Model(parameters, checkpoint.symbols, checkpoint.settings)
