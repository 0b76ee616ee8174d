"""`charrnn eval`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import chosen
from charrnn.errors import ConfigError


def evaluate(
    file: Annotated[str, typer.Argument(help="Text file, directory, or - for standard input.")],
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
    from charrnn.text.corpus import encode_corpus
    from charrnn.text.tokenizer import check_unknown

    check_unknown(unknown)
    model = load(chosen(ckpt))
    if dtype:
        model = model.astype(dtype)
    ids = encode_corpus([file], encoding, None, model.symbols, unknown).ids
    with tqdm(total=len(ids) - 1, unit="char", unit_scale=True, disable=None, delay=1.0, leave=False) as bar:
        result = model.score_ids(ids, streams=streams, workers=workers, progress=bar.update).as_dict()
    if as_json:
        print(json.dumps(result, allow_nan=False))
        return
    names = {
        "nats_per_char": "nats per character",
        "bits_per_char": "bits per character",
        "perplexity": "perplexity",
        "accuracy": "accuracy",
        "characters": "characters predicted",
    }
    for name, words in names.items():
        value = result[name]
        sys.stdout.write(f"{words:<22}{value:>14,}\n" if name == "characters" else f"{words:<22}{value:>14.6f}\n")
