"""From files to ids: texts of any size, read in pieces, with their newlines as they are.

A text is read twice: once for its vocabulary, its length and its checksum, once for its ids. Up to `IN_MEMORY` bytes of
ids stay in memory; more are written to a file and mapped, so that a corpus may be larger than memory.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from charrnn.errors import ConfigError, CorpusError, StorageError
from charrnn.storage.ids import map_ids, write_ids
from charrnn.text.tokenizer import Ids, Tokenizer, code_points, ids_dtype

PIECE = 1 << 22
IN_MEMORY = 64_000_000

Progress = Callable[[int], object] | None


@dataclass(frozen=True)
class EncodedCorpus:
    """A text as ids (characters,), its vocabulary, and the SHA-256 of the text in UTF-8.

    `release` gives the memory of a mapped text back to the system; for a text in memory it does nothing.
    """

    ids: Ids
    symbols: str
    sha256: str
    release: Callable[[], object] = field(default=lambda: None)

    @property
    def characters(self) -> int:
        """Characters, which are as many as ids."""
        return len(self.ids)


def read_corpus(arguments: Sequence[str], encoding: str = "utf-8") -> str:
    """The text of every argument, joined: a file, a directory (its files, sorted), or `-` for standard input.

    A byte order mark is no part of a UTF-8 text. Raises CorpusError where a file is missing or holds a byte that is no
    text, ConfigError for an unknown encoding.
    """
    with _Sources(arguments, encoding) as sources:
        return "".join(piece if isinstance(piece, str) else piece.decode() for _, piece in sources.pieces())


def encode_corpus(
    arguments: Sequence[str],
    encoding: str = "utf-8",
    ids_path: Path | None = None,
    symbols: str | None = None,
    unknown: str = "error",
    progress: Progress = None,
    between: str = "",
) -> EncodedCorpus:
    """The ids of a text in the vocabulary `symbols`, or in its own (its distinct characters, sorted).

    `between`, one character or none, is put where one file ends and the next begins, and belongs to the vocabulary.
    Ids of a text from standard input, and those that are too many for memory, are kept in `ids_path`, if given.
    `progress` is called with numbers of bytes read. Raises CorpusError, ConfigError and StorageError.
    """
    with _Sources(arguments, encoding, between) as sources:
        digest, seen = _survey(sources, progress)
        seen[code_points(between)] = True
        vocabulary = symbols if symbols is not None else "".join(map(chr, np.flatnonzero(seen)))
        if not vocabulary:
            raise CorpusError(f"{', '.join(arguments)}: the text is empty; name one that holds characters")
        tokenizer = Tokenizer(vocabulary)
        keep = ids_path is not None and (sources.once or sources.bytes * tokenizer.dtype.itemsize > IN_MEMORY)
        again = hashlib.sha256()
        encoded = _encoded(sources, tokenizer, unknown, again, progress)
        if ids_path is None or not keep:
            ids = np.concatenate([np.empty(0, tokenizer.dtype), *encoded])
            corpus = EncodedCorpus(ids, vocabulary, digest)
        else:
            write_ids(ids_path, _header(digest, vocabulary), encoded)
            corpus = open_ids(ids_path, digest, vocabulary)
        if again.hexdigest() != digest:
            raise CorpusError(f"{', '.join(arguments)}: the text changed while it was read; try again")
    return corpus


def checksum(arguments: Sequence[str], encoding: str = "utf-8", progress: Progress = None, between: str = "") -> str:
    """The SHA-256 of the text in UTF-8, as in `EncodedCorpus`."""
    digest = hashlib.sha256()
    with _Sources(arguments, encoding, between) as sources:
        for _, piece in sources.pieces():
            digest.update(piece.encode() if isinstance(piece, str) else piece)
            if progress:
                progress(len(piece))
    return digest.hexdigest()


class _Sources:
    """The files behind the arguments. Standard input and pipes can be read only once: what they held is kept."""

    def __init__(self, arguments: Sequence[str], encoding: str, between: str = "") -> None:
        self.arguments, self.encoding, self.between = arguments, encoding, between
        try:
            "".encode(encoding)  # refuses what `codecs.lookup` finds but is no encoding of text, as rot13
            name = codecs.lookup(encoding).name
        except (LookupError, ValueError):
            raise ConfigError(f"encoding {encoding}: no such encoding; try utf-8, latin-1 or utf-16") from None
        self._codec = "utf-8-sig" if name == "utf-8" else name
        self._spooled: dict[str, IO[bytes]] = {}
        self.bytes = 0

    def __enter__(self) -> _Sources:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._spooled.values():
            file.close()

    @property
    def once(self) -> bool:
        """Whether some of the text cannot be read again after this run."""
        return bool(self._spooled)

    def pieces(self) -> Iterator[tuple[str, str | bytes]]:
        """Name and next piece of text; a piece that is all ASCII comes as bytes, which saves its decoding."""
        self.bytes = 0
        between = ""
        for argument in self.arguments:
            for path in _files(argument):
                if between:
                    yield path, between
                between = self.between
                try:
                    with self._open(path) as file:
                        yield from self._decoded(path, file)
                except OSError as error:
                    raise CorpusError(f"{path}: cannot be read ({error.strerror}); check the path") from error

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        if can_be_read_again(path):
            with open(path, "rb") as file:
                yield file
            return
        if path not in self._spooled:
            spool = self._spooled[path] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  closed by __exit__
            if path == "-" and sys.stdin is None:
                raise CorpusError("standard input is closed; name a file, or pipe a text into charrnn")
            with contextlib.nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as source:
                while piece := source.read(PIECE):
                    try:
                        spool.write(piece)
                    except OSError as error:
                        raise StorageError(
                            f"{tempfile.gettempdir()}: no room for what {path} brings ({error.strerror}); "
                            "free some, or set TMPDIR to another directory"
                        ) from error
        self._spooled[path].seek(0)
        yield self._spooled[path]

    def _decoded(self, path: str, file: IO[bytes]) -> Iterator[tuple[str, str | bytes]]:
        name = "standard input" if path == "-" else path
        decoder = codecs.getincrementaldecoder(self._codec)()
        utf8 = self._codec == "utf-8-sig"
        position, pending = 0, 0
        while True:
            data = file.read(PIECE)
            # Nothing pending: a UTF-8 piece of ASCII is its own text. The first piece goes the long way, for the mark.
            if utf8 and position and not pending and data and data.isascii():
                yield name, data
            else:
                try:
                    text = decoder.decode(data, final=not data)
                except UnicodeError as error:
                    start = getattr(error, "start", 0)
                    whole = getattr(error, "object", data)
                    offset = position - pending + start
                    byte = f"byte 0x{whole[start]:02x} at offset" if start < len(whole) else "offset"
                    raise CorpusError(
                        f"{name}: {byte} {offset} is not {self.encoding}; give the encoding that the file has"
                    ) from error
                pending = len(decoder.getstate()[0])
                if text:
                    if not utf8 and (code_points(text) >> 11 == 0xD800 >> 11).any():
                        raise CorpusError(f"{name}: holds surrogates, which are no characters; convert it to UTF-8")
                    yield name, text
            position += len(data)
            self.bytes += len(data)
            if not data:
                return


def can_be_read_again(path: str) -> bool:
    """False for standard input (`-`), pipes and devices."""
    return path != "-" and (os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path))


def _files(argument: str) -> list[str]:
    if not argument:
        raise CorpusError("the name of a text is empty; name a file, a directory, or - for standard input")
    path = Path(argument)
    if argument == "-" or not path.is_dir():
        return [argument]
    files = sorted(
        str(p) for p in path.rglob("*") if p.is_file() and not any(q.startswith(".") for q in p.relative_to(path).parts)
    )
    if not files:
        raise CorpusError(f"{argument}: the directory holds no files; name one that holds text")
    return files


def _survey(sources: _Sources, progress: Progress) -> tuple[str, Ids]:
    """The text's checksum, and which code points it has (0x110000,)."""
    digest, seen = hashlib.sha256(), np.zeros(0x110000, bool)
    known = b""
    for _, piece in sources.pieces():
        if isinstance(piece, bytes):
            digest.update(piece)
            new = piece.translate(None, known)
            seen[np.frombuffer(new, np.uint8)] = True
            known = bytes(np.flatnonzero(seen[:128]).astype(np.uint8))
        else:
            digest.update(piece.encode("utf-8", "surrogatepass"))
            seen[code_points(piece)] = True
        if progress:
            progress(len(piece))
    return digest.hexdigest(), seen


