"""Python in a process of its own, with one thread of BLAS, so that it may fork and limit itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    """The script of this name in tests/, at work; its standard output and error are pipes."""
    paths = f"{TESTS.parent}{os.pathsep}{TESTS}"
    return subprocess.Popen(
        [sys.executable, "-W", "error", str(TESTS / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str], seconds: float = 120) -> str:
    """What it wrote to standard output; AssertionError with what it said if it failed."""
    with process:
        written, said = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return written
