"""The `charrnn` command: its sub-commands, and the one place that turns errors into a line and an exit code."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from typing import Annotated, Any, TextIO

import typer

from charrnn import __version__
from charrnn.cli import ranks
from charrnn.cli.commands import LOOK, Commands
from charrnn.cli.signals import Stopped, cause
from charrnn.cli.terminal import say
from charrnn.errors import CharrnnError, StorageError

app = typer.Typer(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, **{**LOOK, "add_completion": True}
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def charrnn(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Train and use character-level recurrent language models."""


def main() -> None:
    """Runs the command line; exits with the code of the error where there is one."""
    # A closed stream (`>&-`) is None: discard what is written to it.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  open until the end
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what the terminal cannot show, as ³, is no reason to stop
    try:
        ranks.join(sys.argv[1:])
        code = app(sys.argv[1:] or ["--help"], prog_name="charrnn", standalone_mode=False)
        sys.stdout.flush()
    except CharrnnError as error:
        _complain(f"error: {error}")
        code = error.exit_code
    except (Stopped, KeyboardInterrupt, BrokenPipeError, SystemExit) as error:
        # Typer turns the last but one, and what comes before a command is known, into exits of its own.
        origin = error.__context__ if isinstance(error, SystemExit) else error
        if isinstance(origin, Stopped | KeyboardInterrupt):
            _complain("interrupted")
            code = 130
        elif isinstance(origin, BrokenPipeError):
            # The reader of standard output has closed it, as in `charrnn sample | head`: that is no error.
            _abandon(sys.stdout)
            code = 141
        else:
            raise
    except MemoryError as error:
        detail = f" ({error})" if str(error) else ""
        _complain(f"error: not enough memory{detail}; use fewer units, streams or steps")
        code = StorageError.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else "output cannot be written: "
        _complain(f"error: {where}{error.strerror or error}")
        _abandon(sys.stdout)
        code = StorageError.exit_code
    except Exception as error:
        # Typer's own exceptions about flags and arguments have no public base class; this is what they share.
        if not hasattr(error, "format_message"):
            if not isinstance(cause(error), KeyboardInterrupt):
                raise
            _complain("interrupted")
            sys.exit(130)
        command = getattr(getattr(error, "ctx", None), "command_path", "charrnn")
        message = _with_near_flag(error) or in_own_words(" ".join(error.format_message().split()).rstrip("."))
        _complain(f"error: {message}; {command} --help lists what there is")
        code = getattr(error, "exit_code", 2)
    if (others := ranks.ranks()) is not None:
        others.code = code or 0
    sys.exit(code)


# What the libraries below say of a number, and how the rest of charrnn says it.
_WORDS = {
    r"Invalid value for '(\S+)( \S+)?': ": r"\1: ",
    r"Input should be a valid integer.*": "must be a whole number",
    r"Input should be a valid number.*": "must be a number",
    r"Input should be greater than or equal to (\S+)": r"must be at least \1",
    r"Input should be less than or equal to (\S+)": r"must be at most \1",
}


# What other tools call a flag.
_ELSEWHERE = dict.fromkeys(("layers", "num-layers", "units", "rnn-size", "hidden-size", "size"), "--hidden")
_ELSEWHERE |= {"bptt": "--seq-length", "model": "--cell", "output": "--out", "tokens": "--length"}


def _with_near_flag(error: Any) -> str | None:
    """For a flag that is unknown, those that it may stand for: what other tools call so, a flag of its initials, or one
    with a word that begins as it does. None if there are none: the parser then names those that are spelt alike."""
    wrong = getattr(error, "option_name", "")
    command = getattr(getattr(error, "ctx", None), "command", None)
    if not wrong.startswith("--") or command is None:
        return None
    name = wrong.strip("-").lower().replace("_", "-")
    flags = [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]
    words = {flag: flag[2:].split("-") for flag in flags}
    near = [
        flag for flag in flags if flag == _ELSEWHERE.get(name) or "".join(word[0] for word in words[flag]) == name
    ] or [flag for flag in flags if len(name) > 2 and any(word.startswith(name) for word in words[flag])]
    return f"No such option: {wrong} (did you mean {' or '.join(near[:3])}?)" if near else None


def in_own_words(message: str) -> str:
    """A message about an argument, worded as those of charrnn's own."""
    for theirs, ours in _WORDS.items():
        message = re.sub(theirs, ours, message)
    return message


def _complain(line: str) -> None:
    try:
        say(line)
    except OSError:  # the exit code has to say it alone
        _abandon(sys.stderr)


def _abandon(stream: TextIO) -> None:
    """What is still unwritten goes nowhere, so that Python does not fail on it at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
