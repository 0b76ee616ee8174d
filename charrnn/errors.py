"""The errors that a user can meet, each with the exit code that the command line returns for it.

`str(error)` is one line that says what is wrong, where, and what to do. The command line prints that line and
nothing else; every other exception is a defect of charrnn and keeps its traceback.
"""

from __future__ import annotations


class CharrnnError(Exception):
    """Base of all errors that charrnn raises on purpose."""

    exit_code = 1


class CheckFailed(CharrnnError):
    """A check ran and its claim did not hold (exit code 1)."""

    exit_code = 1


class ConfigError(CharrnnError):
    """A flag, a configuration file or a combination of settings is wrong (exit code 2)."""

    exit_code = 2


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
