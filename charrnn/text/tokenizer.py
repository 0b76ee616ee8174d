"""One character, one id."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.arguments import wrong
from charrnn.errors import CorpusError

Ids = npt.NDArray[Any]

UNKNOWN = ("error", "skip", "replace")
GROW = "grow"  # of a vocabulary that is still to be trained: the character becomes one of its symbols


def check_unknown(unknown: str) -> None:
    """ConfigError unless `unknown` is one of UNKNOWN."""
    if unknown not in UNKNOWN:
        raise wrong("unknown", unknown, "error, skip or replace")


def union(*vocabularies: str) -> str:
    """The vocabulary of all symbols of some vocabularies."""
    return "".join(sorted(set().union(*vocabularies)))


def code_points(text: str) -> Ids:
    """The Unicode code points (len(text),) of the characters, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def ids_dtype(symbols: int) -> np.dtype[Any]:
    """The smallest unsigned integer that numbers so many symbols."""
    return np.min_scalar_type(max(symbols - 1, 0))


class UnknownSymbolsError(CorpusError):
    """A text has symbols that the vocabulary has not."""


class Tokenizer:
    """Numbers the symbols of a vocabulary 0, 1, 2 … in their order (a corpus's distinct characters, sorted).

    An unknown character that is to be replaced becomes U+FFFD if the vocabulary has it, else a space, else symbol 0.
    """

    def __init__(self, symbols: str) -> None:
        self.symbols = symbols
        points = code_points(symbols)
        # One entry past the largest code point: that one, and all beyond it, are unknown.
        self._ids = np.full(int(points.max(initial=0)) + 2, -1, np.int32)
        self._ids[points] = np.arange(len(symbols))
        self.dtype = ids_dtype(len(symbols))
        self._replacement = next((symbols.index(c) for c in "\ufffd " if c in symbols), 0)

    @classmethod
    def from_text(cls, text: str) -> Tokenizer:
        """The vocabulary of `text`."""
        return cls("".join(sorted(set(text))))

    @property
    def size(self) -> int:
        """Symbols."""
        return len(self.symbols)

    def encode(self, text: str, *, unknown: str = "error", source: str = "text", line: int = 1) -> Ids:
        """The ids (len(text),) of the characters, in the smallest dtype that holds them.

        A character outside the vocabulary is an error that lists it and says where it is (`line` is that of the
        text's beginning in `source`), is skipped, or is replaced, as `unknown` says. Raises CorpusError.
        """
        points = code_points(text)
        ids = np.take(self._ids, points, mode="clip")
        known = ids >= 0
        if not known.all():
            if unknown == "error":
                raise _unknown(text, points[~known], int(known.argmin()), source, line)
            ids = ids[known] if unknown == "skip" else np.where(known, ids, self._replacement)
        return ids.astype(self.dtype)

    def decode(self, ids: Ids) -> str:
        """The text of the ids."""
        return "".join(self.symbols[int(i)] for i in ids)


def _unknown(text: str, points: Ids, first: int, source: str, line: int) -> UnknownSymbolsError:
    distinct = [chr(point) for point in np.unique(points)]
    listed = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in distinct[:8])
    more = f" and {len(distinct) - 8} more" if len(distinct) > 8 else ""
    column = first - (text.rfind("\n", 0, first) + 1) + 1
    line += text.count("\n", 0, first)
    return UnknownSymbolsError(
        f"{source}, line {line}, column {column}: the model does not know {listed}{more}; unknown takes skip or replace"
    )
