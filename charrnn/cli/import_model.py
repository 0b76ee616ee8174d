"""`charrnn import`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import check_utf8
from charrnn.errors import ConfigError, shown


def import_model(
    file: Annotated[Path, typer.Argument(help="A .safetensors, .pt or .pth file.", metavar="FILE")],
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="The symbols, where FILE does not tell them: a .json list of them or object with their ids, or the "
            "text that the network was trained on.",
            metavar="PATH",
        ),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="φ of an rnn, where FILE does not tell it (default tanh).", metavar="NAME")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Checkpoint to write; left out, FILE's name with .npz, here.", metavar="FILE.npz"),
    ] = None,
) -> None:
    """Make a checkpoint of a .safetensors file or of a PyTorch state_dict.

    What charrnn export has written comes back as it was. Of others, cell and sizes are read off the names and shapes
    of the weights; the vocabulary must be given. Nothing in the file is executed.
    """
    from charrnn.cli.terminal import say
    from charrnn.formats.importer import import_model as read

    check_utf8("--out", str(out or ""))
    path = out or Path(file.with_suffix(".npz").name)
    if path.suffix != ".npz":
        raise ConfigError(f"--out {path}: the name must end in .npz")
    if os.path.lexists(path):
        raise ConfigError(f"{path} is there already; remove it, or name another file with --out")
    model = read(file, vocabulary, activation)
    model.save(path)
    a = model.architecture
    phi = f", φ {a.activation}" if a.cell == "rnn" else ""
    say(
        f"{shown(path)}: {a.cell} of {', '.join(map(str, a.hidden))} units{phi}, {a.symbols:,} symbols, "
        f"{model.parameters.vector.size:,} parameters"
    )
    say(f"next: charrnn sample {shown(path)}")
