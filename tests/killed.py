"""Trainings that are killed, stopped and asked to save at random instants, and resumed; run as a child, which forks.

    python killed.py DIRECTORY SEED KILLS

prints one line of JSON: how often each signal was sent, how many runs came to their end, and how many steps were taken.
Every run, however it was cut up, ends with the bits and the metrics of one that was left alone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

from charrnn.cli.main import main
from charrnn.storage import BEST, LAST
from charrnn.storage import checkpoint as checkpoints
from charrnn.training.cores import choose_workers
from charrnn.training.run import NEXT
from charrnn.training.settings import Settings

STEPS = 100
SETTINGS = f"""
hidden: 8,6
seq_length: 10
batch_size: 4
eval_every: 25
checkpoint_every: 7
max_steps: {STEPS}
threads: 1
"""
CODES = {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 0}


def start(arguments: list[str]) -> tuple[int, int]:
    """`charrnn train` in a fork: its process, and its standard error."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.dup2(writing, 2)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  open until the end; the old one may be of a file
        sys.argv = ["charrnn", "train", *arguments]
        try:
            main()
        except SystemExit as end:
            sys.stderr.flush()
            os._exit(int(end.code or 0))
        os._exit(99)
    os.close(writing)
    return child, reading


def ended(child: int, errors: int) -> tuple[int, str]:
    """Its exit code, and what else it said."""
    said = b""
    while piece := os.read(errors, 1 << 16):
        said += piece
    os.close(errors)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


def bits(run: Path) -> object:
    """All that two equal runs share."""
    arrays = {}
    for name in (LAST, BEST):
        checkpoint = checkpoints.load(run / name)
        for key, array in {**checkpoint.weights, **checkpoint.extra}.items():
            arrays[name, key] = array.tobytes()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        del row["characters_per_second"], row["seconds"]
    return arrays, rows


def cut_up(directory: Path, rng: random.Random, kills: int) -> Counter[str]:
    """Runs one after another, until so many signals have been sent."""
    text, config = directory / "text", directory / "config.yaml"
    text.write_text("the cat sat on the mat.\n" * 40)
    config.write_text(SETTINGS)
    begin = [str(text), "--config", str(config), "--out"]
    code, said = ended(*start([*begin, str(directory / "whole")]))
    assert code == 0, said
    expected = bits(directory / "whole")
    counts: Counter[str] = Counter()
    while counts["signals"] < kills:
        run = directory / f"run{counts['runs']}"
        arguments = [*begin, str(run)]
        while True:
            child, errors = start(arguments)
            kind = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
            head = b""
            if kind != signal.SIGKILL:  # from here on it handles them
                while b"training" not in head and (piece := os.read(errors, 1 << 16)):
                    head += piece
            time.sleep(rng.uniform(0, 0.25))
            os.kill(child, kind)
            code, said = ended(child, errors)
            assert code in (0, CODES[kind]), (code, kind, head, said)
            assert "Traceback" not in said and (code != 130 or "saved; " in said), said
            counts["signals"] += 1
            counts[kind.name] += 1
            if code == 0:
                break
            if (run / "manifest.json").exists() or (run / NEXT).exists():
                arguments = ["--resume", str(run)]
        assert bits(run) == expected, run
        counts["runs"] += 1
    return counts


if __name__ == "__main__":
    directory, seed, kills = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    # A signal may come when a file has been opened, and before the `with` that closes it; Python closes it then.
    warnings.filterwarnings("ignore", category=ResourceWarning)
    choose_workers(Settings(threads=1))
    from charrnn.cli import display, train  # noqa: F401  (imported once, for all forks)
    from charrnn.training import prepare  # noqa: F401

    print(json.dumps(cut_up(directory, random.Random(seed), kills)))
