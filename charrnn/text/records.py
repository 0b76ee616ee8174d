"""Files of records, JSON lines and Parquet, of which one column is the text.

A record is what a file of a directory is: a text by itself, parted from the next as files are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from charrnn.errors import ConfigError, CorpusError, shown
from charrnn.extras import install
from charrnn.text.addresses import base_name, is_address
from charrnn.text.reading import uncompressed

JSON_LINES = (".jsonl", ".ndjson")
PARQUET = ".parquet"
LONGEST = 1 << 28  # characters of a line
ROWS = 256  # of a Parquet file that are in memory at a time
BUFFER = 1 << 20  # bytes of a column of it that are read at a time
NAMED = 8  # columns that an error names

Texts = Iterator[str | None]


def is_json_lines(name: str) -> bool:
    """Whether a file is one of JSON lines by its name or address, compressed or not."""
    return uncompressed(_name(name)).lower().endswith(JSON_LINES)


def is_parquet(name: str) -> bool:
    """Whether a file is a Parquet file by its name or address."""
    return _name(name).lower().endswith(PARQUET)


def json_texts(name: str, pieces: Iterable[str | bytes], column: str) -> Texts:
    """The text of each record of JSON lines, which come in pieces (bytes: ASCII); None where it is null.

    Empty lines are passed over. CorpusError with the line that is no object with text in this column.
    """
    for number, line in enumerate(_lines(name, pieces), 1):
        if line and not line.isspace():
            yield _text(f"{name}, line {number:,}", line, column)


def first_record(name: str, head: str, column: str) -> None:
    """CorpusError if the first line of JSON lines is not what it should be; `head` is the file's beginning."""
    first, end, _ = head.lstrip().partition("\n")
    if first and end:
        _text(name, first, column)


def parquet_texts(name: str, file: IO[bytes], column: str) -> Texts:
    """The text of each record of a Parquet file, which can be sought in; None where it is null.

    It is read by parts of its row groups. CorpusError if it is damaged or has no text in this column; ConfigError
    without pyarrow.
    """
    try:
        import pyarrow
        from pyarrow import parquet, types
    except ImportError:
        raise ConfigError(
            f"{name}: a Parquet file needs the package pyarrow; {install('sources')}, or convert it into JSON lines"
        ) from None
    try:
        opened = parquet.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER)
        schema = opened.schema_arrow
        _check_column(name, column, schema.names)
        kind = schema.field(column).type
        plain = kind.value_type if types.is_dictionary(kind) else kind
        if not (types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)):
            raise _no_text(name, column, str(kind))
        for batch in opened.iter_batches(ROWS, columns=[column], use_threads=False):
            yield from batch.column(0).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not the format's
            raise
        raise CorpusError(
            f"{name}: a Parquet file that is damaged ({shown(str(error), 120)}); copy or fetch it again"
        ) from error


def joined(texts: Iterable[str], between: str, size: int) -> Iterator[str]:
    """Texts with `between` after each but the last, or else a line end after those that have none, in pieces of about
    `size` characters. Empty texts are left out."""
    held: list[str] = []
    length, before = 0, ""
    for text in filter(None, texts):
        if before:
            held.append(between or ("" if before[-1] in "\r\n" else "\n"))
        before = text
        held.append(text)
        length += len(text) + 1
        if length >= size:
            yield "".join(held)
            held, length = [], 0
    if held:
        yield "".join(held)


def _name(name: str) -> str:
    return base_name(name) if is_address(name) else name


def _lines(name: str, pieces: Iterable[str | bytes]) -> Iterator[str]:
    begun: list[str] = []  # of a line that has not ended yet
    length = 0
    for piece in pieces:
        first, *others = (piece if isinstance(piece, str) else piece.decode()).split("\n")
        begun.append(first)
        if others:
            yield "".join(begun)
            yield from others[:-1]
            begun, length = others[-1:], 0
        length += len(begun[-1])
        if length > LONGEST:
            raise CorpusError(
                f"{name}: a line of more than {LONGEST:,} characters; give it one record a line, or another ending"
            )
    yield "".join(begun)


def _text(where: str, line: str, column: str) -> str | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise CorpusError(
            f'{where}: no JSON object; each line must be one, as {{"{column}": "a text"}}; mend it, or give a file '
            "of plain text another ending"
        )
    _check_column(where, column, record)
    value = record[column]
    if value is None or isinstance(value, str):
        return value
    raise _no_text(where, column, type(value).__name__)


def _check_column(where: str, column: str, columns: Iterable[Any]) -> None:
    names = list(columns)
    if column not in names:
        listed = ", ".join(map(shown, names[:NAMED])) + (", …" if len(names) > NAMED else "")
        raise CorpusError(
            f"{where}: no column {column}; "
            + (f"column takes one that it has: {listed}" if names else "it has none at all")
        )


def _no_text(where: str, column: str, kind: str) -> CorpusError:
    return CorpusError(f"{where}: column {column} is no text, but {shown(kind)}; column takes another")
