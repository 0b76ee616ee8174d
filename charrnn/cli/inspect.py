"""`charrnn inspect`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import Ckpt, Column, Encoding, check_utf8, chosen, text_or_run, whisper


def inspect(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="A run, a text, or a run and a text, a file, an address or - for standard input. Without a text it is "
            "measured on the run's own, without a run the newest good one is.",
            metavar="RUN, TEXT",
            show_default=False,
        ),
    ] = None,
    ckpt: Ckpt = None,
    lags: Annotated[int, typer.Option(min=1, help="Steps to look back.", metavar="INTEGER")] = 100,
    svg: Annotated[Path | None, typer.Option(help="Write the picture into this SVG file.", metavar="FILE")] = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the picture; left out, the checkpoint's path.", metavar="TEXT")
    ] = None,
    unknown: Annotated[str, typer.Option(help="Unknown characters: error, skip or replace.", metavar="NAME")] = "error",
    encoding: Encoding = None,
    column: Column = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show how far back the gradient of a model sees: its norm by lag, layer by layer.

    The line at 1 is the error where it is made, at lag 0. Columns that soon fall far below it are a vanishing gradient,
    those that stay near it a healthy one, and those that climb above it an exploding one.
    """
    check_utf8("--title", title or "")
    from charrnn import blas

    blas.configure()

    from charrnn.errors import ConfigError
    from charrnn.model import load
    from charrnn.report.lags import picture, table
    from charrnn.report.lags import svg as draw
    from charrnn.storage.durable import atomic_write_bytes
    from charrnn.text.corpus import encode_corpus
    from charrnn.text.pieces import pack
    from charrnn.text.reading import end_symbol
    from charrnn.text.tokenizer import check_unknown
    from charrnn.training.parts import own_text, reading_of, run_of
    from charrnn.verify.inspection import READ
    from charrnn.verify.inspection import inspect as measure

    check_unknown(unknown)
    text, ckpt = text_or_run(arguments, ckpt)
    path = chosen(ckpt)
    checkpoint, run = load(path), run_of(path)
    if text is not None:
        reading = replace(reading_of(run, encoding, column), between=end_symbol(checkpoint.piece_kind))
        corpus = encode_corpus([text], reading, tokenizer=checkpoint.tokenizer, unknown=unknown)
    elif run is not None:
        corpus = own_text(run, checkpoint.tokenizer)
    else:
        raise ConfigError(f"{path}: its own text is not known; name one, as in: charrnn inspect text.txt")
    whisper(corpus.notes)
    ids = pack(corpus.ids, checkpoint.tokenizer, checkpoint.piece_kind)
    reports = measure(checkpoint.parameters, ids[-READ:], lags, checkpoint.end)
    if svg is not None:
        atomic_write_bytes(svg, draw(reports, title if title is not None else f"gradient by lag: {path}").encode())
    if as_json:
        print(json.dumps({"layers": [vars(report) for report in reports]}, allow_nan=False))
        return

    from rich.console import Console

    Console(highlight=False).print(table(reports, lags))
    for report in reports:
        print(f"\nlayer {report.layer}: norm of dZ by lag, 1 is that at lag 0")
        print("\n".join(picture(report)))
