"""Reading texts: files, directories and standard input, with their newlines as they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from charrnn.errors import ConfigError, CorpusError


def read_corpus(arguments: Sequence[str], encoding: str = "utf-8") -> str:
    """The text of every argument, joined: a file, a directory (its files, sorted), or `-` for standard input.

    Raises CorpusError where a file is missing or holds a byte that is no text, ConfigError for an unknown encoding.
    """
    return "".join(_decode(name, data, encoding) for argument in arguments for name, data in _read(argument))


def _read(argument: str) -> list[tuple[str, bytes]]:
    if argument == "-":
        return [("standard input", sys.stdin.buffer.read())]
    path = Path(argument)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
        if not files:
            raise CorpusError(f"{argument}: the directory holds no files; name one that holds text")
    else:
        files = [path]
    try:
        return [(str(file), file.read_bytes()) for file in files]
    except OSError as error:
        raise CorpusError(f"{error.filename}: cannot be read ({error.strerror}); check the path") from error


def _decode(name: str, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{name}: byte 0x{data[error.start]:02x} at offset {error.start} is not {encoding}; "
            "name the file's own encoding with --encoding"
        ) from error
    except LookupError as error:
        raise ConfigError(f"--encoding {encoding}: no such encoding; try utf-8, latin-1 or utf-16") from error
