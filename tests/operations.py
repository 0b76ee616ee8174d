"""The file operations of charrnn.storage.durable, recorded, and one of them refused or the last thing that happens."""

from __future__ import annotations

import builtins
import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from charrnn.storage import durable


class FileOperations:
    """Puts itself between durable.py and the system.

    `refuse` is the name of an operation, or its place in the log, that fails; a write fails after half of its bytes.
    At the place `die_at` the process ends with `status`, after half of the bytes too, and what no flush has handed to
    the system is lost.
    """

    def __init__(self, patch: pytest.MonkeyPatch | None = None, die_at: int | None = None, status: int = 0) -> None:
        patch = patch or pytest.MonkeyPatch()
        self.log: list[str] = []
        self.refuse: str | int | None = None
        self._die_at, self._status = die_at, status
        self._fsync, self._replace, self._open = os.fsync, os.replace, os.open
        patch.setattr(durable, "open", self.open, raising=False)
        patch.setattr(os, "fsync", self.fsync)
        patch.setattr(os, "replace", self.replace)
        patch.setattr(os, "open", self.open_directory)

    def note(self, operation: str) -> None:
        """One more operation: recorded, and refused or survived or not."""
        self.log.append(operation)
        if self._die_at == len(self.log) - 1:
            os._exit(self._status)
        if self.refuse in (operation, len(self.log) - 1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fails_next(self, operation: str) -> bool:
        """Whether `operation`, were it noted now, would not return."""
        return self.refuse in (operation, len(self.log)) or self._die_at == len(self.log)

    def open(self, path: Path, mode: str) -> Any:
        self.note("open")
        return RecordedFile(self, builtins.open(path, mode))

    def fsync(self, descriptor: int) -> None:
        directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self.note("fsync directory" if directory else "fsync")
        self._fsync(descriptor)

    def replace(self, source: Path, target: Path) -> None:
        self.note("replace")
        self._replace(source, target)

    def open_directory(self, path: Path, flags: int, *mode: int) -> int:
        self.note("open directory")
        return self._open(path, flags, *mode)


class RecordedFile:
    """A binary file that tells of each write, flush and close before it happens."""

    def __init__(self, operations: FileOperations, file: Any) -> None:
        self._operations, self._file = operations, file
        self.fileno, self.seek, self.tell = file.fileno, file.seek, file.tell

    def write(self, data: Any) -> int:
        if self._operations.fails_next("write"):
            self._file.write(memoryview(data)[: len(data) // 2])
            self._file.flush()
        self._operations.note("write")
        return int(self._file.write(data))

    def flush(self) -> None:
        self._operations.note("flush")
        self._file.flush()

    def __enter__(self) -> RecordedFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._operations.note("close")
