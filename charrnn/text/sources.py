"""From files to text, piece by piece, as often as it is asked for."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from charrnn.errors import CorpusError, StorageError
from charrnn.text.addresses import is_address, opened
from charrnn.text.characters import normalized_pieces, whole_graphemes
from charrnn.text.compressed import Readable, unpacked
from charrnn.text.files import HEAD, can_be_read_again, kind, read_directory, wide_encoding
from charrnn.text.reading import UTF8, Reading
from charrnn.text.records import Texts, is_json_lines, is_parquet, joined, json_texts, parquet_texts
from charrnn.text.tokenizer import code_points

PIECE = 1 << 22  # bytes read at a time
IN_MEMORY = 64_000_000  # bytes of a pipe that are kept in memory
MARK = "\ufeff"  # the byte order mark: no part of a text, wherever files were joined

Progress = Callable[[int], object] | None


class Sources:
    """The files behind the arguments: files, directories, addresses, or `-` for standard input.

    Standard input and pipes can be read only once: what they held is kept. A directory is looked through once, so that
    every reading is of the same files. Compressed files are unpacked as they are read. `progress` is called with
    numbers of bytes read, or unpacked.
    """

    def __init__(self, arguments: Sequence[str], reading: Reading = UTF8, progress: Progress = None) -> None:
        self.arguments, self.reading, self._progress = arguments, reading, progress
        self._spooled: dict[str, IO[bytes]] = {}
        self._files: dict[str, list[str]] = {}
        self._notes: list[str] = []
        self.bytes = 0
        self._marks = self._bad = self._null = 0

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._spooled.values():
            file.close()

    @property
    def once(self) -> bool:
        """Whether some of the text cannot be read again after this run, or not without a network."""
        return bool(self._spooled) or any(map(is_address, self.arguments))

    @property
    def files(self) -> int:
        """How many files the text was read from."""
        return sum(len(self._files[argument]) for argument in self.arguments)

    @property
    def notes(self) -> list[str]:
        """What a reading has left out or changed, a line each."""
        notes = list(self._notes)
        if self._bad:
            done = {"replace": "replaced by U+FFFD", "skip": "skipped"}[self.reading.on_bad_byte]
            what = "1 sequence of bytes that is" if self._bad == 1 else f"{self._bad:,} sequences of bytes that are"
            notes.append(f"{what} not {self.reading.encoding}: {done}")
        if self._null:
            notes.append(f"records without a text (null): {self._null:,} left out")
        if self._marks:
            notes.append(f"byte order marks inside the text: {self._marks:,} left out")
        return notes

    def pieces(self) -> Iterator[tuple[str, str | bytes]]:
        """Name and next piece of text; a piece that is all ASCII comes as bytes, which saves its decoding.

        Pieces part no symbol, and are in their normal form. Where the unit is the byte, they are the files' bytes, or
        what is inside of compressed ones. What the reading puts between files is a piece of its own. Without it, the
        files of a directory are parted by a line end where one does not end in it, unless they are read as bytes.
        Of records, what parts files parts each from the next, and without it always a line end.
        """
        self.bytes = self._marks = self._bad = self._null = 0
        between, before = self.reading.between.encode(), False
        for argument in self.arguments:
            ended = True
            for path in self._paths(argument):
                name, first = spoken(path), True
                if is_json_lines(path) or is_parquet(path):
                    name = f"the text of {path}"  # whose lines are not those of the file
                if between and before:
                    yield name, between
                before = True
                for piece in self._pieces_of(path):
                    if first and not ended and not between:
                        yield name, b"\n"
                    first = False
                    yield name, piece
                    ended = self.reading.unit == "byte" or piece[-1:] in ("\n", "\r", b"\n", b"\r")

    def _paths(self, argument: str) -> list[str]:
        if argument not in self._files:
            if not argument:
                raise CorpusError("the name of a text is empty; name a file, a directory, or - for standard input")
            if argument == "-" or is_address(argument) or not os.path.isdir(argument):
                self._files[argument] = [argument]
            else:
                found = read_directory(argument, self.reading)
                self._files[argument] = found.files
                note = found.note()
                if note:
                    self._notes.append(note)
        return self._files[argument]

    def _pieces_of(self, path: str) -> Iterator[str | bytes]:
        reading, name = self.reading, spoken(path)
        try:
            with self._open(path) as packed:
                if is_parquet(path):
                    pieces = self._of_records(name, parquet_texts(name, packed, reading.column))
                elif is_json_lines(path):
                    lines = self._decoded(path, name, unpacked(name, packed))
                    pieces = self._of_records(name, json_texts(name, lines, reading.column))
                elif reading.unit == "byte":
                    pieces = self._raw(unpacked(name, packed))
                else:
                    pieces = self._decoded(path, name, unpacked(name, packed))
                if reading.normalize != "none":
                    pieces = normalized_pieces(pieces, reading.normalize)
                if reading.unit == "grapheme":
                    pieces = whole_graphemes(pieces)
                yield from pieces
        except OSError as error:
            raise CorpusError(f"{name}: cannot be read ({error.strerror}); check the path") from error

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        if is_address(path) or can_be_read_again(path):
            with opened(path, seekable=is_parquet(path)) if is_address(path) else open(path, "rb") as file:
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
                            f"{tempfile.gettempdir()}: no room for what {spoken(path)} brings ({error.strerror}); "
                            "free some, or set TMPDIR to another directory"
                        ) from error
        self._spooled[path].seek(0)
        yield self._spooled[path]

    def _raw(self, file: Readable) -> Iterator[str | bytes]:
        while data := file.read(PIECE):
            self._took(len(data))
            yield data

    def _of_records(self, name: str, texts: Texts) -> Iterator[str | bytes]:
        """The texts of records, in the form of any text."""

        def known() -> Iterator[str]:
            for text in texts:
                if text is None:
                    self._null += 1
                else:
                    yield text

        for piece in joined(known(), self.reading.between, PIECE):
            text = self._clean(name, piece, surrogates=True)
            if is_parquet(name):
                self._took(len(text.encode()))
            if text:
                yield text.encode() if self.reading.unit == "byte" or text.isascii() else text

    def _took(self, count: int) -> None:
        self.bytes += count
        if self._progress and count:
            self._progress(count)

    def _decoded(self, path: str, name: str, file: Readable) -> Iterator[str | bytes]:
        reading = self.reading
        decoder = codecs.getincrementaldecoder(reading.codec)(_HANDLERS[reading.on_bad_byte])
        utf8 = reading.codec == "utf-8-sig"
        position, pending, begun = 0, 0, False
        while True:
            data = file.read(PIECE)
            if not position:
                self._check_head(name, data[:HEAD])
            # Nothing pending: a UTF-8 piece of ASCII is its own text. The first piece goes the long way, for the mark.
            if utf8 and position and not pending and data and data.isascii():
                yield data
            else:
                _calls.count = 0
                try:
                    text = decoder.decode(data, final=not data)
                except UnicodeError as error:
                    start = getattr(error, "start", 0)
                    whole = getattr(error, "object", data)
                    offset = position - pending + start
                    byte = whole[start] if start < len(whole) else None
                    raise self._bad_byte(path, name, offset, byte) from error
                self._bad += _calls.count
                pending = len(decoder.getstate()[0])
                if text and not begun:
                    text, begun = text.removeprefix(MARK), True
                text = self._clean(name, text, surrogates=not utf8)  # which other encodings let through
                if text:
                    yield text
            position += len(data)
            self._took(len(data))
            if not data:
                return

    def _clean(self, name: str, text: str, surrogates: bool) -> str:
        """The text without byte order marks, and without surrogates, if there may be any."""
        if MARK in text:
            self._marks += text.count(MARK)
            text = text.replace(MARK, "")
        found = int((code_points(text) >> 11 == 0xD800 >> 11).sum()) if surrogates and not text.isascii() else 0
        if found and self.reading.on_bad_byte == "error":
            raise CorpusError(
                f"{name}: holds surrogates, which are no characters; convert it to UTF-8, or let on_bad_byte replace "
                "or skip them"
            )
        if found:
            self._bad += found
            kept = "\ufffd" if self.reading.on_bad_byte == "replace" else ""
            text = "".join(kept if "\ud800" <= c <= "\udfff" else c for c in text)
        return text

    def _check_head(self, name: str, head: bytes) -> None:
        """CorpusError that says what a file is whose first bytes are those of no text in the encoding."""
        known = kind(head)
        if known:
            what, remedy = known
            raise CorpusError(f"{name}: {what}, no text; {remedy}")
        wide = None if self.reading.is_wide else wide_encoding(head)
        if wide:
            raise CorpusError(f"{name}: looks like {wide}, not {self.reading.encoding}; give it as encoding: {wide}")

    def _bad_byte(self, path: str, name: str, offset: int, byte: int | None) -> CorpusError:
        """The error that says where a file, of which `offset` bytes are good, is no text."""
        decoder = codecs.getincrementaldecoder(self.reading.codec)("replace")
        line, left = 1, offset
        try:
            with self._open(path) as packed:
                file = unpacked(name, packed)
                while left > 0 and (data := file.read(min(left, PIECE))):
                    line += decoder.decode(data).count("\n")
                    left -= len(data)
        except UnicodeError:  # UTF-16 or UTF-32 without a byte order mark, which is no bad byte to Python
            with self._open(path) as packed:
                line, offset, byte = 1, 0, unpacked(name, packed).read(1)[0]
        where = "the end" if byte is None else f"byte 0x{byte:02x}"
        return CorpusError(
            f"{name}, line {line:,}: {where} at offset {offset} is not {self.reading.encoding}; give the encoding that "
            "the file has, as in encoding: cp1252, or let on_bad_byte replace or skip such bytes"
        )


def spoken(path: str) -> str:
    """The name of a text in a message."""
    return "standard input" if path == "-" else path


_calls = threading.local()  # the handlers of `codecs` have no other way to tell how often they were called


def _counted(instead: str) -> str:
    """The name of a handler of bad bytes that puts `instead` in their place."""

    def handler(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        _calls.count += 1
        return instead, error.end

    name = f"charrnn-{ord(instead) if instead else 'skip'}"
    codecs.register_error(name, handler)
    return name


_HANDLERS = {"error": "strict", "replace": _counted("\ufffd"), "skip": _counted("")}
