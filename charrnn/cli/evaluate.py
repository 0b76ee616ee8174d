"""`charrnn eval`."""

from __future__ import annotations

import json
import math
import sys
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli import terminal
from charrnn.cli.options import Ckpt, Column, Encoding, chosen, text_or_run, whisper
from charrnn.errors import CharrnnError, ConfigError, shown

if TYPE_CHECKING:
    from charrnn.inference.scoring import Score
    from charrnn.inference.yardsticks import Yardsticks
    from charrnn.model import Model
    from charrnn.report.per_character import Write
    from charrnn.training.parts import Parts
    from charrnn.training.run import Run

EXACT = 200_000  # characters up to which a part is scored as one stream
SIDE_BY_SIDE = 128  # streams of a longer one


def evaluate(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="A run, a text, or a run and a text: a file, a directory, an address, or - for standard input. "
            "Without a text the run's own is scored, without a run the newest good one scores.",
            metavar="RUN, TEXT",
            show_default=False,
        ),
    ] = None,
    ckpt: Ckpt = None,
    unknown: Annotated[str, typer.Option(help="Unknown characters: error, skip or replace.", metavar="NAME")] = "error",
    encoding: Encoding = None,
    column: Column = None,
    streams: Annotated[
        int,
        typer.Option(
            min=1,
            help="1 is exact. More read parts of the text side by side, each after a warm-up on the 256 characters "
            "before it: many times faster, and within 0.001 bits of exact.",
            metavar="INTEGER",
        ),
    ] = 1,
    dtype: Annotated[
        str | None, typer.Option(help="float32 or float64; left out, the checkpoint's own.", metavar="NAME")
    ] = None,
    dynamic: Annotated[
        float | None,
        typer.Option(
            help="Score a second time by dynamic evaluation at this learning rate, as 1e-4: the weights go on learning "
            "from what has been scored.",
            metavar="RATE",
        ),
    ] = None,
    beside: Annotated[
        bool,
        typer.Option(
            "--yardsticks/--no-yardsticks",
            help="Set the score beside n-gram models and compressors, which learn from the run's training text.",
            show_default=False,
        ),
    ] = True,
    per_char: Annotated[
        Path | None,
        typer.Option(
            help="Write what was thought of each character to this .csv or .jsonl; the text is read as one stream.",
            metavar="FILE",
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show the text's beginning, coloured by how much it surprised the network.")
    ] = False,
    show_length: Annotated[int, typer.Option(min=2, help="Characters that --show shows.", metavar="INTEGER")] = 2000,
    color: Annotated[
        str, typer.Option(help="auto (on a terminal, unless NO_COLOR is set), always or never.", metavar="NAME")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a whole text: nats and bits per character, perplexity, accuracy."""
    if dtype not in (None, "float32", "float64"):
        raise ConfigError(f"--dtype {dtype}: must be float32 or float64")
    if color not in ("auto", "always", "never"):
        raise ConfigError(f"--color {color}: must be auto, always or never")
    if show and as_json:
        raise ConfigError("--show and --json: only one of them can be given; --per-char has the same as data")

    from charrnn import blas

    workers = blas.configure(shards=max(1, streams // 4), rows=min(streams, 32), h=256)

    from charrnn.model import load
    from charrnn.report.per_character import check_suffix, writing
    from charrnn.report.scores import code_point, lines, parts_lines, short, unknown_line
    from charrnn.report.yardsticks import growth_lines
    from charrnn.report.yardsticks import lines as beside_lines
    from charrnn.text.pieces import pack
    from charrnn.text.reading import end_symbol
    from charrnn.text.tokenizer import check_unknown
    from charrnn.text.unknown import encode_counted
    from charrnn.training.parts import own_parts_of, own_text, reading_of, run_of
    from charrnn.training.result import verdict_on

    check_unknown(unknown)
    if dynamic is not None and not 0 < dynamic < math.inf:
        raise ConfigError(f"--dynamic {dynamic}: the rate must be above 0 and finite; 1e-4 is a good one")
    if per_char is not None:
        check_suffix(per_char)
    file, ckpt = text_or_run(arguments, ckpt)
    path = chosen(ckpt)
    model, run = load(path), run_of(path)
    if dtype:
        model = model.astype(dtype)
    missing, kind = None, model.piece_kind
    if file is not None:
        reading = replace(reading_of(run, encoding, column), between=end_symbol(kind))
        corpus, missing = encode_counted([file], reading, model.tokenizer, unknown)
    elif run is not None:
        corpus = own_text(run, model.tokenizer)
    else:
        raise ConfigError(f"{path}: its own text is not known; name one, as in: charrnn eval text.txt")
    whisper(corpus.notes)

    parts, scores, whole, text = None, {}, None, corpus.ids
    with nullcontext() if per_char is None else writing(per_char, model.tokenizer.names) as write:
        if run is not None and run.manifest().sha256 == corpus.sha256:
            print(f"this is the text of {shown(path)}: its parts are scored apart", file=sys.stderr)
            parts = own_parts_of(run, corpus)
            for name, ids, offset in parts.items():
                n = streams if len(ids) <= EXACT else max(streams, SIDE_BY_SIDE)
                scores[name] = _score(model, ids, name, offset, n, workers, write if file is None else None)
        if file is not None:
            text = pack(corpus.ids, model.tokenizer, kind)
            whole = _score(model, text, "whole", 0, streams, workers, write)
    learning: dict[str, Score] = {}
    if dynamic is not None:
        own = () if parts is None or file is not None else parts.items()
        texts = {"text": text} if file is not None else {n: part for n, part, _ in own if n != "training"}
        if not texts:
            raise ConfigError("--dynamic: the run has no validation or test text; name a text")
        learning = {name: _score_dynamically(model, ids, name, dynamic) for name, ids in texts.items()}
    held = None if parts is None else parts.held_out()
    compared = whole if parts is None else scores[held] if held else None
    ids = getattr(parts, held) if held else text
    measured = _yardsticks(model, run, parts, ids) if beside and compared else None
    history = run.metrics() if run and parts else []
    train = history[-1].get("train") if history else None
    sentences = verdict_on(compared, train, history, measured) if compared else []
    if as_json:
        told: dict[str, Any] = {
            **({} if whole is None else whole.as_dict()),
            "unknown": missing and {**missing.as_dict(), "treatment": unknown},
            "parts": {name: part.as_dict() for name, part in scores.items()},
            "dynamic": {"rate": dynamic, "scores": {n: score.as_dict() for n, score in learning.items()}}
            if learning
            else None,
            "yardsticks": measured and measured.as_dict(),
            "verdict": sentences,
        }
        print(json.dumps(told, allow_nan=False))
        return
    if show:
        _show_text(model, ids if file is None else text, show_length, color)
    for line in (*parts_lines(scores, model.unit), *([] if whole is None else lines(whole, model.unit))):
        sys.stdout.write(f"{line}\n")
    if learning:
        sys.stdout.write(f"dynamic evaluation, at a rate of {dynamic:g}:\n")
        for name, one in learning.items():
            sys.stdout.write(f"{name:<11}{short(one, model.unit)}\n")
    if missing and missing.count:
        sys.stdout.write(f"{unknown_line(missing, unknown)}\n")
    if compared and measured:
        sys.stdout.write(f"\nbits per {code_point(model.unit)} of the {held or 'text'}, from the worst to the best:\n")
        nats, weights = compared.nats_per_char, model.parameters.vector.size
        for line in (*beside_lines(nats, weights, measured), "", *growth_lines(nats, weights, measured), ""):
            sys.stdout.write(f"{line}\n")
    for sentence in sentences:
        terminal.tell(sentence)


def _score(model: Model, ids: Any, name: str, offset: int, streams: int, workers: int, write: Write | None) -> Score:
    """With `write`, as one stream, of which each character is written."""
    from tqdm import tqdm

    from charrnn.inference.surprise import Tally, surprises

    with tqdm(total=len(ids) - 1, unit="char", unit_scale=True, desc=name, disable=None, delay=1.0, leave=False) as bar:
        if write is None:
            return model.score_ids(ids, streams=streams, workers=workers, progress=bar.update)
        tally = Tally()
        for part in surprises(model.parameters, ids, progress=bar.update, end=model.end):
            tally.add(part)
            write(name, offset, part)
        return model.told_per_code_point(tally.score(), ids)


def _score_dynamically(model: Model, ids: Any, name: str, rate: float) -> Score:
    from tqdm import tqdm

    title = f"{name}, dynamic"
    with tqdm(
        total=len(ids) - 1, unit="char", unit_scale=True, desc=title, disable=None, delay=1.0, leave=False
    ) as bar:
        return model.score_ids(ids, dynamic=rate, progress=bar.update)


def _yardsticks(model: Model, run: Run | None, parts: Parts | None, ids: Any) -> Yardsticks | None:
    """None, and a line that says why, where the training text is not to be had."""
    from charrnn.inference.yardsticks import expected_seconds, yardsticks
    from charrnn.training.parts import own_parts

    if run is None:
        print("no yardsticks: they learn from the training text, which only a run knows", file=sys.stderr)
        return None
    if parts is None:
        try:
            parts = own_parts(run, model.tokenizer)
        except CharrnnError as error:
            print(f"no yardsticks: {error}", file=sys.stderr)
            return None
    seconds = expected_seconds(len(parts.training), len(ids))
    if seconds > 5:
        print(f"measuring the yardsticks takes about {seconds:.0f} s (--no-yardsticks)", file=sys.stderr)
    return yardsticks(parts.training, ids, model.tokenizer, model.end)


def _show_text(model: Model, ids: Any, length: int, color: str) -> None:
    from charrnn.inference.surprise import bits
    from charrnn.report.surprise import WIDTH, joined, legend
    from charrnn.report.surprise import shown as drawn

    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    beginning = ids[:length]
    if len(beginning) < len(ids):
        print(f"the first {length:,} of {len(ids):,} characters (--show-length)", file=sys.stderr)
    told = bits(model.parameters, beginning, model.end)
    # One more text where a character is cut off.
    texts, surprise = joined(model.tokenizer.decoded(beginning.tolist()), chain(told, repeat(0.0)))
    painted = color == "always" or (color == "auto" and terminal.colours())
    width = min(terminal.columns(sys.stdout), WIDTH)
    for line in (*drawn(texts, surprise, colour=painted, width=width), legend(painted), ""):
        sys.stdout.write(f"{line}\n")
