"""Whatever fails while a file is replaced: one StorageError, the old bytes, nothing left lying."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import child
import numpy as np
import pytest
from operations import FileOperations
from scale import SEED, scaled

from charrnn.errors import CheckpointError, ConfigError, StorageError
from charrnn.storage.archive import read_archive, write_archive
from charrnn.storage.durable import append_line, atomic_write_bytes, open_atomic, read_small

OLD = b"the old content"


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
    for size in range(0, 100_000, 1_999):  # 51 sizes
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


def test_without_follow_a_link_is_replaced_and_its_target_is_left_alone(old: Path) -> None:
    for name, target in (("link", old.name), ("broken", "nowhere"), ("circle", "circle"), ("up", "..")):
        link = old.with_name(name)
        link.symlink_to(target)
        atomic_write_bytes(link, b"new", follow=False)
        assert not link.is_symlink()
        assert link.read_bytes() == b"new"
    assert old.read_bytes() == OLD
    assert not old.with_name("nowhere").exists()


def test_lines_are_added_whole_to_a_file_that_is_made_at_need(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    append_line(path, "one")
    append_line(path, "zwei €")
    assert path.read_bytes() == "one\nzwei €\n".encode()
    with pytest.raises(ValueError, match="line end"):
        append_line(path, "three\nfour")


def test_a_line_is_complete_though_the_system_takes_a_byte_at_a_time(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1]))
        append_line(old, "a line of several bytes")
    assert old.read_bytes() == OLD + b"a line of several bytes\n"


def test_a_line_that_cannot_be_finished_is_taken_back(old: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in range(len(OLD), len(OLD) + 30):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(StorageError, match="too large") as caught:
                append_line(old, "x" * 30)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert_one_clear_line(caught.value, old)
        assert old.read_bytes() == OLD


def test_a_line_is_not_added_through_a_link_nor_to_what_is_no_file(old: Path) -> None:
    link, pipe, device = (old.with_name(name) for name in ("link", "pipe", "device"))
    link.symlink_to(old.name)
    os.mkfifo(pipe)
    device.symlink_to("/dev/null")
    for path, reason in ((link, "symbolic link"), (device, "symbolic link"), (pipe, "."), (old.parent, "directory")):
        with pytest.raises(StorageError, match=reason) as caught:
            append_line(path, "more")
        assert_one_clear_line(caught.value, path)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # with a reader the pipe could be opened
    try:
        with pytest.raises(StorageError, match="not a regular file"):
            append_line(pipe, "more")
    finally:
        os.close(reader)
    assert old.read_bytes() == OLD


def test_a_small_file_is_read_up_to_its_limit(old: Path) -> None:
    assert read_small(old, len(OLD)) == OLD
    with pytest.raises(CheckpointError, match=f"more than the {len(OLD) - 1} bytes"):
        read_small(old, len(OLD) - 1)
    with pytest.raises(ConfigError):
        read_small(old, 3, ConfigError)
    for path in (old.with_name("missing"), old / "below"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            read_small(path, 100)


def test_what_is_no_file_is_not_read_nor_waited_for(old: Path) -> None:
    pipe, device, circle = (old.with_name(name) for name in ("pipe", "device", "circle"))
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    circle.symlink_to("circle")
    for path in (pipe, device, old.parent, Path("a\0b")):
        with pytest.raises(CheckpointError, match=r"not a regular file|null"):
            read_small(path, 100)
    with pytest.raises(StorageError, match="symbolic links"):
        read_small(circle, 100)


def test_writers_that_die_leave_what_they_acknowledged(tmp_path: Path) -> None:
    """At each operation of a save, torn writes included, and by SIGKILL at 200 random instants."""
    kills = scaled(200, 1000)
    operations, saved = map(int, child.output(child.start("crash.py", tmp_path, SEED, kills), 600).split())
    print(f"seed {SEED}: {operations} operations, {kills} kills, {saved} saves acknowledged")
    assert operations > 20
    assert saved >= kills // 2  # every second writer lives until its first save
