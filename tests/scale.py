"""How much the tests of reliability try: little in `make test`, much in `make torture`, by the same code.

The seed of what is random is 0, or with CHARRNN_TORTURE=1 a new one; CHARRNN_SEED gives it. Each run prints it.
"""

from __future__ import annotations

import os
import random

LONG = os.environ.get("CHARRNN_TORTURE") == "1"
SEED = int(os.environ.get("CHARRNN_SEED") or (random.SystemRandom().randrange(2**24) if LONG else 0))
# What the children of this process draw is the same.
os.environ["CHARRNN_SEED"] = str(SEED)


def scaled(short: int, long: int) -> int:
    """The number of trials."""
    return long if LONG else short
