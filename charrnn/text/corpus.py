"""From files to ids: texts of any size, read in pieces, with their newlines as they are.

A text is read twice: once for its vocabulary, its length and its checksum, once for its ids. Up to `IN_MEMORY` bytes of
ids stay in memory; more are written to a file and mapped, so that a corpus may be larger than memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.errors import CorpusError
from charrnn.storage.ids import map_ids, write_ids
from charrnn.text.characters import graphemes
from charrnn.text.reading import UTF8, Reading
from charrnn.text.sources import IN_MEMORY, Progress, Sources, spoken
from charrnn.text.tokenizer import GROW, Ids, Tokenizer, UnknownSymbolsError, code_points, ids_dtype


@dataclass(frozen=True)
class EncodedCorpus:
    """A text as ids (symbols,), its vocabulary, and the SHA-256 of the text in UTF-8, or of its bytes.

    `release` gives the memory of a mapped text back to the system; for a text in memory it does nothing. `files` says
    how many files were read (0: none, the ids were kept), `notes` what was left out or changed, a line each.
    """

    ids: Ids
    tokenizer: Tokenizer
    sha256: str
    release: Callable[[], object] = field(default=lambda: None)
    files: int = 0
    notes: tuple[str, ...] = ()

    @property
    def symbols(self) -> Sequence[str]:
        """The vocabulary."""
        return self.tokenizer.symbols

    @property
    def characters(self) -> int:
        """Symbols, which are as many as ids."""
        return len(self.ids)


def read_corpus(arguments: Sequence[str], reading: Reading = UTF8) -> str:
    """The text of every argument, joined: a file, a directory, or `-` for standard input.

    A byte order mark is no part of a text. Raises CorpusError where a file is missing or is no text.
    """
    with Sources(arguments, reading) as sources:
        pieces = [piece for _, piece in sources.pieces()]
    if reading.unit == "byte":
        return b"".join(piece for piece in pieces if isinstance(piece, bytes)).decode("utf-8", "replace")
    return "".join(piece if isinstance(piece, str) else piece.decode() for piece in pieces)


def encode_corpus(
    arguments: Sequence[str],
    reading: Reading = UTF8,
    ids_path: Path | None = None,
    tokenizer: Tokenizer | None = None,
    unknown: str = "error",
    progress: Progress = None,
) -> EncodedCorpus:
    """The ids of a text in the vocabulary of `tokenizer`, whose unit and normal form then hold, or in its own.

    Its own are its distinct symbols, sorted. Where `unknown` is GROW, a vocabulary takes in the symbols that it lacks.
    What the reading puts between files belongs to it too.
    Ids of a text from standard input, and those that are too many for memory, are kept in `ids_path`, if given.
    `progress` is called with numbers of bytes read. Raises CorpusError and StorageError, and ConfigError where
    graphemes cannot be told.
    """
    if tokenizer is not None:
        reading = replace(reading, unit=tokenizer.unit, normalize=tokenizer.normalize)
    name = ", ".join(map(spoken, arguments))
    with Sources(arguments, reading, progress) as sources:
        digest, own = _survey(sources)
        if tokenizer is None or unknown == GROW:
            before = tokenizer.symbols if tokenizer else ()
            if not sources.bytes or (not own and not before):
                raise CorpusError(f"{name}: the text is empty; name one that holds characters")
            tokenizer = Tokenizer.of({*own, *before}, reading.unit, reading.normalize)
        keep = ids_path is not None and (sources.once or sources.bytes * tokenizer.dtype.itemsize > IN_MEMORY)
        again = hashlib.sha256()
        encoded = _encoded(sources, tokenizer, unknown, again)
        changed = CorpusError(f"{name}: the text changed while it was read; try again")
        try:
            if ids_path is None or not keep:
                corpus = EncodedCorpus(np.concatenate([np.empty(0, tokenizer.dtype), *encoded]), tokenizer, digest)
            else:
                write_ids(ids_path, _header(digest, tokenizer), encoded)
                corpus = open_ids(ids_path, digest, tokenizer)
        except UnknownSymbolsError as error:
            raise changed if set(own) <= set(tokenizer.symbols) else error from None
        if again.hexdigest() != digest:
            raise changed
        return replace(corpus, files=sources.files, notes=tuple(sources.notes))


def vocabulary_of(arguments: Sequence[str], reading: Reading = UTF8) -> Sequence[str]:
    """The distinct symbols of a text, and of what the reading puts between files, sorted."""
    with Sources(arguments, reading) as sources:
        return _survey(sources)[1]


def checksum(arguments: Sequence[str], reading: Reading = UTF8, progress: Progress = None) -> str:
    """The SHA-256 of the text, as in `EncodedCorpus`."""
    digest = hashlib.sha256()
    with Sources(arguments, reading, progress) as sources:
        for _, piece in sources.pieces():
            digest.update(piece.encode() if isinstance(piece, str) else piece)
    return digest.hexdigest()


def _survey(sources: Sources) -> tuple[str, Sequence[str]]:
    """The text's checksum, and the distinct symbols of it and of what may stand between files, sorted."""
    unit = sources.reading.unit
    digest, seen = hashlib.sha256(), np.zeros(0x110000, bool)
    seen[code_points(sources.reading.between)] = True
    clusters: set[str] = set()
    known = b""
    for _, piece in sources.pieces():
        digest.update(piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass"))
        if isinstance(piece, bytes):
            new = piece.translate(None, known)
            seen[np.frombuffer(new, np.uint8)] = True
            known = bytes(np.flatnonzero(seen[:256]).astype(np.uint8))
        elif unit == "grapheme":
            clusters.update(graphemes(piece))
        else:
            seen[code_points(piece)] = True
    points = "".join(map(chr, np.flatnonzero(seen)))
    return digest.hexdigest(), sorted(clusters.union(points)) if unit == "grapheme" else points


def _encoded(sources: Sources, tokenizer: Tokenizer, unknown: str, digest: Any) -> Iterator[Ids]:
    """The ids of one piece after another."""
    line, file = 1, ""
    for name, piece in sources.pieces():
        if name != file:
            line, file = 1, name
        digest.update(piece if isinstance(piece, bytes) else piece.encode("utf-8", "surrogatepass"))
        yield tokenizer.encode_piece(piece, unknown=unknown, source=name, line=line)
        line += piece.count(b"\n") if isinstance(piece, bytes) else piece.count("\n")


def open_ids(path: Path, sha256: str, tokenizer: Tokenizer, verify: bool = False) -> EncodedCorpus:
    """The ids that were kept for exactly this text and vocabulary, mapped; CorpusError if they are another's.

    `verify` reads them all, to see that none has changed.
    """
    ids, release = map_ids(path, _header(sha256, tokenizer), tokenizer.dtype, verify=verify)
    return EncodedCorpus(ids, tokenizer, sha256, release)


def _header(sha256: str, tokenizer: Tokenizer) -> dict[str, str]:
    return {"sha256": sha256, "dtype": ids_dtype(tokenizer.size).str, "symbols": _digest(tokenizer)}


def _digest(tokenizer: Tokenizer) -> str:
    """The SHA-256 of a vocabulary: of its characters, or of a list that keeps symbols of several code points apart."""
    symbols = tokenizer.symbols
    plain = symbols if isinstance(symbols, str) else json.dumps(symbols)
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
