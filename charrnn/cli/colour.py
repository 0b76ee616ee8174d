"""Whether standard output shows colours and underlining."""

from __future__ import annotations

import os
import sys


def wanted() -> bool:
    """It is a terminal that knows them, and NO_COLOR (https://no-color.org) is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
