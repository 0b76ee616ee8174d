"""`charrnn sample`."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Annotated

import typer


def sample(
    ckpt: Annotated[Path, typer.Option(help="Checkpoint file or run directory.")] = Path("runs/last"),
    length: Annotated[int, typer.Option(min=0, help="Characters to write.")] = 500,
    prompt: Annotated[str, typer.Option(help="Text to go on from.")] = "\n",
    unknown: Annotated[str, typer.Option(help="Unknown prompt characters: error, skip or replace.")] = "error",
    temperature: Annotated[float, typer.Option(help="Below 1 safer, above 1 bolder.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Draw from the k most probable only; 0: from all.")] = 0,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the most probable.")] = False,
    seed: Annotated[int | None, typer.Option(help="Same seed, same text.")] = None,
) -> None:
    """Write text. Standard output holds the text and nothing else."""
    import numpy as np

    from charrnn.errors import ConfigError
    from charrnn.inference.sampling import sample as draw
    from charrnn.text.tokenizer import UNKNOWN, Tokenizer
    from charrnn.training.checkpoint import load

    if not (0 < temperature < float("inf")):
        raise ConfigError(f"--temperature {temperature}: must be a positive number")
    if unknown not in UNKNOWN:
        raise ConfigError(f"--unknown {unknown}: must be error, skip or replace")
    checkpoint = load(ckpt)
    tokenizer = Tokenizer(checkpoint.symbols)
    if prompt == "\n" and "\n" not in checkpoint.symbols:
        prompt = checkpoint.symbols[0]
    ids = tokenizer.encode(prompt, unknown=unknown, source="--prompt")
    if not len(ids):
        raise ConfigError("--prompt: nothing is left of the prompt; give at least one character that the model knows")
    rng = np.random.default_rng(seed)
    drawn = draw(checkpoint.parameters, ids, rng, temperature=temperature, top_k=top_k, greedy=greedy)
    if prompt.strip():
        sys.stdout.write(prompt)
    for symbol in itertools.islice(drawn, length):
        sys.stdout.write(checkpoint.symbols[symbol])
        sys.stdout.flush()
    sys.stdout.write("\n")
