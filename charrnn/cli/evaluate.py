"""`charrnn eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    file: Annotated[str, typer.Argument(help="Text to score, or - for standard input.")],
    ckpt: Annotated[Path, typer.Option(help="Checkpoint file or run directory.")] = Path("runs/last"),
    unknown: Annotated[str, typer.Option(help="Unknown characters: error, skip or replace.")] = "error",
    encoding: Annotated[str, typer.Option(help="Encoding of the text.")] = "utf-8",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a whole text as one stream, exactly."""
    from charrnn.errors import ConfigError
    from charrnn.inference.evaluation import evaluate as score
    from charrnn.text.corpus import read_corpus
    from charrnn.text.tokenizer import UNKNOWN, Tokenizer
    from charrnn.training.checkpoint import load

    if unknown not in UNKNOWN:
        raise ConfigError(f"--unknown {unknown}: must be error, skip or replace")
    checkpoint = load(ckpt)
    ids = Tokenizer(checkpoint.symbols).encode(read_corpus([file], encoding), unknown=unknown, source=file)
    result = score(checkpoint.parameters, ids).as_dict()
    if as_json:
        print(json.dumps(result, allow_nan=False))
        return
    for name, value in result.items():
        print(f"{name:<15}{value:>14,.6g}" if name != "characters" else f"{name:<15}{value:>14,}")
