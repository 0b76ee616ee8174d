"""`charrnn eval`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.options import chosen
from charrnn.errors import CharrnnError, ConfigError, shown

if TYPE_CHECKING:
    from charrnn.inference.scoring import Score
    from charrnn.inference.yardsticks import Yardsticks
    from charrnn.model import Model
    from charrnn.training.parts import Parts
    from charrnn.training.run import Run

EXACT = 200_000  # characters up to which a part is scored as one stream
SIDE_BY_SIDE = 128  # streams of a longer one


def evaluate(
    file: Annotated[
        str | None,
        typer.Argument(
            help="Text file, directory, or - for standard input; left out, the run's own text.", show_default=False
        ),
    ] = None,
    ckpt: Annotated[
        Path | None, typer.Option(help="Checkpoint file or run directory; left out, the newest run.", metavar="PATH")
    ] = None,
    unknown: Annotated[str, typer.Option(help="Unknown characters: error, skip or replace.", metavar="NAME")] = "error",
    encoding: Annotated[str, typer.Option(help="Encoding of the text.", metavar="NAME")] = "utf-8",
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
    beside: Annotated[
        bool,
        typer.Option(
            "--yardsticks/--no-yardsticks",
            help="Set the score beside n-gram models and compressors, which learn from the run's training text.",
            show_default=False,
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a whole text: nats and bits per character, perplexity, accuracy."""
    if dtype not in (None, "float32", "float64"):
        raise ConfigError(f"--dtype {dtype}: must be float32 or float64")

    from charrnn import blas

    workers = blas.configure(shards=max(1, streams // 4), rows=min(streams, 32), h=256)

    from tqdm import tqdm

    from charrnn.model import load
    from charrnn.report.scores import lines, parts_lines, unknown_line
    from charrnn.text.tokenizer import check_unknown
    from charrnn.text.unknown import encode_counted
    from charrnn.training.parts import own_text, parts_of, run_of

    check_unknown(unknown)
    path = chosen(ckpt)
    model, run = load(path), run_of(path)
    if dtype:
        model = model.astype(dtype)
    missing = None
    if file is not None:
        corpus, missing = encode_counted([file], encoding, model.symbols, unknown)
    elif run is not None:
        corpus = own_text(run, model.symbols)
    else:
        raise ConfigError(f"{path}: its own text is not known; name one, as in: charrnn eval text.txt")

    def score(ids: Any, name: str, streams: int) -> Score:
        with tqdm(
            total=len(ids) - 1, unit="char", unit_scale=True, desc=name, disable=None, delay=1.0, leave=False
        ) as bar:
            return model.score_ids(ids, streams=streams, workers=workers, progress=bar.update)

    parts, scores = None, {}
    if run is not None and run.manifest().sha256 == corpus.sha256:
        print(f"this is the text of {shown(path)}: its parts are scored apart", file=sys.stderr)
        parts = parts_of(corpus, run.config({}), run.manifest().unknown)
        for name, ids, _ in parts.items():
            scores[name] = score(ids, name, streams if len(ids) <= EXACT else max(streams, SIDE_BY_SIDE))
    whole = None if file is None else score(corpus.ids, "whole", streams)
    compared = _compared(parts, scores, corpus.ids, whole)
    measured = _yardsticks(model, run, parts, compared[1]) if beside and compared else None
    sentences = _verdict(run if parts else None, compared[2], measured) if compared else []
    if as_json:
        told = {
            **({} if whole is None else whole.as_dict()),
            "unknown": missing and {**missing.as_dict(), "treatment": unknown},
            "parts": {name: part.as_dict() for name, part in scores.items()},
            "yardsticks": measured and measured.as_dict(),
            "verdict": sentences,
        }
        print(json.dumps(told, allow_nan=False))
        return
    for line in (*parts_lines(scores), *([] if whole is None else lines(whole))):
        sys.stdout.write(f"{line}\n")
    if missing and missing.count:
        sys.stdout.write(f"{unknown_line(missing, unknown)}\n")
    if compared and measured:
        _show_beside(compared[0], compared[2].nats_per_char, model.parameters.vector.size, measured)
    for sentence in sentences:
        sys.stdout.write(f"{sentence}\n")


def _compared(
    parts: Parts | None, scores: dict[str, Score], ids: Any, whole: Score | None
) -> tuple[str, Any, Score] | None:
    """Name, ids and score of the text that is set beside yardsticks: of a run's own, what it was not trained on."""
    if parts is not None:
        held_out = [(f"the {name} part", ids, scores[name]) for name, ids, _ in parts.items() if name != "training"]
        return held_out[0] if held_out else None
    return None if whole is None else ("this text", ids, whole)


def _yardsticks(model: Model, run: Run | None, parts: Parts | None, ids: Any) -> Yardsticks | None:
    """None, and a line that says why, where the training text is not to be had."""
    from charrnn.inference.yardsticks import expected_seconds, yardsticks
    from charrnn.training.parts import own_text, parts_of

    if run is None:
        print("no yardsticks: they learn from the training text, which only a run knows", file=sys.stderr)
        return None
    if parts is None:
        try:
            parts = parts_of(own_text(run, model.symbols), run.config({}), run.manifest().unknown)
        except CharrnnError as error:
            print(f"no yardsticks: {error}", file=sys.stderr)
            return None
    seconds = expected_seconds(len(parts.training), len(ids))
    if seconds > 5:
        print(f"measuring the yardsticks takes about {seconds:.0f} s (--no-yardsticks)", file=sys.stderr)
    return yardsticks(parts.training, ids, model.symbols)


def _verdict(run: Run | None, score: Score, measured: Yardsticks | None) -> list[str]:
    """The verdict on a score; on a `run`'s own text the course of its training is part of it."""
    from charrnn.inference.verdict import verdict

    history = run.metrics() if run else []
    rows = [row for row in history if "validation" in row]
    train = history[-1].get("train") if history else None
    losses, steps = [row["validation"] for row in rows], [row["step"] for row in rows]
    return verdict(score.nats_per_char, train, losses, measured, steps)


def _show_beside(name: str, nats: float, weights: int, measured: Yardsticks) -> None:
    from charrnn.report.yardsticks import growth_lines, lines

    sys.stdout.write(f"\nbits per character of {name}, from the worst to the best:\n")
    for line in (*lines(nats, weights, measured), "", *growth_lines(nats, weights, measured), ""):
        sys.stdout.write(f"{line}\n")
