"""The `charrnn` command, also as `python -m charrnn`."""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Runs the command line. An interrupt while it is still being loaded ends as quietly as a later one.

    SIGTERM ends with a line and 143, until a training handles it in its own way. A request to save (SIGUSR1) that comes
    before a training has begun is no reason to end.
    """
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        from charrnn.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


def _end(number: int, _frame: object) -> NoReturn:
    """Ends the process at once. (An exception could be swallowed or wrapped by an import that is going on.)"""
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()
