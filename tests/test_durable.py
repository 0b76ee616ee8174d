"""Whatever fails while a file is replaced: one StorageError, the old bytes, nothing left lying."""

from __future__ import annotations

import builtins
import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.errors import StorageError
from charrnn.storage import durable
from charrnn.storage.archive import read_archive, write_archive
from charrnn.storage.durable import atomic_write_bytes, open_atomic

OLD = b"the old content"


class FileOperations:
    """Record every file operation of charrnn.storage.durable, and refuse one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[str] = []
        self.refuse: str | int | None = None  # the name of an operation, or its place in the log
        self._fsync, self._replace, self._open = os.fsync, os.replace, os.open
        monkeypatch.setattr(durable, "open", self.open, raising=False)
        monkeypatch.setattr(os, "fsync", self.fsync)
        monkeypatch.setattr(os, "replace", self.replace)
        monkeypatch.setattr(os, "open", self.open_directory)

    def note(self, operation: str) -> None:
        self.log.append(operation)
        if self.refuse in (operation, len(self.log) - 1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

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

    def open_directory(self, path: Path, flags: int) -> int:
        self.note("open directory")
        return self._open(path, flags)


class RecordedFile:
    """A binary file that tells of each write, flush and close before it happens."""

    def __init__(self, operations: FileOperations, file: Any) -> None:
        self._operations, self._file = operations, file
        self.fileno, self.seek, self.tell = file.fileno, file.seek, file.tell

    def write(self, data: Any) -> int:
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


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileOperations]:
    # Refusals must not outlast the test: pytest itself opens files.
    with monkeypatch.context() as patch:
        yield FileOperations(patch)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def assert_one_clear_line(error: StorageError, path: Path) -> None:
    assert str(path) in str(error)
    assert "\n" not in str(error)


def test_the_order_is_write_flush_fsync_close_replace_fsync_of_the_directory(
    old: Path, operations: FileOperations
) -> None:
    atomic_write_bytes(old, [b"new ", bytearray(b"con"), memoryview(b"tent")])
    assert operations.log == [
        *("open", "write", "write", "write", "flush", "fsync", "close", "replace"),
        *("open directory", "fsync directory"),
    ]
    assert old.read_bytes() == b"new content"


@pytest.mark.parametrize("operation", ["open", "write", "flush", "fsync", "close", "replace"])
def test_a_refused_operation_keeps_the_old_bytes_and_leaves_no_litter(
    operation: str, old: Path, operations: FileOperations
) -> None:
    operations.refuse = operation
    with pytest.raises(StorageError, match="Input/output error") as caught:
        atomic_write_bytes(old, b"new")
    assert_one_clear_line(caught.value, old)
    assert old.read_bytes() == OLD
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("operation", ["open directory", "fsync directory"])
def test_a_refused_fsync_of_the_directory_is_an_error_and_the_new_file_stands(
    operation: str, old: Path, operations: FileOperations
) -> None:
    operations.refuse = operation
    with pytest.raises(StorageError, match="flush its directory") as caught:
        atomic_write_bytes(old, b"new")
    assert_one_clear_line(caught.value, old)
    assert old.read_bytes() == b"new"
    assert list(old.parent.iterdir()) == [old]


def test_refusing_each_operation_of_an_archive_in_turn_keeps_the_old_bytes_until_the_replace(
    old: Path, operations: FileOperations
) -> None:
    arrays = {"W": np.arange(12.0).reshape(3, 4), "b": np.zeros(0, np.float32)}
    write_archive(old.with_name("good"), arrays, {"step": 7})
    count = len(operations.log)
    replaced = operations.log.index("replace") + 1
    old.with_name("good").unlink()
    for k in range(count):
        operations.log.clear()
        operations.refuse = k
        with pytest.raises(StorageError):
            write_archive(old, arrays, {"step": 7})
        assert list(old.parent.iterdir()) == [old]
        if k < replaced:
            assert old.read_bytes() == OLD, operations.log
        else:
            assert read_archive(old)[1] == {"step": 7}
    assert replaced == count - 2


def test_a_full_disk_keeps_the_old_bytes_and_leaves_no_litter(old: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse what goes beyond a size, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in range(0, 100_000, 4_999):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(StorageError, match="too large"):
                atomic_write_bytes(old, bytes(100_000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert old.read_bytes() == OLD
        assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("exception", [KeyboardInterrupt, ValueError])
def test_an_exception_in_the_block_passes_and_leaves_the_old_file_alone(
    exception: type[BaseException], old: Path
) -> None:
    with pytest.raises(exception), open_atomic(old) as file:
        file.write(b"half of the new con")
        raise exception
    assert old.read_bytes() == OLD
    assert list(old.parent.iterdir()) == [old]


def test_the_new_file_gets_the_permissions_of_any_new_file(old: Path) -> None:
    old.chmod(0o600)
    mask = os.umask(0o027)
    try:
        atomic_write_bytes(old, b"new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(old.stat().st_mode) == 0o640


def test_a_symbolic_link_stays_and_its_target_is_replaced(old: Path) -> None:
    link = old.with_name("link")
    link.symlink_to(old.name)
    atomic_write_bytes(link, b"new")
    assert link.is_symlink()
    assert old.read_bytes() == b"new"


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_neither_a_directory_nor_a_pipe_is_replaced(tmp_path: Path) -> None:
    directory, pipe = tmp_path / "directory", tmp_path / "pipe"
    directory.mkdir()
    os.mkfifo(pipe)
    for path in (directory, pipe):
        with pytest.raises(StorageError, match="not a regular file") as caught:
            atomic_write_bytes(path, b"new")
        assert_one_clear_line(caught.value, path)
    assert directory.is_dir()
    assert pipe.is_fifo()


def test_a_missing_directory_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "file"
    with pytest.raises(StorageError, match="No such file or directory") as caught:
        atomic_write_bytes(path, b"new")
    assert_one_clear_line(caught.value, path)
