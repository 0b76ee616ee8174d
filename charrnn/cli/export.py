"""`charrnn export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import Ckpt, check_utf8, chosen, one_checkpoint


def export(
    *,
    run: Annotated[
        list[Path] | None, typer.Argument(help="The same as --ckpt.", metavar="RUN", show_default=False)
    ] = None,
    file: Annotated[
        Path,
        typer.Argument(
            help="File to write; its ending names the format: .html, .onnx, .safetensors or .pt.", metavar="FILE"
        ),
    ],
    ckpt: Ckpt = None,
) -> None:
    """Write a model into one file for others: a page that runs it in any browser, or weights for other programs.

    A page (.html) holds everything and loads nothing: it can be sent as it is, and opens by a double click. The other
    files have the vocabulary and the settings beside the weights: .onnx runs in any ONNX runtime, .safetensors and .pt
    have PyTorch's names, and charrnn import reads them again.
    """
    from charrnn.cli.terminal import say
    from charrnn.errors import ConfigError, shown
    from charrnn.formats import export as write
    from charrnn.formats import writer
    from charrnn.training.runs import located

    check_utf8("FILE", str(file))
    if not file.suffix and located(file):
        raise ConfigError(f"{file}: a run; name the file to write too, as in: charrnn export {file} page.html")
    writer(file)  # before a run is looked for
    if run and len(run) > 1:
        raise ConfigError(f"{' '.join(map(str, run))}: one run is exported at a time; name one")
    write(chosen(one_checkpoint(run[0] if run else None, ckpt)), file)
    say(f"{shown(file)}: {file.stat().st_size / 1e6:.2f} MB")
