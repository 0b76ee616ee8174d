"""From files to ids: texts of any size, read in pieces, with their newlines as they are.

A text is read twice: once for its vocabulary, its length and its checksum, once for its ids. Up to `IN_MEMORY` bytes of
ids stay in memory; more are written to a file and mapped, so that a corpus may be larger than memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import CorpusError
from charrnn.storage.ids import map_ids, write_ids
from charrnn.text.reading import UTF8, Reading
from charrnn.text.sources import IN_MEMORY, Sources
from charrnn.text.tokenizer import GROW, Ids, Tokenizer, UnknownSymbolsError, code_points, ids_dtype, union

Progress = Callable[[int], object] | None


@dataclass(frozen=True)
class EncodedCorpus:
    """A text as ids (characters,), its vocabulary, and the SHA-256 of the text in UTF-8.

    `release` gives the memory of a mapped text back to the system; for a text in memory it does nothing. `files` says
    how many files were read (0: none, the ids were kept), `notes` what was left out or changed, a line each.
    """

    ids: Ids
    symbols: str
    sha256: str
    release: Callable[[], object] = field(default=lambda: None)
    files: int = 0
    notes: tuple[str, ...] = ()

    @property
    def characters(self) -> int:
        """Characters, which are as many as ids."""
        return len(self.ids)


def read_corpus(arguments: Sequence[str], reading: Reading = UTF8) -> str:
    """The text of every argument, joined: a file, a directory, or `-` for standard input.

    A byte order mark is no part of a text. Raises CorpusError where a file is missing or is no text.
    """
    with Sources(arguments, reading) as sources:
        return "".join(piece if isinstance(piece, str) else piece.decode() for _, piece in sources.pieces())


def encode_corpus(
    arguments: Sequence[str],
    reading: Reading = UTF8,
    ids_path: Path | None = None,
    symbols: str | None = None,
    unknown: str = "error",
    progress: Progress = None,
) -> EncodedCorpus:
    """The ids of a text in the vocabulary `symbols`, or in its own (its distinct characters, sorted).

    Where `unknown` is GROW, the vocabulary takes in the characters that it lacks.
    What the reading puts between files belongs to it too.
    Ids of a text from standard input, and those that are too many for memory, are kept in `ids_path`, if given.
    `progress` is called with numbers of bytes read. Raises CorpusError and StorageError.
    """
    with Sources(arguments, reading) as sources:
        digest, seen = _survey(sources, progress)
        seen[code_points(reading.between)] = True
        own = "".join(map(chr, np.flatnonzero(seen)))
        vocabulary = own if symbols is None else union(own, symbols) if unknown == GROW else symbols
        if not vocabulary:
            raise CorpusError(f"{', '.join(arguments)}: the text is empty; name one that holds characters")
        tokenizer = Tokenizer(vocabulary)
        keep = ids_path is not None and (sources.once or sources.bytes * tokenizer.dtype.itemsize > IN_MEMORY)
        again = hashlib.sha256()
        encoded = _encoded(sources, tokenizer, unknown, again, progress)
        changed = CorpusError(f"{', '.join(arguments)}: the text changed while it was read; try again")
        try:
            if ids_path is None or not keep:
                corpus = EncodedCorpus(np.concatenate([np.empty(0, tokenizer.dtype), *encoded]), vocabulary, digest)
            else:
                write_ids(ids_path, _header(digest, vocabulary), encoded)
                corpus = open_ids(ids_path, digest, vocabulary)
        except UnknownSymbolsError as error:
            raise changed if set(own) <= set(vocabulary) else error from None
        if again.hexdigest() != digest:
            raise changed
        return replace(corpus, files=sources.files, notes=tuple(sources.notes))


def vocabulary_of(arguments: Sequence[str], reading: Reading = UTF8) -> str:
    """The distinct characters of a text, sorted."""
    with Sources(arguments, reading) as sources:
        return "".join(map(chr, np.flatnonzero(_survey(sources, None)[1])))


def checksum(arguments: Sequence[str], reading: Reading = UTF8, progress: Progress = None) -> str:
    """The SHA-256 of the text in UTF-8, as in `EncodedCorpus`."""
    digest = hashlib.sha256()
    with Sources(arguments, reading) as sources:
        for _, piece in sources.pieces():
            digest.update(piece.encode() if isinstance(piece, str) else piece)
            if progress:
                progress(len(piece))
    return digest.hexdigest()


def _survey(sources: Sources, progress: Progress) -> tuple[str, Ids]:
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


def _encoded(sources: Sources, tokenizer: Tokenizer, unknown: str, digest: Any, progress: Progress) -> Iterator[Ids]:
    """The ids of one piece after another."""
    table = bytearray(256)
    ascii_known = tokenizer.size <= 256
    for i, symbol in enumerate(tokenizer.symbols[:256]):
        if ord(symbol) < 128:
            table[ord(symbol)] = i & 255
    others = bytes(c for c in range(128) if chr(c) not in tokenizer.symbols)
    line, file = 1, ""
    for name, piece in sources.pieces():
        if name != file:
            line, file = 1, name
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
