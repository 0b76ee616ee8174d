"""One symbol, one id. A symbol is a code point, a grapheme or a byte."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.arguments import wrong
from charrnn.errors import CorpusError
from charrnn.registry import BYTES, NORMALIZATIONS, UNITS
from charrnn.text.characters import graphemes, normalized

Ids = npt.NDArray[Any]

UNKNOWN = ("error", "skip", "replace")
GROW = "grow"  # of a vocabulary that is still to be trained: the character becomes one of its symbols
PIECE = 1 << 24  # ids counted at a time: bounds memory


def check_unknown(unknown: str, grow: bool = False) -> None:
    """ConfigError unless `unknown` is one of UNKNOWN, or GROW where that is possible."""
    if unknown not in UNKNOWN and not (grow and unknown == GROW):
        raise wrong("unknown", unknown, "error, skip, replace or grow" if grow else "error, skip or replace")


def code_points(text: str) -> Ids:
    """The Unicode code points (len(text),) of the characters, uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")


def ids_dtype(symbols: int) -> np.dtype[Any]:
    """The smallest unsigned integer that numbers so many symbols."""
    return np.min_scalar_type(max(symbols - 1, 0))


class UnknownSymbolsError(CorpusError):
    """A text has symbols that the vocabulary has not."""


class Tokenizer:
    """Numbers the symbols of a vocabulary 0, 1, 2 … in their order (a corpus's distinct symbols, sorted).

    unit: codepoint or grapheme, of which the symbols are texts; or byte, of the text in UTF-8, of which the symbols are
    always `BYTES`: chr(b) stands for byte b. normalize: the normal form that a text is brought into before it is cut.
    A symbol that is unknown and to be replaced becomes U+FFFD if the vocabulary has it, else a space, else symbol 0.
    ConfigError for another unit or normal form.
    """

    def __init__(self, symbols: Sequence[str], unit: str = "codepoint", normalize: str = "none") -> None:
        for name, value, known in (("unit", unit, UNITS), ("normalize", normalize, NORMALIZATIONS)):
            if value not in known:
                raise wrong(name, value, f"{', '.join(known[:-1])} or {known[-1]}")
        self.symbols = (
            tuple(symbols) if unit == "grapheme" else symbols if isinstance(symbols, str) else "".join(symbols)
        )
        self.unit, self.normalize = unit, normalize
        self.dtype = ids_dtype(len(symbols))

    @classmethod
    def of(cls, symbols: Iterable[str], unit: str = "codepoint", normalize: str = "none") -> Tokenizer:
        """The vocabulary of these symbols in any order; of the unit byte all bytes."""
        return cls(BYTES if unit == "byte" else sorted(set(symbols)), unit, normalize)

    @classmethod
    def from_text(cls, text: str, unit: str = "codepoint", normalize: str = "none") -> Tokenizer:
        """The vocabulary of `text`."""
        text = normalized(text, normalize)
        return cls.of(graphemes(text) if unit == "grapheme" else text, unit, normalize)

    @property
    def size(self) -> int:
        """Symbols."""
        return len(self.symbols)

    @cached_property
    def names(self) -> Sequence[str]:
        """The symbols as they are shown: bytes that are no ASCII by their escapes."""
        return [c if c < "\x80" else f"\\x{ord(c):02x}" for c in self.symbols] if self.unit == "byte" else self.symbols

    def cut(self, text: str) -> Sequence[str]:
        """The symbols of a text, known or not."""
        text = normalized(text, self.normalize)
        if self.unit == "byte":
            return text.encode("utf-8", "surrogatepass").decode("latin-1")
        return graphemes(text) if self.unit == "grapheme" else text

    def number(self, symbol: str) -> int:
        """The id of one symbol, −1 if the vocabulary has it not."""
        return self._numbers.get(symbol, -1)

    def find(self, symbols: Sequence[str]) -> Ids:
        """The ids (len(symbols),) of symbols, −1 for those that the vocabulary has not."""
        if self.unit == "grapheme" and not (isinstance(symbols, str) and symbols.isascii()):
            numbers = self._numbers
            return np.fromiter((numbers.get(symbol, -1) for symbol in symbols), np.int64, len(symbols))
        text = symbols if isinstance(symbols, str) else "".join(symbols)
        return np.take(self._table, code_points(text), mode="clip")

    def encode(self, text: str, *, unknown: str = "error", source: str = "text", line: int = 1) -> Ids:
        """The ids of the symbols of a text, in the smallest dtype that holds them.

        A symbol outside the vocabulary is an error that lists it and says where it is (`line` is that of the text's
        beginning in `source`), is skipped, or is replaced, as `unknown` says. Raises CorpusError.
        """
        text = normalized(text, self.normalize)
        piece = text.encode("utf-8", "surrogatepass") if self.unit == "byte" else text
        return self.encode_piece(piece, unknown=unknown, source=source, line=line)

    def encode_piece(self, piece: str | bytes, *, unknown: str = "error", source: str = "text", line: int = 1) -> Ids:
        """As `encode`, of a piece of text in its normal form that parts no symbol.

        Bytes are those of the unit byte, or ASCII, which is quicker than the same text.
        """
        if isinstance(piece, bytes):
            if self.unit == "byte":
                return np.frombuffer(piece, np.uint8)
            if (
                self.unit == "codepoint"
                and self.size <= 256
                and len(piece.translate(None, self._foreign)) == len(piece)
            ):
                return np.frombuffer(piece.translate(self._translation), np.uint8)
            piece = piece.decode("ascii")
        symbols: Sequence[str] = graphemes(piece) if self.unit == "grapheme" else piece
        ids = self.find(symbols)
        known = ids >= 0
        if not known.all():
            if unknown == "error":
                raise _unknown(symbols, known, source, line)
            ids = ids[known] if unknown == "skip" else np.where(known, ids, self.replacement)
        return ids.astype(self.dtype)

    def decode(self, ids: Ids) -> str:
        """The text of the ids; of bytes that are no UTF-8, U+FFFD."""
        ids = np.asarray(ids)
        if self.unit == "byte":
            return ids.astype(np.uint8).tobytes().decode("utf-8", "replace")
        if self.unit == "grapheme":
            return "".join(map(self.symbols.__getitem__, ids.tolist()))
        return self._points[ids.astype(np.intp)].astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def decoded(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of each id as it comes; of a byte that ends no character, the empty text.

        Bytes that are no UTF-8 become U+FFFD; where the last character is not complete, one more comes at the end.
        """
        if self.unit != "byte":
            yield from map(self.symbols.__getitem__, ids)
            return
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for i in ids:
            yield decoder.decode(bytes((i,)))
        rest = decoder.decode(b"", final=True)
        if rest:
            yield rest

    def code_points_in(self, ids: Ids) -> int:
        """Code points of the text of the ids (N,), as many as there are first bytes where the unit is the byte."""
        if self.unit == "codepoint":
            return len(ids)
        lengths = [0 if "\x80" <= c < "\xc0" else 1 for c in BYTES] if self.unit == "byte" else map(len, self.symbols)
        of_symbol, total = np.fromiter(lengths, np.int64, self.size), 0
        for start in range(0, len(ids), PIECE):
            total += int(np.bincount(ids[start : start + PIECE], minlength=self.size) @ of_symbol)
        return total

    @cached_property
    def replacement(self) -> int:
        """The id that replaces what is unknown."""
        return next((i for i in map(self.number, "\ufffd ") if i >= 0), 0)

    @cached_property
    def _points(self) -> Ids:
        return code_points("".join(self.symbols))

    @cached_property
    def _table(self) -> Ids:
        """The ids of the symbols of one code point, by that."""
        single = [i for i, symbol in enumerate(self.symbols) if len(symbol) == 1]
        points = code_points("".join(self.symbols[i] for i in single))
        # One entry past the largest code point: that one, and all beyond it, are unknown.
        table = np.full(int(points.max(initial=0)) + 2, -1, np.int32)
        table[points] = single
        return table

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols)}

    @cached_property
    def _translation(self) -> bytes:
        """The id of every ASCII character, for a vocabulary of at most 256 symbols."""
        return bytes(max(int(i), 0) for i in self.find("".join(map(chr, range(128))))) + bytes(128)

    @cached_property
    def _foreign(self) -> bytes:
        """The ASCII characters that are unknown."""
        return bytes(c for c in range(128) if chr(c) not in self.symbols)


def _unknown(symbols: Sequence[str], known: Ids, source: str, line: int) -> UnknownSymbolsError:
    distinct = sorted({symbols[int(i)] for i in np.flatnonzero(~known)})
    listed = ", ".join(map(named, distinct[:8]))
    more = f" and {len(distinct) - 8} more" if len(distinct) > 8 else ""
    before = "".join(symbols[: int(known.argmin())])
    column = len(before) - (before.rfind("\n") + 1) + 1
    return UnknownSymbolsError(
        f"{source}, line {line + before.count(chr(10))}, column {column}: the model does not know {listed}{more}; "
        "unknown takes skip or replace"
    )


def named(symbol: str) -> str:
    """A symbol with its code points, as in 'é' (U+00E9)."""
    return f"{symbol!r} ({' '.join(f'U+{ord(c):04X}' for c in symbol)})"
