"""The `charrnn` command, also as `python -m charrnn`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Runs the command line. An interrupt while it is still being loaded ends as quietly as a later one.

    A request to save (SIGUSR1) that comes before a training has begun is no reason to end.
    """
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        from charrnn.cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
