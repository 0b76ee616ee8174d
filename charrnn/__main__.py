"""The `charrnn` command, also as `python -m charrnn`."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> None:
    """Runs the command line. A signal that ends it while it is still being loaded is answered by a line too.

    SIGTERM ends with a line and 143, until a training handles it in its own way. A request to save (SIGUSR1) that comes
    before a training has begun is no reason to end.
    """
    signal.signal(signal.SIGTERM, _end)
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    interrupts = signal.getsignal(signal.SIGINT)
    if interrupts is signal.default_int_handler:  # else they are ignored, as in the background of a shell
        signal.signal(signal.SIGINT, _end)
    from charrnn.cli.main import main as run

    signal.signal(signal.SIGINT, interrupts)
    run()


def _end(number: int, _frame: object) -> NoReturn:
    """Ends the process at once. (An exception could be swallowed or wrapped by an import that is going on.)"""
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(128 + number)


if __name__ == "__main__":
    main()
