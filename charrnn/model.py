"""A model: weights, vocabulary and settings in one object. What `import charrnn` gives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from charrnn import arguments
from charrnn.errors import (
    CharrnnError,
    CheckpointError,
    ConfigError,
    CorpusError,
    DivergedError,
    UnknownNameError,
    shown,
)
from charrnn.inference.beam import beam_search
from charrnn.inference.dynamic import evaluate_dynamically
from charrnn.inference.pieces import Pieces, draw_pieces
from charrnn.inference.sampling import Choice, Sampler, Written, until
from charrnn.inference.scoring import Score, begins, evaluate
from charrnn.inference.surprise import ALTERNATIVES, Prediction, surprises
from charrnn.network.buffers import Array
from charrnn.network.parameters import Architecture, Parameters, from_arrays, widened
from charrnn.network.products import unflagged
from charrnn.network.stack import Stack, State
from charrnn.network.truncation import Truncation
from charrnn.network.truncation import truncation as named_truncation
from charrnn.registry import BYTES
from charrnn.storage import checkpoint as checkpoints
from charrnn.text.characters import normalized
from charrnn.text.pieces import pack
from charrnn.text.reading import SEPARATOR, end_symbol
from charrnn.text.tokenizer import Tokenizer, check_unknown, named

MOST_SAMPLES = 10**6  # side by side
MOST_BEAMS = 10**4
MOST_SEED = 2**63 - 1


class Options(TypedDict, total=False):
    """How text is drawn; what each means and is when left out says `Model.stream`."""

    temperature: float
    top_k: int
    top_p: float
    greedy: bool
    repetition_penalty: float
    seed: int | None
    state: State | None
    unknown: str


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
    or H and C (2, n, h) of an lstm. An argument that cannot be is a ConfigError; a state, ids or symbols that do not
    fit the network are a ValueError.
    """

    parameters: Parameters
    symbols: Sequence[str]
    settings: dict[str, object] = field(default_factory=dict)
    unit: str = "codepoint"
    normalize: str = "none"

    def __post_init__(self) -> None:
        if not isinstance(self.parameters, Parameters) or not isinstance(self.settings, dict):
            raise ValueError("parameters and settings must be Parameters and a dictionary")
        symbols, count = self.symbols, self.architecture.symbols
        if self.unit == "grapheme":
            rule = f"{count} different texts"
            good = isinstance(symbols, list | tuple) and all(isinstance(c, str) and c for c in symbols)
        elif self.unit == "byte":
            rule, good = "those of bytes, chr(0) to chr(255)", symbols == BYTES
        else:
            rule, good = f"text of {count} different characters", isinstance(symbols, str)
        if not good or not len(symbols) == len(set(symbols)) == count:
            raise ValueError(f"symbols {shown(symbols)}: must be {rule}")
        _ = self.tokenizer  # refuses another unit or normal form

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

    @property
    def piece_kind(self) -> str:
        """Of the pieces that it was trained on, as of the setting `pieces`: none, lines, blank or files."""
        return str(self.settings.get("pieces", "none"))

    @property
    def end(self) -> int | None:
        """The id that ends a piece; None for a model that was not trained on pieces."""
        end = self.tokenizer.number(end_symbol(self.piece_kind))
        return None if end < 0 else end

    def encode(self, text: str, unknown: str = "error", source: str = "text") -> Array:
        """The ids (N,) of the N symbols of a text.

        A symbol outside the vocabulary is an `error` (CorpusError, which lists it), or one to `skip` or `replace`.
        """
        check_unknown(unknown)
        return self.tokenizer.encode(arguments.text(source, text), unknown=unknown, source=source)

    def stream(
        self,
        prompt: str = "",
        *,
        length: int | None = None,
        stop: str | Iterable[str] | None = None,
        **options: Unpack[Options],
    ) -> Characters:
        """Characters that go on from `prompt`, or from a line's beginning where there is none: without end, or `length`
        of them, or up to and with the first of the texts `stop`, one or several.

        A model that was trained on pieces writes one after another, the first of which begins with the prompt; what
        ends them is written as a line end, or as an empty line if they hold such.

        Options: each character is drawn from A^(1/`temperature`) (1.0 where it is left out, the model's own
        probabilities; the command `charrnn sample` has 0.8), of the `top_k` most probable ones (0: all) and the
        fewest that have the mass `top_p`; `greedy` always takes the most probable one. A `repetition_penalty` above 1
        (1.2, say) makes it ever less probable that a passage of prompt or text goes on word for word, the longer it is
        already (`inference.repetition`). The same `seed` gives the same text. `state` is what was read before the
        prompt; `unknown` as of `encode`.
        """
        stops = self._stops(stop)
        length = None if length is None else _length(length)
        sampler = self._sampler(prompt, 1, options)
        return Characters(sampler, self._written((int(ids[0]) for ids in sampler), length, stops))

    def sample(
        self,
        length: int = 500,
        prompt: str = "",
        *,
        stop: str | Iterable[str] | None = None,
        **options: Unpack[Options],
    ) -> str:
        """`length` characters that go on from `prompt`, which is not part of them; or fewer, up to and with `stop`.

        The options are those of `stream`.
        """
        stops, length = self._stops(stop), _length(length)
        return self._text((int(ids[0]) for ids in self._sampler(prompt, 1, options)), length, stops)

    def samples(
        self,
        count: int,
        length: int = 500,
        prompt: str = "",
        *,
        stop: str | Iterable[str] | None = None,
        **options: Unpack[Options],
    ) -> list[str]:
        """`count` samples, at most a million, side by side, many times faster than one after another."""
        count, length = arguments.whole("count", count, 1, MOST_SAMPLES), _length(length)
        stops = self._stops(stop)
        drawn = self._sampler(prompt, count, options)
        columns = np.array(list(islice(drawn, length)), dtype=np.intp).reshape(length, count)
        return [self._text(column.tolist(), length, stops) for column in columns.T]

    def beam(
        self,
        count: int,
        length: int = 100,
        prompt: str = "",
        *,
        stop: str | Iterable[str] | None = None,
        state: State | None = None,
        unknown: str = "error",
    ) -> list[tuple[str, float]]:
        """The `count` most probable continuations of `prompt` that beam search finds, at most 10,000, each with its
        log-probability in nats: the most probable first, and never less probable than the greedy one.

        Each has `length` characters, or fewer, up to and with the first of the texts `stop`. Log-probabilities are
        those of the model, and not divided by the length: of texts that stop, short ones are preferred. There is no
        chance in it (`inference.beam.beam_search`). The other arguments are as of `stream`.
        """
        count, length = arguments.whole("count", count, 1, MOST_BEAMS), _length(length)
        stops, state = self._stops(stop), self._own(state)
        # A character has at most 4 bytes where bytes are the symbols, and at least one elsewhere.
        most = 4 * max(map(len, stops), default=0) + 4

        def ended(ids: tuple[int, ...]) -> bool:
            tail = ids[-most:]
            if self.unit == "byte" and not list(self.tokenizer.decoded(tail))[len(tail) - 1]:
                return False  # in the middle of a character
            written = list(self._written(tail, None, ()))
            # The last id may have written two characters, as the empty line between pieces.
            return any("".join(written[: len(written) - after]).endswith(stops) for after in (0, 1))

        ids = self._prompt(prompt, state, unknown)
        found = beam_search(self.parameters, ids, count, length, state, self.end, ended if stops else None)
        return [(self._text(beam.ids, None, stops), beam.log_probability) for beam in found]

    def pieces(
        self,
        count: int,
        *,
        known: Collection[str] = (),
        length: int = 10_000,
        tries: int | None = None,
        prompt: str = "",
        **options: Unpack[Options],
    ) -> Pieces:
        """`count` pieces, each from its beginning (`prompt`, if given) to its end, which is not part of it; for a model
        that was trained on pieces.

        If anything is `known`, that is thrown away, and so is what was drawn before; as is a piece that is empty or has
        more than `length` characters. Fewer than `count` come back after so many `tries`; left out, these are 20 for
        each piece and 1000 at least. Options as of `stream`, without `state`. ConfigError for a model that does not
        know pieces.
        """
        count, length = arguments.whole("count", count, 1, MOST_SAMPLES), arguments.whole("length", length, 1)
        tries = max(1000, 20 * count) if tries is None else arguments.whole("tries", tries, 1)
        if not isinstance(known, Collection):
            raise arguments.wrong("known", known, "a collection of texts")
        end = self.end
        if end is None:
            raise ConfigError(
                "pieces: the model was not trained on pieces; train one with pieces lines, blank or files"
            )
        seed = options.get("seed")
        if seed is not None:
            seed = arguments.whole("seed", seed, most=MOST_SEED)

        def sampler(n: int, turn: int) -> Sampler:
            of_turn = None if seed is None else int(np.random.SeedSequence([seed, turn]).generate_state(1)[0])
            return self._sampler(prompt, n, {**options, "seed": of_turn})

        begun = self.encode(prompt, options.get("unknown", "error"), "the prompt").tolist()

        def text(ids: list[int]) -> Written:
            written = self.tokenizer.decode(np.array(ids, np.intp))
            return Written(normalized(prompt, self.normalize) + written, [*begun, *ids])

        return draw_pieces(sampler, text, end, count, known, length, tries)

    def predictions(
        self, text: str, prompt: str = "", *, alternatives: int = ALTERNATIVES, unknown: str = "error"
    ) -> list[Prediction]:
        """What the model thinks of each symbol of a text that goes on from `prompt`, before it comes: its probability
        and rank, and the `alternatives` most probable symbols.

        The probabilities are the model's own, at temperature 1 and of all symbols, however the text was drawn. What
        `sample`, `samples`, `beam` or `pieces` gave is read as the very symbols that were written; any other text is
        cut into symbols as by `encode`, to which `unknown` belongs. Without a prompt it begins as a sample does, so
        that its first symbol is predicted too.
        """
        alternatives = arguments.whole("alternatives", alternatives, 1)
        before = self._prompt(prompt, None, unknown)
        ids = text.ids if isinstance(text, Written) else self.encode(text, unknown).tolist()
        if not len(ids):
            return []
        whole = np.concatenate([before.astype(np.intp), np.array(ids, np.intp)])
        parts = surprises(self.parameters, whole, alternatives, end=self.end)
        told = [one for part in parts for one in part.predictions(self.tokenizer.names)][-len(ids) :]
        texts = list(self.tokenizer.decoded(ids))
        texts[len(ids) - 1 :] = ["".join(texts[len(ids) - 1 :])]  # of a character that is cut off, one more
        return [replace(one, text=each) for one, each in zip(told, texts, strict=True)]

    def _text(self, ids: Iterable[int], length: int | None, stops: tuple[str, ...]) -> Written:
        """As `_written`, with the ids that were needed for it."""
        read: list[int] = []

        def noted() -> Iterator[int]:
            for i in ids:
                read.append(i)
                yield i

        return Written("".join(self._written(noted(), length, stops)), read)

    @property
    def _separated(self) -> bool:
        """Whether the symbol that ends a piece is written as an empty line."""
        return self.piece_kind in ("blank", "files")

    def _written(self, ids: Iterable[int], length: int | None, stops: tuple[str, ...]) -> Iterator[str]:
        """The text of the first `length` ids, or of those up to and with the first of the texts `stops`; for a symbol
        that is never printed, an empty line."""
        characters: Iterable[str] = self.tokenizer.decoded(islice(ids, length))
        if self.unit == "byte":  # one brings none, or two: U+FFFD for broken bytes before it, and its own
            characters = chain.from_iterable(characters)
        if self._separated:
            characters = chain.from_iterable("\n\n" if c == SEPARATOR else (c,) for c in characters)
        for stop in stops:
            characters = until(characters, stop)
        return iter(characters)

    def _stops(self, stop: str | Iterable[str] | None) -> tuple[str, ...]:
        """The texts to stop at; ConfigError for one that is never written."""
        if isinstance(stop, bytes) or not isinstance(stop, str | Iterable | None):
            raise arguments.wrong("stop", stop, "text, or several")
        stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
        writes = list(self.symbols)
        if self._separated:
            writes = [symbol for symbol in writes if symbol != SEPARATOR] + ["\n"]
        for text in stops:
            if not isinstance(text, str) or not text:
                raise arguments.wrong("stop", text, "text of at least one character")
            written = self.tokenizer.cut(text)
            unknown = next((c for c in written if not any(symbol.endswith(c) for symbol in writes)), None)
            if unknown is not None:
                raise ConfigError(
                    f"stop {text!r}: the model does not know {named(unknown)} and never writes it; "
                    "give a text of characters that it knows"
                )
        return tuple(normalized(text, self.normalize) for text in stops)

    def _sampler(self, prompt: str, n: int, options: Options) -> Sampler:
        unknown_options = set(options) - set(Options.__annotations__)
        if unknown_options:
            raise ConfigError(f"unknown option {min(unknown_options)}; there are {', '.join(Options.__annotations__)}")
        state, seed = self._own(options.get("state")), options.get("seed")
        if seed is not None:
            seed = arguments.whole("seed", seed, most=MOST_SEED)
        chosen = {name: options[name] for name in Choice.__annotations__ if name in options}  # type: ignore[literal-required]
        ids = self._prompt(prompt, state, options.get("unknown", "error"))
        return Sampler(self.parameters, ids, seed, Choice(**chosen), n, state, self.end)

    def _prompt(self, prompt: str, state: State | None, unknown: str) -> Array:
        """The ids that are read before anything is written."""
        end = self.end
        if prompt == "" and state is None and end is None:
            prompt = next((c for c in ("\n", "\r\n") if self.tokenizer.number(c) >= 0), self.symbols[0])
        ids = self.encode(prompt, unknown, "the prompt")
        if end is not None and state is None:
            ids = np.append(ids.dtype.type(end), ids)
        if not len(ids) and state is None:
            raise ConfigError("the prompt: no character of it is known to the model; give at least one that is")
        return ids

    def score(
        self,
        text: str,
        *,
        state: State | None = None,
        unknown: str = "error",
        streams: int = 1,
        workers: int = 1,
        dynamic: float | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Score:
        """How well the model predicts a text: `log_probabilities` (len(text) − 1,) in nats, and their mean.

        Every character but the first is predicted from those before it. With a `state`, that of a score before, the
        text goes on from there, and its first character is predicted too. More `streams` are faster, and not quite
        exact (`inference.scoring.evaluate`).

        `dynamic` is the learning rate of dynamic evaluation, 1e-4 for example: a copy of the weights goes on learning
        from what has been scored (`inference.dynamic`). It is read from its beginning, as one stream.

        For a model that was trained on pieces the text is cut as that one was: every character of a piece is predicted,
        and its end (`text.pieces.pack` tells their order). With a `state` it is not cut, but read as it stands.
        """
        ids = self.encode(text, unknown)
        if state is None:
            ids = pack(ids, self.tokenizer, self.piece_kind)
        if dynamic is None:
            return self.score_ids(ids, state=state, streams=streams, workers=workers, keep=True, progress=progress)
        if state is not None or streams != 1:
            raise ConfigError(
                "dynamic: the text is read from its beginning, as one stream; leave state and streams out"
            )
        return self.score_ids(ids, dynamic=dynamic, keep=True, progress=progress)

    def score_ids(
        self, ids: npt.ArrayLike, *, state: State | None = None, dynamic: float | None = None, **options: Any
    ) -> Score:
        """As `score`, for ids (N,); options as of `inference.scoring.evaluate`, or of `evaluate_dynamically` with
        a rate `dynamic`. ValueError for ids out of range."""
        options = {"end": self.end, **options}
        found = _numbers(ids)
        if not found.size:
            found = found.astype(np.intp)  # an empty list has no whole numbers to tell it by
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise ValueError(f"ids must be whole numbers (N,), are {found.dtype} {found.shape}")
        if len(found) and not 0 <= int(found.min()) <= int(found.max()) < len(self.symbols):
            raise ValueError(f"ids must be from 0 to {len(self.symbols) - 1}, are {found.min()} to {found.max()}")
        if dynamic is None:
            score = evaluate(self.parameters, found, state=self._own(state), **options)
        else:
            score = evaluate_dynamically(self.parameters, found, dynamic, **options)
        return self.told_per_code_point(score, found)

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

        `truncation` is a name in `TRUNCATIONS`, with its `tau`, or a truncation of your own, which has its own.
        CorpusError for a text of fewer than 2 characters. Random truncation gives one draw, by `seed`; the mean over
        seeds is the full gradient.
        """
        seed, state = arguments.whole("seed", seed, most=MOST_SEED), self._own(state)
        ids = self.encode(text, unknown)
        if state is None:
            ids = pack(ids, self.tokenizer, self.piece_kind)
        ids = ids.astype(np.intp)
        T = len(ids) - 1
        if T < 1:
            raise CorpusError(f"a text of length {len(ids)} has no loss; at least 2 characters are needed")
        if not isinstance(truncation, Truncation):
            made = named_truncation(truncation, T, tau=tau)
        elif tau is None:
            made = replace(truncation, seq_length=T)
        else:
            raise ConfigError("tau: a truncation that is given as an object has its own; leave tau out")
        window = made.draw(T, seed)
        window = replace(window, fresh=begins(ids[: len(window.gains), None], self.end))
        if not np.isfinite(self.parameters.vector).all():
            raise DivergedError("a weight is not finite, so that there is no gradient; load another checkpoint")
        into = Parameters(self.architecture, self.parameters.vector.dtype)
        steps = len(window.gains)
        compute = unflagged(Stack(self.architecture, into.vector.dtype).loss_and_gradient)
        total, kept = compute(self.parameters, ids[:steps, None], ids[1 : steps + 1, None], state, window, into)
        return Gradient(total / steps, {name: into[name] for name in into}, kept)

    def _own(self, state: State | None) -> State | None:
        """A state of one sequence, in the precision of the weights; ValueError that says why it is none."""
        if state is None:
            return None
        cell, dtype = self.architecture.made_cell, self.parameters.vector.dtype
        expected = [cell.state_shape(1, h) for h in self.architecture.hidden]
        arrays = [_numbers(S) for S in state] if isinstance(state, list | tuple | np.ndarray) else []
        if [S.shape for S in arrays] != expected:
            given = [S.shape for S in arrays] if arrays else shown(state)
            raise ValueError(f"a state must have arrays {expected}, has {given}")
        with np.errstate(over="ignore"):
            own = [S.astype(dtype) if S.dtype.kind in "iuf" else None for S in arrays]
        if not all(S is not None and np.isfinite(S).all() for S in own):
            raise ValueError("a state must have arrays of finite real numbers")
        return [S for S in own if S is not None]

    def grown(self, symbols: Sequence[str], init: str = "orthogonal", seed: int = 1) -> Model:
        """The same model with more symbols: `symbols`, sorted, which hold all of its own.

        The new ones have weights as at the start of a training, drawn by the way `init` with `seed`. What the model
        says of the others, relative to each other, stays as it was. ConfigError if a symbol of its own is missing.
        """
        listed = isinstance(symbols, str | list | tuple) and all(isinstance(symbol, str) for symbol in symbols)
        if not listed or list(symbols) != sorted({*symbols, *self.symbols}):
            raise ConfigError("symbols: must be sorted, each once, and hold all that the model has")
        places = Tokenizer(symbols, self.unit).find(self.symbols)
        return replace(self, parameters=widened(self.parameters, len(symbols), places, init, seed), symbols=symbols)

    def astype(self, dtype: npt.DTypeLike) -> Model:
        """The same model with weights of another precision, float32 or float64; ConfigError for any other."""
        try:
            known = dtype is not None and np.dtype(dtype) in (np.float32, np.float64)
        except TypeError:
            known = False
        if not known:
            raise ConfigError(f"dtype {shown(dtype)}: must be float32 or float64")
        vector = self.parameters.vector.astype(dtype)
        return replace(self, parameters=Parameters(self.architecture, dtype, vector))

    def save(self, path: str | Path) -> None:
        """Writes a checkpoint, whole or not at all. StorageError if the system fails."""
        checkpoints.save(arguments.path("path", path), self.checkpoint())

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

    def __init__(self, sampler: Sampler, drawn: Iterator[str]) -> None:
        self._sampler = sampler
        self._drawn = drawn

    def __next__(self) -> str:
        return next(self._drawn)

    @property
    def state(self) -> State:
        """The state after all characters so far, to go on from."""
        return self._sampler.state


def _length(length: object) -> int:
    if isinstance(length, str):
        raise ConfigError(
            f"length {shown(repr(length))}: must be a whole number; the prompt comes second, as in sample(200, 'The ')"
        )
    return arguments.whole("length", length)


def _numbers(values: npt.ArrayLike) -> Array:
    """The array of some values; of no shape and type `object` where they are none."""
    try:
        return np.asarray(values)
    except ValueError:  # lists that differ in length
        return np.array(None)


def load(path: str | Path) -> Model:
    """The model of a checkpoint file, or the best one of a run; CheckpointError if it is not exactly right."""
    found = arguments.path("path", path)
    return of_checkpoint(checkpoints.load(found), found)


def of_checkpoint(checkpoint: checkpoints.Checkpoint, path: Path) -> Model:
    """The model that a checkpoint from `path` holds; CheckpointError if its weights do not fit each other."""
    try:
        architecture = Architecture(len(checkpoint.symbols), checkpoint.hidden, checkpoint.activation, checkpoint.cell)
        parameters = from_arrays(architecture, checkpoint.weights)
    except UnknownNameError as error:
        raise CheckpointError(f"{path}: {error}; import the module that registers it") from error
    except (ValueError, KeyError, CharrnnError) as error:
        raise CheckpointError(f"{path}: not a checkpoint of charrnn ({error}); use another file") from error
    return Model(parameters, checkpoint.symbols, checkpoint.settings, checkpoint.unit, checkpoint.normalize)
