"""Write a file so that a crash at any instant leaves the old content or the new, never a mixture.

The order is what makes it hold: write a temporary file beside the target, flush it, fsync it,
rename it over the target, fsync the directory. Without the first fsync a power cut can leave the
new name on empty data; without the last one it can bring the old file back after success was
reported.
"""

from __future__ import annotations

import os
import secrets
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from charrnn.errors import StorageError

BytesLike = bytes | bytearray | memoryview


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file whose content replaces that of `path` when the block ends normally.

    On any exception the temporary file goes and `path` stays as it was. A symbolic link stays and
    its target is replaced. The new file gets the permissions of any new file (0666 less the umask).
    Raises StorageError when the operating system refuses any step. Only when the last one fails,
    the fsync of the directory, does the new content stand all the same.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            # A rename would put a regular file in the place of, say, /dev/null.
            raise StorageError(f"cannot write {path}: not a regular file; choose another name")
        # A name of its own length: the target's may already be as long as the system allows.
        temporary = target.with_name(f".charrnn-{secrets.token_hex(8)}.tmp")
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; what stood there before is "
            "unchanged, check the free space and the permissions of its directory"
        ) from error

    try:
        _fsync_directory(target.parent)
    except OSError as error:
        raise StorageError(
            f"wrote {path} but cannot flush its directory to disk: {error.strerror or error}; "
            "a power cut now may bring the previous file back, check the disk"
        ) from error


def atomic_write_bytes(path: Path, data: BytesLike | Iterable[BytesLike]) -> None:
    """Replace the content of `path` by `data`, one buffer or several in turn, whole or not at all.

    Raises StorageError as `open_atomic` does.
    """
    chunks = [data] if isinstance(data, bytes | bytearray | memoryview) else data
    with open_atomic(path) as file:
        for chunk in chunks:
            file.write(chunk)


def _fsync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """SIGINT and SIGTERM take effect at the end of the block, in the main thread, which alone they reach in Python."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []  # numbers of signals
    before = {number: signal.signal(number, lambda n, _: held.append(n)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        for first in held[:1]:
            signal.raise_signal(first)
