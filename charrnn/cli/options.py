"""Flags made from the settings, and options that several commands share."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.errors import shown
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


def chosen(ckpt: Path | None) -> Path:
    """What --ckpt names: a file, a run's directory, or a run's name under runs/. Left out, it is the newest run that
    has learnt something, which standard error then tells, with its loss."""
    if ckpt is not None:
        named = Path("runs") / ckpt
        return named if not ckpt.exists() and named.is_dir() else ckpt
    from charrnn.storage.checkpoint import newest_run
    from charrnn.training.run import Run

    newest = newest_run()
    losses = [row["validation"] for row in Run(newest).metrics() if "validation" in row]
    told = f" (validation {min(losses):.4f} nats)" if losses else ""
    print(f"using {shown(newest)}, the newest run{told}", file=sys.stderr)
    return newest
