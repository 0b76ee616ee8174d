"""How a training uses the machine. To import this must not import NumPy: it chooses the BLAS that NumPy loads."""

from __future__ import annotations

from charrnn import blas
from charrnn.training.settings import Settings


def choose_workers(settings: Settings) -> int:
    """Prepares the BLAS for a training, if NumPy has not loaded it yet, and chooses how many processes share it."""
    h, shards = max(settings.hidden), settings.resolved_shards
    return blas.configure(settings.threads, shards, max(1, settings.batch_size // shards), h)
