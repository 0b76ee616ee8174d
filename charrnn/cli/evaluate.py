"""`charrnn eval`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.options import chosen
from charrnn.errors import ConfigError, CorpusError, shown

if TYPE_CHECKING:
    from charrnn.inference.scoring import Score

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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a whole text: nats and bits per character, perplexity, accuracy."""
    if dtype not in (None, "float32", "float64"):
        raise ConfigError(f"--dtype {dtype}: must be float32 or float64")

    from charrnn import blas

    workers = blas.configure(shards=max(1, streams // 4), rows=min(streams, 32), h=256)

    from tqdm import tqdm

    from charrnn.model import load
    from charrnn.report.scores import lines, parts_lines
    from charrnn.text.corpus import encode_corpus
    from charrnn.text.tokenizer import check_unknown
    from charrnn.training.parts import parts_of, run_of

    check_unknown(unknown)
    path = chosen(ckpt)
    model, run = load(path), run_of(path)
    if dtype:
        model = model.astype(dtype)
    if file is None:
        if run is None or "-" in run.manifest().corpus:
            raise ConfigError(f"{path}: its own text is not known; name one, as in: charrnn eval text.txt")
        manifest, settings = run.manifest(), run.config({})
        corpus = encode_corpus(manifest.corpus, settings.encoding, None, model.symbols, manifest.unknown)
    else:
        corpus = encode_corpus([file], encoding, None, model.symbols, unknown)

    def score(ids: Any, name: str, streams: int) -> Score:
        with tqdm(
            total=len(ids) - 1, unit="char", unit_scale=True, desc=name, disable=None, delay=1.0, leave=False
        ) as bar:
            return model.score_ids(ids, streams=streams, workers=workers, progress=bar.update)

    own = run is not None and run.manifest().sha256 == corpus.sha256
    if file is None and not own:
        raise CorpusError(f"{path}: its text is no longer the one it was trained on; name a text to score")
    scores = {}
    if run is not None and own:
        print(f"this is the text of {shown(path)}: its parts are scored apart", file=sys.stderr)
        parts = parts_of(corpus, run.config({}), run.manifest().unknown)
        for name in ("training", "validation", "test"):
            ids = getattr(parts, name)
            if len(ids) > 1:
                scores[name] = score(ids, name, streams if len(ids) <= EXACT else max(streams, SIDE_BY_SIDE))
    whole = None if file is None else score(corpus.ids, "whole", streams)
    if as_json:
        plain = {} if whole is None else whole.as_dict()
        print(json.dumps({**plain, "parts": {name: part.as_dict() for name, part in scores.items()}}, allow_nan=False))
        return
    for line in (*parts_lines(scores), *([] if whole is None else lines(whole))):
        sys.stdout.write(f"{line}\n")
