"""Compressed files, unpacked while they are read, in bounded memory.

A file is known by its first bytes, whatever it is called. What is inside is read as a file by itself would be.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from charrnn.errors import ConfigError, CorpusError
from charrnn.extras import install

HEAD = 2048  # bytes by which a compression is known, and in which an xz file says what memory it needs
MOST_DICTIONARY = 1 << 28  # bytes of memory that an xz file may ask for; `xz -9` needs 65 MB
UNSUSPECTED = 1 << 28  # bytes that may come out of a file, however small it is:
MOST_TIMES = 500  # beyond these, at most so many times its own bytes; gzip makes 1,000 zeros one byte, and text 3 to 10


class Readable(Protocol):
    """The bytes of a file, from its beginning."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


@dataclass(frozen=True)
class Compression:
    """A format: what a file of it is called, and how its bytes begin (a pattern).

    `unpack` gives what reads the file's content, and the exceptions that mean that the file is damaged.
    """

    what: str
    begins: bytes
    unpack: Callable[[Any], tuple[Readable, tuple[type[Exception], ...]]]


def _zstd(packed: Any) -> tuple[Readable, tuple[type[Exception], ...]]:
    for module in ("compression.zstd", "backports.zstd"):  # Python's own since 3.14, and the same for those before
        try:
            zstd = import_module(module)
        except ImportError:
            continue
        return zstd.ZstdFile(packed), (zstd.ZstdError,)
    raise ConfigError(f"a zstd file needs the package backports.zstd; {install('zst')}, or unpack it, as by unzstd")


def _xz(packed: Any) -> tuple[Readable, tuple[type[Exception], ...]]:
    lzma.LZMADecompressor(memlimit=MOST_DICTIONARY).decompress(packed.head, 1)
    return lzma.LZMAFile(packed), (lzma.LZMAError,)


COMPRESSIONS = (
    Compression("a gzip file", rb"\x1f\x8b", lambda packed: (gzip.GzipFile(fileobj=packed), (zlib.error,))),
    Compression("a bzip2 file", rb"BZh[1-9]1AY&SY", lambda packed: (bz2.BZ2File(packed), ())),
    Compression("an xz file", rb"\xfd7zXZ\x00", _xz),
    Compression("a zstd file", rb"\x28\xb5\x2f\xfd", _zstd),
)


def unpacked(name: str, file: Readable) -> Readable:
    """What reads the content of a file, which stands at its beginning: its bytes, or, if it is compressed, what is
    inside. CorpusError while it is read where it is damaged, or grows beyond any text; ConfigError without a package.
    """
    begun = _Begun(file)
    found = next((c for c in COMPRESSIONS if re.match(c.begins, begun.head)), None)
    return _Unpacked(name, begun, found) if found else begun


class _Begun:
    """A file of which the first bytes, `head`, are known; `count` says how many have been read."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.head = self._left = file.read(HEAD)
        self.count = 0

    def read(self, size: int, /) -> bytes:
        data, self._left = self._left[:size], self._left[size:]
        if len(data) < size:
            data += self._file.read(size - len(data))
        self.count += len(data)
        return data


class _Unpacked:
    """The content of a compressed file."""

    def __init__(self, name: str, packed: _Begun, compression: Compression) -> None:
        self._name, self._packed, self._what = name, packed, compression.what
        self._given = 0
        self._damaged: tuple[type[Exception], ...] = (OSError, lzma.LZMAError)
        self._stream: Readable
        self._stream, damaged = self._checked(lambda: compression.unpack(packed))
        self._damaged = (OSError, *damaged)

    def read(self, size: int, /) -> bytes:
        data: bytes = self._checked(lambda: self._stream.read(size))
        self._given += len(data)
        if self._given > max(UNSUSPECTED, MOST_TIMES * self._packed.count):
            raise CorpusError(
                f"{self._name}: {self._what} that unpacks to more than {MOST_TIMES} times its size, which is hardly a "
                "text; unpack it first if it is one"
            )
        return data

    def _checked(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except EOFError:
            raise CorpusError(f"{self._name}: {self._what} whose end is missing; copy or fetch it again") from None
        except self._damaged as error:
            if isinstance(error, OSError) and error.errno is not None:  # the system's, not the format's
                raise
            raise CorpusError(
                f"{self._name}: {self._what} that is damaged ({error}); copy or fetch it again"
            ) from error
