"""`charrnn runs`."""

from __future__ import annotations

import json
import math
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.errors import MESSAGE_LIMIT, CheckpointError, shown


def runs(
    directory: Annotated[
        Path, typer.Argument(help="Directory that holds runs, or a run itself.", metavar="DIR", show_default=False)
    ] = Path("runs"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the runs of a directory: size, steps, best validation loss, age and state.

    A sweep is named with the number of its runs. Every command that takes a checkpoint takes the name of a run, as in:
    charrnn sample NAME.
    States: training (at work now), finished (at a limit of its own), stopped (can go on), diverged, untrained, damaged,
    foreign (of a cell that a module of one's own registers).
    """
    from charrnn.training.runs import located, summaries, sweeps

    found, inside = summaries(located(directory) or directory), sweeps(directory)
    if not found and not directory.is_dir():
        kind = "a file, not a directory of runs" if directory.exists() else "no such directory, and no run of this name"
        raise CheckpointError(f"{directory}: {kind}; train a run: charrnn train corpus.txt")
    if as_json:
        counts = {str(path): count for path, count in inside.items()}
        print(json.dumps({"runs": [_plain(run) for run in found], "sweeps": counts}, allow_nan=False))
        return
    if not found and not inside:
        raise CheckpointError(f"{directory}: no run here; train one: charrnn train corpus.txt")

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("name", overflow="fold", min_width=12)
    table.add_column("cell")
    for head in ("parameters", "steps", "nats", "bits", "age"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for run in found:
        widths = ",".join(map(str, run.hidden))
        unit = "" if run.unit == "codepoint" else f" {run.unit}s"  # what the losses are per
        table.add_row(
            Text(shown(run.path.name or str(run.path))),
            Text("" if run.cell is None else f"{run.cell} {widths}{unit}"),
            "" if run.parameters is None else f"{run.parameters:,}",
            "" if run.steps is None else f"{run.steps:,}",
            "" if run.validation is None else f"{run.validation:.4f}",
            "" if run.validation is None else f"{run.validation / math.log(2):.4f}",
            _age(time.time() - run.written),
            run.state,
        )
    console = Console(highlight=False)
    if found:
        console.print(table)
    for path, count in inside.items():
        listed = f"{count} run{'s' if count != 1 else ''}, which charrnn runs {shlex.quote(str(path))} lists"
        console.print(Text(shown(f"{path}: {listed}", MESSAGE_LIMIT)), soft_wrap=True)
    for run in found:
        if run.problem:
            console.print(Text(f"{shown(run.path.name)}: {run.problem}"), soft_wrap=True)


def _plain(run: Any) -> dict[str, object]:
    return {
        "name": run.path.name,
        "path": str(run.path),
        "state": run.state,
        "problem": run.problem,
        "cell": run.cell,
        "unit": run.unit,
        "hidden": list(run.hidden),
        "parameters": run.parameters,
        "steps": run.steps,
        "validation_nats": run.validation,
        "validation_bits": None if run.validation is None else run.validation / math.log(2),
        "age_seconds": round(time.time() - run.written),
    }


def _age(seconds: float) -> str:
    """As in 5 min."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
