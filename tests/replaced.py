"""A run that is replaced by another, killed at each operation on files in turn; run as a child, which forks.

    python replaced.py DIRECTORY

prints how many operations there are, and after how many kills the old run stood there, and the new one.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from crash import DIED, checkpoint, step_of

from charrnn.storage.checkpoint import save
from charrnn.training.run import Run, Source
from charrnn.training.settings import Settings

OLD, NEW = 1, 2


def write(run: Run, step: int) -> None:
    """Every number and text of it says of which step it is; the old one has all files that a run can have."""
    save(run.last, checkpoint(step))
    run.write_config(Settings(seed=step))
    run.write_manifest(Source((), str(step), 0, "error"), {})
    if step == OLD:
        save(run.best, checkpoint(step))
        run.log({"step": step})
    (run.directory / "ids.bin").write_text(str(step))


def replace(directory: Path) -> None:
    run = Run(directory)
    run.begin(force=True)
    write(run.stage(), NEW)
    run.replace()


def die_at(place: int) -> None:
    """The process ends before the operation with this number."""
    done = [0]

    def counted(operation: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if done[0] == place:
                os._exit(DIED)
            done[0] += 1
            return operation(*arguments, **options)

        return call

    for name in ("mkdir", "rename", "replace", "unlink", "rmdir", "fsync"):
        setattr(os, name, counted(getattr(os, name)))


def stands(directory: Path) -> int:
    """Which run stands there, all of it; without the lock there is at least a checkpoint."""
    assert step_of(directory) in (OLD, NEW)
    seed = Run(directory).resumed_settings({}).seed  # which puts the run in order
    run = Run(directory)
    run.lock()
    step = step_of(run.last)
    assert run.manifest().sha256 == (directory / "ids.bin").read_text() == str(step)
    assert seed == step
    assert run.best.exists() == (directory / "metrics.jsonl").exists() == (step == OLD)
    run.unlock()
    return step


if __name__ == "__main__":
    directory = Path(sys.argv[1]) / "run"
    found = []
    while True:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        write(Run(directory), OLD)
        child = os.fork()
        if not child:
            die_at(len(found))
            replace(directory)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not status:
            break
        assert os.waitstatus_to_exitcode(status) == DIED, status
        found.append(stands(directory))
    assert stands(directory) == NEW and sorted(os.listdir(directory)) == [
        *("config.yaml", "ids.bin", "last.npz", "manifest.json")
    ]
    print(len(found), found.count(OLD), found.count(NEW))
