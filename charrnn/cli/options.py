"""Flags made from the table of settings, and options that several commands share."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.training.config import FIELDS, show


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Gives `command` one flag for every setting; it receives their texts as a dictionary `settings`.

    Every flag is None unless it was given, so that the configuration file and the defaults can stand.
    """
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "settings"]
    flags = []
    for name, field in FIELDS.items():
        meta = field.metadata
        default = "" if isinstance(field.default, bool) else show(field.default)
        words = f"{meta['help']} (default {default})" if default else meta["help"]
        common = {"help": words, "show_default": False, "rich_help_panel": meta["group"]}
        if isinstance(field.default, bool):
            annotation: Any = Annotated[bool | None, typer.Option(f"--{name.replace('_', '-')}", **common)]
        else:
            annotation = Annotated[str | None, typer.Option(metavar=meta["kind"], **common)]
        flags.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))

    def wrapper(**values: Any) -> None:
        texts = {name: values.pop(name) for name in FIELDS}
        command(settings={k: "true" if v is True else v for k, v in texts.items()}, **values)

    wrapper.__name__, wrapper.__doc__ = command.__name__, command.__doc__
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + flags
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def chosen(ckpt: Path | None) -> Path:
    """What --ckpt names; left out, the newest run, which standard error then tells."""
    if ckpt is not None:
        return ckpt
    from charrnn.storage.checkpoint import newest_run

    newest = newest_run()
    print(f"using {newest}, the newest run", file=sys.stderr)
    return newest
