"""The sub-commands by name; each is imported when it is run or its own help is asked for, and not before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from charrnn.errors import CharrnnError

# By name: the module of charrnn.cli, which holds a function of the same name, and the first sentence of its help.
COMMANDS = {
    "train": ("train", "Train a network on text."),
    "sample": ("sample", "Write text."),
    "eval": ("evaluate", "Score a whole text: nats and bits per character, perplexity, accuracy."),
    "gradcheck": (
        "gradcheck",
        "Compare every gradient with complex-step and central differences, under every truncation.",
    ),
    "inspect": ("inspect", "Show how far back the gradient of a model sees: its norm by lag, layer by layer."),
    "export": ("export", "Write a model into one file for others: a page that runs it in any browser."),
    "runs": ("runs", "List the runs of a directory: size, steps, best validation loss, age and state."),
    "bench": ("bench", "Measure the speed of training for a shape of your own, or against peers."),
    "experiment": (
        "experiment",
        "Run one of the experiments on truncation again; most take minutes, and all are seeded.",
    ),
}
# Plain help, in half the time.
LOOK: Any = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None}


class Command(TyperCommand):
    """A command whose help lists the flags in sections, by their panels."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; its errors, which name settings and arguments, name its flags instead."""
        try:
            return super().invoke(ctx)
        except CharrnnError as error:
            names = {p.name: p.opts[0] for p in self.get_params(ctx) if p.opts[0].startswith("--")}
            error.args = (with_flags(str(error.args[0]), names), *error.args[1:])
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the sections in the order of their first flags."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            own = "Arguments" if parameter.param_type_name == "argument" else "Options"
            if record:
                sections.setdefault(getattr(parameter, "rich_help_panel", None) or own, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def with_flags(message: str, flags: Mapping[str, str]) -> str:
    """`message` with flags for the names that have one: those of several words anywhere, others at its beginning.

    What follows the number of a line is left alone: it is the key of a file.
    """

    def flag(match: re.Match[str]) -> str:
        name, before = match[0], message[: match.start()]
        meant = name in flags and ("_" in name or not before) and not re.search(r"line \d+: $", before)
        return flags[name] if meant else name

    return re.sub(r"(?<![\w./'\"-])[a-z]+(_[a-z]+)*(?![\w./'\"=-])", flag, message)


class Commands(TyperGroup):
    """A group that knows the names and first sentences of its commands, and imports the one that is asked for."""

    def __init__(self, **options: Any) -> None:
        names = {name: TyperCommand(name, short_help=sentence) for name, (_, sentence) in COMMANDS.items()}
        super().__init__(**{**options, "commands": names})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest


def load(name: str) -> Any:
    """The command called `name`, with its arguments and flags."""
    module = COMMANDS[name][0]
    alone = typer.Typer(**LOOK)
    alone.command(name, cls=Command)(getattr(import_module(f"charrnn.cli.{module}"), module))
    return typer.main.get_command(alone)
