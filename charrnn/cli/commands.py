"""The sub-commands by name; each is imported when it is run or its own help is asked for, and not before."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from charrnn.cli.signals import Stopped
from charrnn.errors import CharrnnError


class Entry(NamedTuple):
    """A command: the module of charrnn.cli, which holds a function of the same name, the first sentence of its help,
    and examples, each with what it does."""

    module: str
    sentence: str
    examples: tuple[tuple[str, str], ...]


COMMANDS = {
    "train": Entry(
        "train",
        "Train a network on text.",
        (
            ("charrnn train book.txt", "the defaults, into runs/book"),
            ("charrnn train poems/ --config quick --max-minutes 2", "a directory, a recipe, a limit"),
            ("charrnn train book.txt --hidden 1024 --dry-run", "what it would need, and how long it would take"),
            ("charrnn train --resume book --max-steps 6000", "go on with runs/book, to step 6,000"),
        ),
    ),
    "sample": Entry(
        "sample",
        "Write text.",
        (
            ("charrnn sample", "500 characters of the newest good run"),
            ("charrnn sample book --prompt 'Once' --temperature 0.5", "runs/book goes on from a beginning"),
            ("charrnn sample --num-samples 10 --stop '\\n'", "ten lines"),
            ("charrnn sample --show-probs", "each character coloured by its probability"),
            ("charrnn sample --interactive", "in turns"),
        ),
    ),
    "eval": Entry(
        "evaluate",
        "Score a whole text: nats and bits per character, perplexity, accuracy.",
        (
            ("charrnn eval book", "the parts of the text that runs/book was trained on"),
            ("charrnn eval other.txt --show", "another text, coloured by its surprise"),
        ),
    ),
    "gradcheck": Entry(
        "gradcheck",
        "Compare every gradient with complex-step and central differences, under every truncation.",
        (
            ("charrnn gradcheck --cell lstm", "a small network with another cell"),
            ("charrnn gradcheck book", "the network of runs/book"),
            ("charrnn gradcheck --equations", "the equations of the document, one by one"),
        ),
    ),
    "inspect": Entry(
        "inspect",
        "Show how far back the gradient of a model sees: its norm by lag, layer by layer.",
        (("charrnn inspect book --svg lags.svg", "runs/book, on its own text"),),
    ),
    "explain": Entry(
        "explain",
        "Show every number of the forward and the backward pass of one small network on a few characters.",
        (
            ("charrnn explain hello", "in the document's symbols, step by step"),
            ("charrnn explain abcabc --truncation fixed --tau 2", "where errors are cut"),
            ("charrnn explain hello --cell gru --write gru.html", "as a page"),
        ),
    ),
    "export": Entry(
        "export",
        "Write a model into one file for others: a page that runs it in any browser, or weights for other programs.",
        (
            ("charrnn export book book.html", "runs/book, to open by a double click or to send"),
            ("charrnn export book book.safetensors", "weights by PyTorch's names, and the vocabulary"),
        ),
    ),
    "import": Entry(
        "import_model",
        "Make a checkpoint of a .safetensors file or of a PyTorch state_dict.",
        (
            ("charrnn import book.safetensors", "what export has written, into book.npz"),
            ("charrnn import net.pt --vocabulary vocab.json", "a network that PyTorch has trained"),
        ),
    ),
    "report": Entry(
        "report",
        "Write what came of one or several trainings as a page: curves, yardsticks, samples, surprise, units.",
        (
            ("charrnn report book", "runs/book, into report.html"),
            ("charrnn report gru lstm --out cells.html", "runs/gru and runs/lstm, side by side"),
        ),
    ),
    "runs": Entry(
        "runs",
        "List the runs of a directory: size, steps, best validation loss, age and state.",
        (("charrnn runs", "those under runs/"),),
    ),
    "sweep": Entry(
        "sweep",
        "Try settings in many short trainings, and rank them by their validation loss.",
        (
            ("charrnn sweep book.txt --vary learning_rate=0.002,0.004 --vary hidden=128,256", "all four"),
            ("charrnn sweep book.txt --vary dropout=0..0.5 --draw 8 --halve", "eight, of which the better go on"),
        ),
    ),
    "bench": Entry(
        "bench",
        "Measure the speed of training for a shape of your own, or against peers.",
        (
            ("charrnn bench --hidden 512,512 --cell gru", "one shape"),
            ("charrnn bench --peers", "all shapes, beside PyTorch and JAX"),
            ("charrnn bench --ranks 32 --batch-size 512", "what ranks of MPI would bring"),
        ),
    ),
    "experiment": Entry(
        "experiment",
        "Run one of the experiments on truncation again; most take minutes, and all are seeded.",
        (("charrnn experiment recall", "which truncation can remember"),),
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

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Writes what the command does, and examples."""
        super().format_help_text(ctx, formatter)
        with formatter.section("Examples"):
            formatter.write_dl(list(COMMANDS[self.name or ""].examples), col_max=60)

    def sections(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """Name and help of every argument and flag, by the headings of their sections, which are in the order of their
        first flags."""
        found: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            own = "Options"
            if record and parameter.param_type_name == "argument":
                own, record = "Arguments", (record[0].partition(" <")[0], record[1])  # without its type in Python
            if record:
                found.setdefault(getattr(parameter, "rich_help_panel", None) or own, []).append(record)
        return found

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the sections."""
        for heading, records in self.sections(ctx).items():
            with formatter.section(heading):
                formatter.write_dl(records)


def with_flags(message: str, flags: Mapping[str, str]) -> str:
    """`message` with flags for the names that have one: those of several words anywhere, others at its beginning and
    where it says what one takes.

    What follows the number of a line is left alone: it is the key of a file.
    """

    def flag(match: re.Match[str]) -> str:
        name, before, after = match[0], message[: match.start()], message[match.end() :]
        meant = (
            name in flags
            and ("_" in name or not before or (before.endswith("; ") and after.startswith(" takes ")))
            and not re.search(r"line \d+: $", before)
        )
        return flags[name] if meant else name

    return re.sub(r"(?<![\w./'\"-])[a-z]+(_[a-z]+)*(?![\w./'\"=-])", flag, message)


class Commands(TyperGroup):
    """A group that knows the names and first sentences of its commands, and imports the one that is asked for."""

    def __init__(self, **options: Any) -> None:
        names = {name: TyperCommand(name, short_help=entry.sentence) for name, entry in COMMANDS.items()}
        super().__init__(**{**options, "commands": names})

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Reads the command line; Stopped if it is interrupted."""
        with _stopped_by_interrupts():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that is asked for; Stopped if it is interrupted."""
        with _stopped_by_interrupts():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else command, rest


@contextmanager
def _stopped_by_interrupts() -> Iterator[None]:
    """Of an interrupt Typer makes an exit without a word; Stopped it does not know."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped from error


def load(name: str) -> Any:
    """The command called `name`, with its arguments and flags."""
    module = COMMANDS[name].module
    alone = typer.Typer(**LOOK)
    alone.command(name, cls=Command)(getattr(import_module(f"charrnn.cli.{module}"), module))
    return typer.main.get_command(alone)
