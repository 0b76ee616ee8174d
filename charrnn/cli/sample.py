"""`charrnn sample`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import chosen
from charrnn.errors import ConfigError


def sample(
    ckpt: Annotated[
        Path | None, typer.Option(help="Checkpoint file or run directory; left out, the newest run.", metavar="PATH")
    ] = None,
    length: Annotated[int, typer.Option(min=0, help="Characters to write.", metavar="INTEGER")] = 500,
    prompt: Annotated[
        str | None, typer.Option(help="Text to go on from; left out, the start of a line.", metavar="TEXT")
    ] = None,
    prompt_file: Annotated[
        str | None, typer.Option(help="File that holds the prompt, or - for standard input.", metavar="PATH")
    ] = None,
    unknown: Annotated[
        str, typer.Option(help="Unknown characters of the prompt: error, skip or replace.", metavar="NAME")
    ] = "error",
    temperature: Annotated[
        float, typer.Option(help="Below 1 safer, above 1 bolder (Model.sample: 1).", metavar="NUMBER")
    ] = 0.8,
    top_k: Annotated[
        int, typer.Option(min=0, help="Draw from the k most probable characters only; 0: from all.", metavar="INTEGER")
    ] = 0,
    top_p: Annotated[
        float, typer.Option(help="Draw from the most probable ones that have this mass together.", metavar="NUMBER")
    ] = 1.0,
    greedy: Annotated[bool, typer.Option("--greedy", help="Always take the most probable character.")] = False,
    stop: Annotated[str | None, typer.Option(help="End a sample after this text.", metavar="TEXT")] = None,
    num_samples: Annotated[
        int, typer.Option(min=1, help="Samples, an empty line between them.", metavar="INTEGER")
    ] = 1,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same text.", metavar="INTEGER")] = None,
) -> None:
    """Write text. Standard output holds the text and nothing else."""
    if prompt is not None and prompt_file is not None:
        raise ConfigError("--prompt and --prompt-file: only one of them can be given")
    if stop == "":
        raise ConfigError("--stop: an empty text is found at once; give at least one character")

    from charrnn import blas

    blas.configure()  # a second thread gains half where the machine is idle, and loses tenfold where it is not

    from charrnn.inference.sampling import Choice, until
    from charrnn.model import Options, load
    from charrnn.text.corpus import read_corpus
    from charrnn.text.tokenizer import check_unknown

    check_unknown(unknown)
    Choice(temperature, top_k, top_p, greedy)  # before anything is read
    model = load(chosen(ckpt))
    given = read_corpus([prompt_file]) if prompt_file is not None else prompt or ""
    options: Options = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "greedy": greedy,
        "seed": seed,
        "unknown": unknown,
    }
    sys.stdout.reconfigure(encoding="utf-8", newline="")  # type: ignore[union-attr]
    write = sys.stdout.write
    if num_samples == 1:
        characters = until(model.stream(given, **options), length, stop)
        write(given)
        live = sys.stdout.isatty()
        try:
            for character in characters:
                write(character)
                if live:
                    sys.stdout.flush()
        finally:
            write("\n")
        return
    write("\n".join(f"{given}{text}\n" for text in model.samples(num_samples, length, given, stop=stop, **options)))
