"""One character, one id."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CorpusError

UNKNOWN = ("error", "skip", "replace")


class Tokenizer:
    """Maps the sorted distinct characters of a corpus to 0, 1, 2 …"""

    def __init__(self, symbols: str) -> None:
        self.symbols = symbols
        self._id = {symbol: i for i, symbol in enumerate(symbols)}

    @classmethod
    def from_text(cls, text: str) -> Tokenizer:
        """The vocabulary of `text`."""
        return cls("".join(sorted(set(text))))

    @property
    def size(self) -> int:
        """Distinct characters."""
        return len(self.symbols)

    def encode(self, text: str, *, unknown: str = "error", source: str = "text") -> npt.NDArray[np.int64]:
        """The ids (len(text),) of the characters.

        A character outside the vocabulary is an error that lists it, is skipped, or is replaced by a space (by the
        first symbol where the vocabulary has no space), as `unknown` says. Raises CorpusError.
        """
        strange = sorted(set(text) - self._id.keys())
        if strange:
            if unknown == "error":
                first = min(text.index(character) for character in strange[:20])
                listed = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in strange[:8])
                more = f" and {len(strange) - 8} more" if len(strange) > 8 else ""
                line = text.count("\n", 0, first) + 1
                raise CorpusError(
                    f"{source}, line {line}: the model does not know {listed}{more}; use --unknown skip or replace"
                )
            substitute = "" if unknown == "skip" else (" " if " " in self._id else self.symbols[0])
            text = text.translate({ord(character): substitute for character in strange})
        return np.fromiter((self._id[character] for character in text), np.int64, len(text))

    def decode(self, ids: npt.NDArray[Any]) -> str:
        """The text of the ids."""
        return "".join(self.symbols[int(i)] for i in ids)
