"""Writers that die: at each of their file operations in turn, and at random; run as a child, which forks them.

    python crash.py DIRECTORY SEED KILLS

ends with status 0 if every file that a writer left was what it had acknowledged, or what it was writing next.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
from operations import FileOperations

from charrnn.storage.checkpoint import Checkpoint, load, save

DIED = 77


def checkpoint(step: int) -> Checkpoint:
    """A network whose every number says of which step it is."""
    weights = {"W_xh1": (2, 50), "W_h1h1": (50, 50), "b_h1": (50,), "W_h1a": (50, 2), "b_a": (2,)}
    arrays = {name: np.full(shape, step, np.float64) for name, shape in weights.items()}
    return Checkpoint("rnn", (50,), "tanh", "ab", arrays, progress={"step": step})


def step_of(path: Path) -> int:
    """The step of the checkpoint in the file, all of it."""
    loaded = load(path)
    step = loaded.progress["step"]
    assert isinstance(step, int)
    assert all((array == step).all() for array in loaded.weights.values())
    return step


def die_at_each_operation(path: Path) -> int:
    """How many operations a save has; at each of them, and in the middle of each write, one writer dies."""
    save(path, checkpoint(1))
    place = 0
    while True:
        child = os.fork()
        if not child:
            FileOperations(die_at=place, status=DIED)
            save(path, checkpoint(2))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not status:
            break
        assert os.waitstatus_to_exitcode(status) == DIED, status
        step = step_of(path)
        assert step in (1, 2)
        if step == 2:
            save(path, checkpoint(1))
        place += 1
    assert step_of(path) == 2
    return place


def kill_at_random(path: Path, seed: int, kills: int) -> int:
    """How many saves were acknowledged by writers that SIGKILL ended."""
    rng = random.Random(seed)
    acknowledged = 0
    save(path, checkpoint(0))
    for kill in range(kills):
        reading, writing = os.pipe()
        before = step_of(path)
        child = os.fork()
        if not child:
            for step in range(before + 1, before + 10_000):
                save(path, checkpoint(step))
                os.write(writing, b".")
            os._exit(0)
        os.close(writing)
        first = os.read(reading, 1) if kill % 2 else b""  # on a busy machine a writer needs longer for its first save
        time.sleep(rng.uniform(0.001, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading, "rb") as pipe:
            saved = len(first + pipe.read())
        assert step_of(path) - before in (saved, saved + 1)
        acknowledged += saved
    return acknowledged


if __name__ == "__main__":
    directory, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    print(die_at_each_operation(directory / "a.npz"), kill_at_random(directory / "b.npz", seed, kills))
