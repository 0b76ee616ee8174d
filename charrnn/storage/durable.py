"""Write a file so that a crash at any instant leaves the old content or the new, never a mixture.

Files of a run may come from anyone, with links and pipes among them: `follow=False`, `append_line` and `read_small` are
for those. They neither write through a link nor wait for a pipe.

The order of the steps guarantees this: write a temporary file beside the target, flush it, fsync it,
rename it over the target, fsync the directory. Without the first fsync a power cut can leave the
new name on empty data; without the last one it can bring the old file back after success was
reported.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from charrnn.errors import CharrnnError, CheckpointError, StorageError

BytesLike = bytes | bytearray | memoryview


# Windows has neither links that `open` could refuse nor pipes with a name in a directory.
_NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
BUFFER = 1 << 16  # bytes: a small file is read in one go, and seeking in it costs no call of the system


@contextmanager
def open_atomic(path: Path, *, follow: bool = True) -> Iterator[IO[bytes]]:
    """Yield a new binary file, which replaces `path` when the block ends without an exception.

    On any exception the temporary file is gone and `path` unchanged. Where `path` is a symbolic link, the link stays
    and its target is replaced; without `follow` the link itself is replaced, and its target is left alone: right for a
    name that the user did not choose. The new file gets the permissions of any new file (0666 less the umask).
    Raises StorageError when the operating system refuses any step. If only the last step fails, the fsync of the
    directory, the new content is already in place.
    """
    try:
        target = Path(os.path.realpath(path)) if follow else path
        if os.path.lexists(target) and not (target.is_file() or target.is_symlink()):
            # A rename would put a regular file in the place of, say, /dev/null.
            raise StorageError(f"cannot write {path}: not a regular file; choose another name")
        # Not the target's name with a suffix: that could exceed the longest name that the system allows.
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
        fsync_directory(target.parent)
    except OSError as error:
        raise StorageError(
            f"wrote {path} but cannot flush its directory to disk: {error.strerror or error}; "
            "a power cut now may bring the previous file back, check the disk"
        ) from error


def atomic_write_bytes(path: Path, data: BytesLike | Iterable[BytesLike], *, follow: bool = True) -> None:
    """Replace the content of `path` by `data`, one buffer or several in turn, whole or not at all.

    Links are treated, and StorageError is raised, as by `open_atomic`.
    """
    chunks = [data] if isinstance(data, bytes | bytearray | memoryview) else data
    with open_atomic(path, follow=follow) as file:
        for chunk in chunks:
            file.write(chunk)


def write_directory(path: Path, files: Mapping[str, bytes]) -> None:
    """Make a directory, which is missing or empty, with these files; whole or not at all. StorageError if it fails."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".charrnn-{secrets.token_hex(8)}.tmp")
    try:
        os.mkdir(temporary)
        try:
            for name, content in files.items():
                with open(temporary / name, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            fsync_directory(temporary)
            os.replace(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        fsync_directory(target.parent)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; check the free space and the permissions of its directory"
        ) from error


def append_line(path: Path, line: str) -> None:
    """Add `line`, which holds no line end, and a line end to the file, as `append_bytes` does."""
    if "\n" in line:
        raise ValueError("a line that holds a line end is several")
    append_bytes(path, line.encode("utf-8") + b"\n")


def append_bytes(path: Path, content: bytes) -> None:
    """Add `content` to the file, which is made if it is missing; all of it or nothing.

    Raises StorageError if `path` is a symbolic link or no regular file, and if the system refuses; what was written is
    then taken back. It is not flushed to the disk: it outlives this process, not a power cut.
    """
    data = memoryview(content)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINK | _NO_WAITING, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StorageError(f"cannot write {path}: not a regular file; remove it")
            before = os.fstat(descriptor).st_size
            try:
                while data:  # the system may write less than it is given
                    data = data[os.write(descriptor, data) :]
            except BaseException:
                with suppress(OSError):
                    os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror or str(error)
        raise StorageError(f"cannot write {path}: {reason}; check it, its directory and the free space") from error


def read_small(path: Path, limit: int, wrong: type[CharrnnError] = CheckpointError) -> bytes:
    """The content of a regular file of at most `limit` bytes; links are followed.

    Raises FileNotFoundError or NotADirectoryError if there is none, for only the caller knows what that means; `wrong`
    if it is a directory, pipe or device, or larger; StorageError if the system refuses.
    """
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except ValueError as error:
        raise wrong(f"cannot read {path}: {error}; restore the file") from error
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}; check its permissions and disk") from error
    if len(data) > limit:
        raise wrong(f"cannot read {path}: it has more than the {limit} bytes allowed; restore the file")
    return data


def read_whole(path: Path, limit: int | None = None, wrong: type[CharrnnError] = CheckpointError) -> bytes:
    """The content of a regular file of at most `limit` bytes (left out, half of this machine's memory).

    `wrong` if there is none or it is larger, before anything of it is read; StorageError if the system refuses.
    """
    allowed = memory() // 2 if limit is None else limit
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > allowed:
                raise ValueError(f"it has {size} bytes, more than the {allowed} allowed")
            return file.read()
    except (ValueError, MemoryError) as error:
        raise wrong(f"cannot read {path}: {error or 'it does not fit in memory'}; use another file") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise wrong(f"no file at {path}; check the path") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}; check its permissions and disk") from error


def memory() -> int:
    """Bytes of this machine's memory; where the system does not say, as many as an address can reach."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else sys.maxsize
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def open_regular(path: Path) -> IO[bytes]:
    """Open a file for reading, without waiting for a pipe's other end; ValueError if it is no regular file."""
    descriptor = os.open(path, os.O_RDONLY | _NO_WAITING | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is not a regular file")
    return os.fdopen(descriptor, "rb", buffering=BUFFER)


def fsync_directory(directory: Path) -> None:
    """Makes renames in the directory outlast a power cut; OSError if the system fails."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
