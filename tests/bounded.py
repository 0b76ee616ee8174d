"""Every hostile file, each loaded in a process of its own that may have one GiB and two seconds; run as a child.

    python bounded.py DIRECTORY

prints one line of JSON: for each file the error's line, the seconds it took, and the peak of memory in MB. They
are forked from one that has imported NumPy and has one thread: as many interpreters would take half a minute.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from forge import GOOD, npz
from hostile import HOSTILE
from hostile_checkpoints import CHECKPOINTS

from charrnn.errors import CheckpointError
from charrnn.storage.archive import read_archive
from charrnn.storage.checkpoint import load


def with_hole(path: Path, size: int) -> None:
    """A good archive's end after `size` bytes of nothing, which take no room on the disk."""
    with open(path, "wb") as file:
        file.seek(size)
        file.write(GOOD)


def outcome(path: Path, read: Callable[[Path], object]) -> list[object]:
    """What `read` says of the file, or the process's status, then seconds and MB."""
    reading, writing = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if not child:
        status = 1
        try:
            resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
            resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
            read(path)
        except CheckpointError as error:
            os.write(writing, str(error).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        line = pipe.read().decode()
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - started
    return [line if not status else f"status {status}", round(seconds, 3), usage.ru_maxrss // 1024]


def outcomes(directory: Path) -> dict[str, list[object]]:
    """Of each file, by its name in the tables."""
    found = {}
    path = directory / "a.npz"
    for read, table in ((read_archive, HOSTILE), (load, CHECKPOINTS)):
        for name, (content, _) in table.items():
            path.write_bytes(content)
            found[name] = outcome(path, read)
    many = npz((f"a{i}.npy", b"") for i in range(15_000))
    path.write_bytes(many)
    found["a directory of 15,000 entries"] = outcome(path, load)
    for size in (600_000_000, 2**40):
        with_hole(path, size)
        found[f"{size} bytes of hole"] = outcome(path, load)
    return found


if __name__ == "__main__":
    print(json.dumps(outcomes(Path(sys.argv[1]))))
