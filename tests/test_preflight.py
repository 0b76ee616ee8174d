"""What is said before a run starts is true."""

from __future__ import annotations

import gc
import json
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn as call

from charrnn import blas
from charrnn.engine.batch import Batch
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack
from charrnn.text.batches import Streams
from charrnn.training.loop import Trainer
from charrnn.training.preflight import describe_bytes, expected_seconds, preflight
from charrnn.training.settings import Settings


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A BLAS of one thread, as training has it."""
    monkeypatch.setenv(blas.THREADS[0], "1")
    blas.configure(1)


def used(make: Callable[[], Callable[[], object]], warm: bool = False) -> tuple[Callable[[], object], int]:
    """What is made, and the bytes that it holds and takes while it is called, as Python's own allocator counts them.

    The first call is not counted: starting weights are drawn in double precision, and buffers grow. Nor, unless all is
    `warm`, is what the first of all calls imports.
    """
    if not warm:
        make()()
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        made()
        tracemalloc.reset_peak()
        made()
        return made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def of_another_worker(trainer: Trainer) -> int:
    """The bytes that one shard of the trainer's batch takes."""
    streams, window = trainer.streams, trainer.truncation.window(0, trainer.streams.length)
    batch = Batch(*streams.read(0, 0, streams.seq_length), None, window)
    shard = batch.shards(trainer.engine.shards)[0]
    gradient = Parameters(trainer.architecture, trainer.config.dtype)

    def make() -> Callable[[], object]:
        stack = Stack(trainer.architecture, trainer.config.dtype)
        return lambda: shard.run(stack, trainer.parameters, gradient)

    return used(make, warm=True)[1]


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
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "shards": 2, "workers": 2, "dtype": "float64"},
        {"hidden": (512,), "batch_size": 16, "seq_length": 50, "shards": 4, "workers": 4},
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "shards": 2},
        {"hidden": (256, 256), "batch_size": 1, "seq_length": 25},
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "cell": "gru"},
        {"hidden": (64, 64), "batch_size": 4, "seq_length": 600, "recompute": True, "cell": "lstm"},
        {"hidden": (64, 48), "batch_size": 16, "seq_length": 50, "cell": "lstm", "truncation": "sliding", "tau": 20},
        {"hidden": (64, 64), "batch_size": 16, "seq_length": 50, "truncation": "fixed", "tau": 70},
    ],
    ids=str,
)
def test_the_memory_that_is_announced_is_within_a_tenth_of_what_is_used(options: dict[str, Any]) -> None:
    workers = options.get("workers", 1)
    symbols = options.get("symbols", 65)
    config = Settings(**{k: v for k, v in options.items() if k not in ("workers", "symbols")}, max_steps=10)
    size = max(4 * config.batch_size * config.seq_length, 1000)
    ids = np.random.default_rng(0).integers(0, symbols, size).astype(np.uint8)
    streams = Streams(ids, config.batch_size, config.seq_length)
    update, bytes_used = used(lambda: Trainer(config, symbols, streams, workers).update, warm=workers > 1)
    trainer: Trainer = update.__self__  # type: ignore[attr-defined]
    if workers > 1:  # what the other processes hold, and the memory that all share, are not Python's
        assert trainer.engine.workers == workers
        bytes_used += (workers - 1) * of_another_worker(trainer) + (1 + workers) * trainer.parameters.vector.nbytes
    announced = preflight(Trainer(config, symbols, streams, workers)).memory_bytes
    assert announced == pytest.approx(bytes_used, rel=0.1)
    assert trainer.memory_bytes() == pytest.approx(bytes_used, rel=0.1)


def test_the_time_that_is_announced_respects_the_limits_and_changes_nothing() -> None:
    ids = np.random.default_rng(0).integers(0, 9, 1000).astype(np.uint8)
    config = Settings(hidden=(8,), batch_size=4, seq_length=10, max_minutes=2)
    trainer, untouched = (Trainer(config, 9, Streams(ids, 4, 10)) for _ in range(2))
    assert expected_seconds(trainer) == pytest.approx(120)
    assert trainer.update() == untouched.update()


@pytest.mark.parametrize("name, tau", [("fixed", 30), ("sliding", 25), ("random", 7)])
def test_a_window_that_runs_steps_again_is_measured_as_such_and_nothing_is_changed(name: str, tau: int) -> None:
    ids = np.random.default_rng(0).integers(0, 9, 1000).astype(np.uint8)
    config = Settings(hidden=(8,), batch_size=4, seq_length=10, truncation=name, tau=tau, max_steps=12)
    trainer, untouched = (Trainer(config, 9, Streams(ids, 4, 10)) for _ in range(2))
    announced = preflight(trainer).memory_bytes
    assert [trainer.update() for _ in range(12)] == [untouched.update() for _ in range(12)]
    if name != "random":  # whose windows have any length
        assert trainer.memory_bytes() == pytest.approx(announced, rel=0.02)


def test_bytes_are_shown_with_three_digits() -> None:
    assert [describe_bytes(x) for x in (999, 1234, 45_600_000, 7.89e9)] == ["999 B", "1.23 kB", "45.6 MB", "7.89 GB"]


SMALL = ["--hidden", "6", "--seq-length", "10", "--batch-size", "4", "--threads", "1", "--max-steps", "4"]


@pytest.mark.parametrize("source", ["text", "-"])
def test_a_dry_run_says_what_a_run_says_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    text = b"the cat sat on the mat.\n" * 40
    Path("text").write_bytes(text)
    dry = call("train", source, "--dry-run", "--json", *SMALL, stdin=text)
    assert dry.code == 0 and [path.name for path in tmp_path.iterdir()] == ["text"]
    wet = call("train", source, *SMALL, stdin=text)
    said, *ended = dry.err.splitlines()[:3], dry.err.splitlines()[-1]
    assert said == wet.err.splitlines()[:3] and ended == ["dry run: nothing was written"]
    needed = json.loads(dry.out)
    assert needed["characters"] == 960 and needed["parameters"] > 0 and needed["memory_bytes"] > 0
    assert Path(needed["run"]).is_dir() and needed["seconds"] >= 0


def test_a_dry_run_refuses_what_a_run_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("the cat sat on the mat.\n" * 40)
    assert call("train", "text", "--out", "run", *SMALL).code == 0
    for out in ("run", "text"):
        dry, wet = (call("train", "text", "--out", out, *also, *SMALL) for also in (["--dry-run"], []))
        assert (dry.code, dry.err) == (wet.code, wet.err) and dry.code == 2
    assert call("train", "text", "--out", "run", "--force", "--dry-run", *SMALL).code == 0
    assert call("train", "--resume", "run", "--dry-run").code == 2
