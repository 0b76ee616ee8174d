"""`charrnn report`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import check_utf8, chosen


def report(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run directories, or their names under runs/; left out, the newest run that is any good.",
            metavar="RUN",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="File to write; its name ends in .html.", metavar="FILE")] = Path(
        "report.html"
    ),
    beside: Annotated[
        bool,
        typer.Option(
            "--yardsticks/--no-yardsticks",
            help="Set the losses beside n-gram models and compressors, which learn from the training text.",
            show_default=False,
        ),
    ] = True,
) -> None:
    """Write what came of one or several trainings as a page: curves, yardsticks, samples, surprise, units.

    The page holds everything and loads nothing: it can be sent as it is. A passage of the text is in it; names of files
    are without their directories. What needs the text is left out where that is not to be had.
    """
    from charrnn.errors import ConfigError

    check_utf8("--out", str(out))
    if out.suffix.lower() != ".html":
        raise ConfigError(f"--out {out}: the name must end in .html")

    from charrnn import blas

    blas.configure()

    from charrnn.cli.terminal import say
    from charrnn.errors import shown
    from charrnn.report.charts import COLOURS
    from charrnn.report.page import page
    from charrnn.storage.durable import atomic_write_bytes
    from charrnn.training.findings import findings
    from charrnn.training.parts import run_of
    from charrnn.training.run import Run

    if run and len(run) > COLOURS:
        raise ConfigError(f"{len(run)} runs: a page shows at most {COLOURS} side by side; name fewer")
    runs: list[Run] = []
    for path in map(chosen, run) if run else [chosen(None)]:
        of_path = run_of(path)
        if of_path is None:
            raise ConfigError(f"{path}: a checkpoint by itself has no history; name a run")
        runs.append(of_path)
    for one in runs:
        one.manifest()  # says so at once if there is none

    def looked_at(one: Run) -> None:
        if sys.stderr.isatty():
            say(f"looking at {shown(one.directory)}")

    written = page(findings(runs, beside, looked_at)).encode()
    atomic_write_bytes(out, written)
    say(f"{shown(out)}: {len(written) / 1e6:.2f} MB")