def _encoded(sources: _Sources, tokenizer: Tokenizer, unknown: str, digest: Any, progress: Progress) -> Iterator[Ids]:
    """The ids of one piece after another."""
    table = bytearray(256)
    ascii_known = tokenizer.size <= 256
    for i, symbol in enumerate(tokenizer.symbols[:256]):
        if ord(symbol) < 128:
            table[ord(symbol)] = i & 255
    others = bytes(c for c in range(128) if chr(c) not in tokenizer.symbols)
    line = 1
    for name, piece in sources.pieces():
        digest.update(piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece)
        if isinstance(piece, bytes) and ascii_known and len(piece.translate(None, others)) == len(piece):
            yield np.frombuffer(piece.translate(bytes(table)), np.uint8)
            line += piece.count(b"\n")
        else:
            text = piece.decode() if isinstance(piece, bytes) else piece
            yield tokenizer.encode(text, unknown=unknown, source=name, line=line)
            line += text.count("\n")
        if progress:
            progress(len(piece))


def open_ids(path: Path, sha256: str, symbols: str, verify: bool = False) -> EncodedCorpus:
    """The ids that were kept for exactly this text and vocabulary, mapped; CorpusError if they are another's.

    `verify` reads them all, to see that none has changed.
    """
    ids, release = map_ids(path, _header(sha256, symbols), ids_dtype(len(symbols)), verify=verify)
    return EncodedCorpus(ids, symbols, sha256, release)


def _header(sha256: str, symbols: str) -> dict[str, str]:
    return {"sha256": sha256, "dtype": ids_dtype(len(symbols)).str, "symbols": _digest(symbols)}


def _digest(symbols: str) -> str:
    return hashlib.sha256(symbols.encode("utf-8", "surrogatepass")).hexdigest()
