"""The command line called in this process: many times faster than in one of its own."""

from __future__ import annotations

import io
import signal
import sys
from dataclasses import dataclass

import pytest

from charrnn.cli.main import main
from charrnn.cli.signals import SAVE, STOP


@dataclass(frozen=True)
class Called:
    """What a command left behind."""

    code: int
    out: str
    err: str


def charrnn(*arguments: str, stdin: bytes = b"") -> Called:
    """`charrnn ARGUMENTS` in the working directory; signals mean afterwards what they did before."""
    handlers = {kind: signal.getsignal(kind) for kind in (*STOP, *([SAVE] if SAVE else []))}
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["charrnn", *arguments])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        main()
    for kind, handler in handlers.items():
        signal.signal(kind, handler)
    written = []
    for stream in (out, err):
        stream.flush()
        buffer = stream.buffer
        assert isinstance(buffer, io.BytesIO)
        written.append(buffer.getvalue().decode())
    return Called(int(ended.value.code or 0), *written)
