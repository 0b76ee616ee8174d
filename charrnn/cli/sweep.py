"""`charrnn sweep`."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.options import flag, with_settings
from charrnn.errors import ConfigError
from charrnn.training.settings import resolve
from charrnn.training.settings_file import as_written

if TYPE_CHECKING:
    from charrnn.experiments.sweep import Outcome, Sweep


@with_settings
def sweep(
    corpus: Annotated[
        list[str], typer.Argument(help="Text files, directories or addresses.", metavar="CORPUS", show_default=False)
    ],
    vary: Annotated[
        list[str],
        typer.Option(
            help="A setting and its values, as in learning_rate=0.001,0.003, hidden=128,256+256 (one layer of 128, or "
            "two of 256) or, with --draw, dropout=0..0.5. Once for each setting.",
            metavar="NAME=VALUES",
            show_default=False,
        ),
    ],
    draw: Annotated[
        int | None,
        typer.Option(help="Train so many combinations, drawn by --seed; left out, all.", metavar="INTEGER", min=1),
    ] = None,
    halve: Annotated[
        bool,
        typer.Option(
            "--halve",
            help="Train all for an eighth of the time or more; then the better half twice as long, and so on.",
        ),
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="Trainings side by side; left out, one for each core, with --scheduler for each thread of a worker.",
            metavar="INTEGER",
            min=1,
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="Train on the dask cluster of this scheduler, as tcp://host:8786, whose workers see the directory by "
            "the same path; left out, on this machine.",
            metavar="ADDRESS",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings, or a recipe; flags go over it.", metavar="FILE")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory; left out, runs/ and the name of the corpus, with -sweep.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    *,
    settings: dict[str, object],
) -> None:
    """Try settings in many short trainings, and rank them by their validation loss.

    Each training is a run of its own in the directory of the sweep. The same command goes on with a sweep that was
    stopped, and prints the table of one that is done. With --halve a training that goes on begins its schedule anew.
    """
    from charrnn.cli.terminal import say
    from charrnn.experiments.cluster import Cluster
    from charrnn.experiments.processes import Processes
    from charrnn.experiments.sweep import Sweep, axes, trials
    from charrnn.training.run import RUNS, text_name

    resolved, _ = resolve(config, settings)
    varied = axes(vary)
    twice = next((name for name in varied if settings[name] is not None), None)
    if twice:
        raise ConfigError(f"{flag(twice)} does not go with --vary {twice}: leave one of them out")
    directory = out or RUNS / f"{text_name(corpus[0])}-sweep"
    made = Sweep(directory, corpus, resolved, trials(varied, draw, resolved.seed), halve=halve)
    pool = Processes(jobs) if scheduler is None else Cluster(scheduler, jobs)
    count = len(made.trials)
    say(f"{count} training{'s' if count > 1 else ''}, {pool}, in {directory}")

    def tell(outcome: Outcome) -> None:
        loss = "" if outcome.validation is None else f"  validation {outcome.validation:.4f} nats"
        steps = "" if outcome.steps is None else f"  {outcome.steps:,} steps"
        say(f"{made.run_directory(outcome.trial).name}  {outcome.state}{steps}{loss}  {_words(made, outcome.trial)}")

    try:
        made.run(tell, pool)
    except KeyboardInterrupt:
        say("stopped; the same command goes on")
        raise
    if as_json:
        print(json.dumps(_plain(made), allow_nan=False))
        return
    _print(made)
    best = made.outcomes[0]
    if best.state == "finished":
        run = made.run_directory(best.trial)
        longer = f"{shlex.join(corpus)} --config {run}/config.yaml --max-steps {10 * (best.steps or 100)}"
        say(f"next: charrnn sample --ckpt {run}, or train longer: charrnn train {longer}")


def _words(made: Sweep, trial: int) -> str:
    return " ".join(f"{key}={as_written(value)}" for key, value in made.trials[trial].items())


def _plain(made: Sweep) -> dict[str, object]:
    trials = [
        {
            "run": str(made.run_directory(outcome.trial)),
            "settings": made.trials[outcome.trial],
            "state": outcome.state,
            "problem": outcome.problem,
            "rounds": outcome.round + 1,
            "steps": outcome.steps,
            "parameters": outcome.parameters,
            "seconds": outcome.seconds,
            "validation_nats": outcome.validation,
            "validation_bits": None if outcome.validation is None else outcome.validation / math.log(2),
        }
        for outcome in made.outcomes
    ]
    return {"sweep": str(made.directory), "trainings": trials}


def _print(made: Sweep) -> None:
    """The table, best first, and below it the losses by each setting."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from charrnn.errors import MESSAGE_LIMIT, shown
    from charrnn.report.sweep import lines

    varied = list(made.trials[0])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("run", no_wrap=True)
    for name in varied:
        table.add_column(name, justify="right", overflow="fold")
    for head in ("parameters", "steps", "nats", "bits", "time"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for outcome in made.outcomes:
        loss = outcome.validation
        table.add_row(
            made.run_directory(outcome.trial).name,
            *(Text(as_written(value)) for value in made.trials[outcome.trial].values()),
            "" if outcome.parameters is None else f"{outcome.parameters:,}",
            "" if outcome.steps is None else f"{outcome.steps:,}",
            "" if loss is None else f"{loss:.4f}",
            "" if loss is None else f"{loss / math.log(2):.4f}",
            "" if outcome.seconds is None else f"{outcome.seconds:.0f} s",
            outcome.state,
        )
    console = Console(highlight=False)
    console.print(table)
    for outcome in made.outcomes:
        if outcome.problem:
            console.print(
                Text(f"{made.run_directory(outcome.trial).name}: {shown(outcome.problem, MESSAGE_LIMIT)}"),
                soft_wrap=True,
            )
    losses = made.first_losses()
    for name in varied:
        values = {made.trials[trial][name] for trial in losses}
        if len(values) < 2:
            continue
        ordered = sorted(losses, key=lambda trial: _order(made.trials[trial][name]))
        print()
        for line in lines(name, [(as_written(made.trials[trial][name]), losses[trial]) for trial in ordered]):
            print(line)


def _order(value: object) -> tuple[float, str]:
    """Numbers by size, all else by its text."""
    return (float(value), "") if isinstance(value, int | float) else (0.0, as_written(value))
