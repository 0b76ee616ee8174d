"""Files that are elsewhere, by their addresses, as s3://bucket/corpus.txt.gz, read by fsspec.

Texts are read from a network here alone, and only by `opened`. Beside it, `experiments/cluster.py` reaches a scheduler
of dask and its workers, and `engine/mpi.py` the ranks of an MPI launch.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, cast
from urllib.parse import urlsplit

from charrnn.errors import ConfigError, CorpusError, shown
from charrnn.extras import install

BUFFER = 1 << 20  # bytes asked for at a time, at least
CONNECT = 30  # seconds until an HTTP server is connected with
SILENCE = 120  # seconds that it may be silent for; aiohttp allows 300 for a whole file


def is_address(name: str) -> bool:
    """Whether a text is named by its address: by a protocol, as s3, or several, and ://."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.:-]+://", name) is not None


def base_name(address: str) -> str:
    """The last part of an address's path: without a query, which may hold a key."""
    try:
        parts = urlsplit(address.partition("::")[0])
    except ValueError:  # as of a bracket that is not closed; to open it is an error, with a line
        return "text"
    return PurePosixPath(parts.path).name or parts.hostname or "text"


@contextlib.contextmanager
def opened(address: str, seekable: bool = False) -> Iterator[IO[bytes]]:
    """The file at an address, to be read from its beginning, or `seekable` (which some servers do not allow).

    CorpusError if it cannot be reached, now or while it is read; ConfigError without the packages that it needs.
    """
    with _told(address):
        options: dict[str, Any] = {}
        try:
            from fsspec.core import url_to_fs

            if re.match("(?i)https?://", address):
                from aiohttp import ClientTimeout

                patient = ClientTimeout(total=None, sock_connect=CONNECT, sock_read=SILENCE)
                options = {"client_kwargs": {"timeout": patient}}
                if not seekable:
                    options["block_size"] = 0  # one answer, read as it comes
        except ImportError as error:
            package = (error.name or "fsspec").partition(".")[0]
            raise ConfigError(
                f"{address}: an address needs the package {package}; {install('sources')}, or name a file"
            ) from None
        system, path = url_to_fs(address, **options)
        file = system.open(path, "rb")
    with io.BufferedReader(_Remote(address, file), BUFFER) as reader:
        yield reader


class _Remote(io.RawIOBase):
    """A file of fsspec whose errors are CorpusError."""

    def __init__(self, address: str, file: Any) -> None:
        self._address, self._remote = address, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._remote.seekable())

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        with _told(self._address):
            data = cast(bytes, self._remote.read(len(view)))
            view[: len(data)] = data
            return len(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        with _told(self._address):
            return cast(int, self._remote.seek(offset, whence))

    def tell(self) -> int:
        return cast(int, self._remote.tell())

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(Exception):  # what was read is read
                self._remote.close()
        super().close()


@contextlib.contextmanager
def _told(address: str) -> Iterator[None]:
    """Any error of fsspec and of the libraries behind it, which share no base class, as one line."""
    try:
        yield
    except ConfigError:
        raise
    except ImportError as error:  # fsspec says which package a protocol needs
        raise ConfigError(f"{address}: {shown(str(error), 200)}; install what it needs, or name a file") from error
    except Exception as error:
        what = str(error).strip()
        if not what or what in address or isinstance(error, FileNotFoundError):
            what = "no such file, or no answer" if isinstance(error, FileNotFoundError) else type(error).__name__
        raise CorpusError(
            f"{address}: cannot be read ({shown(what, 200)}); check the address and the network, and try again"
        ) from error
