"""Flags made from the settings, and options that several commands share."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.errors import CheckpointError, ConfigError, shown
from charrnn.training.settings import FIELDS, parse


def flag(key: str) -> str:
    """The flag of a setting: --seq-length for seq_length."""
    return f"--{key.replace('_', '-')}"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives `command` one flag for every setting; it receives the checked values as a dictionary `settings`.

    Every value is None unless its flag was given, so that the configuration file and the defaults can stand.
    """
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]
    flags = []
    for name, field in FIELDS.items():
        extra: Any = field.json_schema_extra
        is_switch = field.annotation is bool
        default = field.default if not isinstance(field.default, tuple) else ",".join(map(str, field.default))
        words = field.description if is_switch or default is None else f"{field.description} (default {default})"
        option = typer.Option(
            flag(name),
            help=words,
            show_default=False,
            metavar=None if is_switch else extra["metavar"],
            rich_help_panel=extra["panel"],
        )
        annotation: Any = Annotated[bool | None, option] if is_switch else Annotated[str | None, option]
        flags.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    def wrapper(**values: Any) -> None:
        given = {name: values.pop(name) for name in FIELDS}
        checked = {name: value if value is None else parse(name, value, flag(name)) for name, value in given.items()}
        command(settings=checked, **values)

    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + flags
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _run_names(incomplete: str) -> list[str]:
    """The runs whose names begin so, for the shell to complete."""
    from charrnn.training.runs import named

    return [name for name in named() if name.startswith(incomplete)]


RUN_HELP = "Run directory, its name under runs/, or a checkpoint file; left out, the newest run that is any good."
Ckpt = Annotated[Path | None, typer.Option("--ckpt", help=RUN_HELP, metavar="RUN", autocompletion=_run_names)]


Encoding = Annotated[
    str | None,
    typer.Option(
        help="Encoding of the text; left out, that of the run's own text.", metavar="NAME", show_default=False
    ),
]
Column = Annotated[
    str | None,
    typer.Option(
        help="Column that is the text, of .jsonl and .parquet files; left out, that of the run's own text.",
        metavar="NAME",
        show_default=False,
    ),
]


def whisper(notes: Iterable[str]) -> None:
    """Tells standard error what should be known of a text."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def chosen(ckpt: Path | None) -> Path:
    """The run or checkpoint that is meant; left out, the newest good run, which standard error then tells."""
    from charrnn.training.runs import find, newest

    if ckpt is not None:
        return find(ckpt)
    try:
        run, passed_over = newest()
    except CheckpointError as error:
        raise CheckpointError(f"{error}, or name one with --ckpt") from None
    loss = "not validated" if run.validation is None else f"validation {run.validation:.4f} nats"
    if passed_over:
        others = ", ".join(
            f"{shown(other.path)} {f'made {other.steps} updates' if other.good else f'is {other.state}'}"
            for other in passed_over[:3]
        )
        print(f"using {shown(run.path)}, the newest good run ({loss}); newer: {others}", file=sys.stderr)
    else:
        print(f"using {shown(run.path)}, the newest run ({loss})", file=sys.stderr)
    return run.path


def text_or_run(words: list[str] | None, ckpt: Path | None) -> tuple[str | None, Path | None]:
    """The text and the checkpoint that are meant by the arguments: a text, a run for its own text, or a run and a text.

    A file or directory that has the name of a run and is no checkpoint is the text. ConfigError for more words.
    """
    from charrnn.training.runs import located

    if not words:
        return None, ckpt
    *before, text = words
    if len(before) == 1 and ckpt is None and (run := located(before[0])) is not None:
        return text, run
    if before:
        raise ConfigError(f"{' '.join(words)}: one text is read at a time; name it, and the run with --ckpt")
    if ckpt is not None:
        return text, ckpt
    run = located(text)
    if run is None or (run != Path(text) and os.path.exists(text)):
        return text, None
    return None, run


def one_checkpoint(run: Path | None, ckpt: Path | None) -> Path | None:
    """What is named as an argument or by --ckpt; ConfigError for both."""
    if run is not None and ckpt is not None:
        raise ConfigError(f"{run} and --ckpt {ckpt}: only one checkpoint can be used; leave one out")
    return run or ckpt


def check_utf8(flag: str, text: str) -> None:
    """ConfigError for an argument with bytes that are no text; Python hands each of them on as a surrogate."""
    place = next((i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff"), None)
    if place is not None:
        byte = ord(text[place]) & 0xFF
        raise ConfigError(
            f"{flag}: byte 0x{byte:02x} after {place} character{'s' if place != 1 else ''} is not UTF-8; "
            "type the text in a UTF-8 terminal, or put it into a file"
        )
