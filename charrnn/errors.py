"""The errors that a user can meet, each with the exit code that the command line returns for it.

`str(error)` is one line that says what is wrong, where, and what to do. The command line prints that line and
nothing else; every other exception is a defect of charrnn and keeps its traceback.

Messages quote names of files and the content of files, which may come from anyone. A terminal obeys control
characters in them, so none gets through, nor more text than a message needs.
"""

from __future__ import annotations

import reprlib
from os import PathLike

MESSAGE_LIMIT = 2_000  # characters: more than any message with two long paths in it

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 200


def shown(value: object, limit: int = 80) -> str:
    """`value` as at most `limit` printable characters: controls escaped, the middle of a long text left out.

    Text and paths are shown without quotes, anything else as its repr. "Printable" is that of `str.isprintable`, which
    excludes line ends, escape and other controls, marks that turn the direction of writing, and lone surrogates.
    """
    text = value if isinstance(value, str) else str(value) if isinstance(value, PathLike) else _bounded_repr(value)
    if len(text) > 2 * limit:  # what is left out below anyway: escaping shortens nothing
        text = text[:limit] + text[-limit:]
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return text[: limit - 1 - tail] + "…" + text[len(text) - tail :]


def _bounded_repr(value: object) -> str:
    try:
        return _repr.repr(value)
    except Exception:  # as of an int with more digits than Python writes
        return f"<{type(value).__name__}>"


class CharrnnError(Exception):
    """Base of all errors that charrnn raises on purpose; `args` keeps the message as it was given."""

    exit_code = 1

    def __str__(self) -> str:
        return shown(super().__str__(), MESSAGE_LIMIT)


class CheckFailed(CharrnnError):
    """A check ran and its claim did not hold (exit code 1)."""

    exit_code = 1


class ConfigError(CharrnnError):
    """A flag, a configuration file or a combination of settings is wrong (exit code 2)."""

    exit_code = 2


class UnknownNameError(ConfigError, KeyError):
    """A registry has nothing of this name (2). It is a KeyError too, as of any mapping."""

    def __str__(self) -> str:
        return str(ConfigError(*self.args))  # a KeyError would put it in quotes


class RunExistsError(ConfigError):
    """A new run would take the directory of another (2)."""


class RunHeldError(ConfigError):
    """Another training is at work in the run directory (2)."""


class CorpusError(CharrnnError):
    """A text cannot be used: unreadable bytes, too short, or characters that the model does not know (3)."""

    exit_code = 3


class CheckpointError(CharrnnError):
    """A checkpoint or run directory is missing, damaged or of another make (exit code 3)."""

    exit_code = 3


class DivergedError(CharrnnError):
    """Training produced a loss or gradient that is not finite (exit code 4)."""

    exit_code = 4


class StorageError(CharrnnError):
    """Reading or writing failed: disk full, permission, missing file (exit code 5)."""

    exit_code = 5


class WorkerError(CharrnnError):
    """A worker process could not be started, or has ended early (exit code 5)."""

    exit_code = 5
