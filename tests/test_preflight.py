"""What is said before a run starts is true."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

from charrnn.text.batches import Streams
from charrnn.training.config import TrainConfig
from charrnn.training.loop import Trainer
from charrnn.training.preflight import describe_bytes, expected_seconds, memory_bytes


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50},
        {"hidden": (100,), "batch_size": 32, "seq_length": 64},
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "symbols": 200},
        {"hidden": (48, 96, 32), "batch_size": 16, "seq_length": 64, "optimizer": "sgd"},
        {"hidden": (64, 64), "batch_size": 4, "seq_length": 1500},
        {"hidden": (64, 64), "batch_size": 4, "seq_length": 1500, "recompute": True},
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "truncation": "sliding", "tau": 20},
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "dropout": 0.5},
        {"hidden": (64, 64), "batch_size": 8, "seq_length": 1500, "recompute": True, "dropout": 0.5},
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "workers": 2, "dtype": "float64"},
        {"hidden": (512,), "batch_size": 16, "seq_length": 50, "workers": 4},
        {"hidden": (256, 256), "batch_size": 1, "seq_length": 25},
    ],
    ids=str,
)
def test_the_memory_that_is_announced_is_within_a_tenth_of_what_is_used(options: dict[str, Any]) -> None:
    workers = options.get("workers", 1)
    symbols = options.get("symbols", 65)
    config = TrainConfig(**{k: v for k, v in options.items() if k not in ("workers", "symbols")}, max_steps=10)
    size = max(4 * config.batch_size * config.seq_length, 1000)
    ids = np.random.default_rng(0).integers(0, symbols, size).astype(np.uint8)
    streams = Streams(ids, config.batch_size, config.seq_length)
    tracemalloc.start()
    trainer = Trainer(config, symbols, streams, workers)
    trainer.update()
    tracemalloc.reset_peak()  # of starting weights drawn in double precision, and of buffers that grew once
    trainer.update()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    used += trainer.stack.nbytes - trainer.stack.stack.nbytes  # of the other workers, and what they share
    assert memory_bytes(trainer) == pytest.approx(used, rel=0.1)


def test_the_time_that_is_announced_respects_the_limits_and_changes_nothing() -> None:
    ids = np.random.default_rng(0).integers(0, 9, 1000).astype(np.uint8)
    config = TrainConfig(hidden=(8,), batch_size=4, seq_length=10, max_minutes=2)
    trainer, untouched = (Trainer(config, 9, Streams(ids, 4, 10)) for _ in range(2))
    assert expected_seconds(trainer) == pytest.approx(120)
    assert trainer.update() == untouched.update()


def test_bytes_are_shown_with_three_digits() -> None:
    assert [describe_bytes(x) for x in (999, 1234, 45_600_000, 7.89e9)] == ["999 B", "1.23 kB", "45.6 MB", "7.89 GB"]
