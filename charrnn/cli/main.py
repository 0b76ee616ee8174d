"""The `charrnn` command: its sub-commands, and the one place that turns errors into a line and an exit code."""

from __future__ import annotations

import sys

import typer

from charrnn.cli.bench import bench
from charrnn.cli.evaluate import evaluate
from charrnn.cli.gradcheck import gradcheck
from charrnn.cli.sample import sample
from charrnn.cli.train import train
from charrnn.errors import CharrnnError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train and use character-level recurrent language models.",
)
app.command()(train)
app.command()(sample)
app.command("eval")(evaluate)
app.command()(gradcheck)
app.command()(bench)


def main() -> None:
    """Runs the command line; exits with the code of the error where there is one."""
    try:
        app()
    except CharrnnError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
