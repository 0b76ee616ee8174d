"""Packages that are optional, by the extras that bring them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from charrnn.errors import ConfigError

DISTRIBUTION = "charrnn-bptt"  # charrnn on the package index; there, `charrnn` is another project


def install(extra: str) -> str:
    """The command that installs what this extra brings."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def needed(package: str, extra: str, what: str) -> Any:
    """A package that comes with an extra; ConfigError that says how to install it. `what` is as in "an .onnx file"."""
    try:
        return import_module(package)
    except ImportError as error:
        raise ConfigError(f"{what} needs the package {package}; {install(extra)}") from error
