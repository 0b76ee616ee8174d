"""`charrnn export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import RUN_HELP, Ckpt, check_utf8, chosen, one_checkpoint


def export(
    *,
    run: Annotated[list[Path] | None, typer.Argument(help=RUN_HELP, metavar="RUN", show_default=False)] = None,
    file: Annotated[
        str,
        typer.Argument(
            help="File to write; its ending names the format: .html, .onnx, .safetensors or .pt; / at the end makes a "
            "folder.",
            metavar="FILE",
        ),
    ],
    ckpt: Ckpt = None,
) -> None:
    """Write a model into one file for others: a page that runs it in any browser, or weights for other programs.

    A page (.html) holds everything and loads nothing: it can be sent as it is, and opens by a double click. The other
    files have the vocabulary and the settings beside the weights: .onnx runs in any ONNX runtime, .safetensors and .pt
    have PyTorch's names, and charrnn import reads them again. A folder is what model hubs take: model.safetensors,
    config.json, vocab.json, and a README.md that says what is known of the model.
    """
    from charrnn.cli.terminal import say
    from charrnn.errors import ConfigError, shown
    from charrnn.formats import export as write
    from charrnn.formats import maker
    from charrnn.training.runs import located

    check_utf8("FILE", file)
    path = Path(file)
    if not path.suffix and located(path):
        raise ConfigError(f"{file}: a run; name the file to write too, as in: charrnn export {file} page.html")
    maker(file)  # before a run is looked for
    if run and len(run) > 1:
        raise ConfigError(f"{' '.join(map(str, run))}: one run is exported at a time; name one")
    write(chosen(one_checkpoint(run[0] if run else None, ckpt)), file)
    written = sum(part.stat().st_size for part in (path.iterdir() if path.is_dir() else [path]))
    say(f"{shown(file)}: {written / 1e6:.2f} MB")
