"""Predictions as rows of a file, a character each: CSV for a spreadsheet, JSON lines for a program."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from charrnn.errors import ConfigError
from charrnn.inference.surprise import ALTERNATIVES, Surprise
from charrnn.storage.durable import open_atomic

Write = Callable[[str, int, Surprise], None]
COLUMNS = ["part", "offset", "character", "log_probability", "bits", "rank"]
SUFFIXES = (".csv", ".jsonl")


def check_suffix(path: Path) -> None:
    """ConfigError unless the name says which kind of file is wanted."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{path}: the name must end in {' or '.join(SUFFIXES)}, which says what is written")


@contextmanager
def writing(path: Path, symbols: Sequence[str]) -> Iterator[Write]:
    """Gives a function that writes the rows of some predictions, of a part by its name and its offset in the text.

    The file takes its place whole at the end of the block, or not at all. A log-probability of minus infinity is `-inf`
    in CSV and null in JSON, which has no such number. StorageError if the system fails.
    """
    check_suffix(path)
    with open_atomic(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="surrogatepass", newline="")
        yield _csv(text, symbols) if path.suffix.lower() == ".csv" else _json_lines(text, symbols)
        text.flush()
        text.detach()


def _csv(file: io.TextIOWrapper, symbols: Sequence[str]) -> Write:
    writer = csv.writer(file)
    numbers = range(1, min(ALTERNATIVES, len(symbols)) + 1)
    writer.writerow([*COLUMNS, *(f"{name}_{i}" for i in numbers for name in ("alternative", "probability"))])

    def write(part: str, offset: int, surprise: Surprise) -> None:
        for at, told in enumerate(surprise.predictions(symbols), offset + surprise.start):
            pairs = [cell for symbol, p in told.alternatives for cell in (symbol, f"{p:.6f}")]
            writer.writerow(
                [part, at, told.symbol, f"{told.log_probability:.6f}", f"{told.bits:.6f}", told.rank, *pairs]
            )

    return write


def _json_lines(file: io.TextIOWrapper, symbols: Sequence[str]) -> Write:
    def write(part: str, offset: int, surprise: Surprise) -> None:
        for at, told in enumerate(surprise.predictions(symbols), offset + surprise.start):
            row = {"part": part, "offset": at, **told.as_dict()}
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    return write
