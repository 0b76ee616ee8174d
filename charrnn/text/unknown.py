"""How much of a text a vocabulary does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from charrnn.text.corpus import EncodedCorpus, encode_corpus
from charrnn.text.reading import Reading
from charrnn.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Unknown:
    """`count` of the `characters` of a text are outside the vocabulary: `symbols`, the most frequent first."""

    count: int
    characters: int
    symbols: str

    @property
    def share(self) -> float:
        """Of all characters."""
        return self.count / self.characters

    def as_dict(self) -> dict[str, str | float]:
        """Plain JSON values."""
        return {"count": self.count, "share": self.share, "characters": self.characters, "symbols": self.symbols}


def encode_counted(
    arguments: Sequence[str], reading: Reading, symbols: str, unknown: str = "error"
) -> tuple[EncodedCorpus, Unknown]:
    """What `encode_corpus` returns, and how much of the text was unknown; the ids are in memory.

    Raises what `encode_corpus` raises.
    """
    if unknown == "error":
        corpus = encode_corpus(arguments, reading, None, symbols)
        return corpus, Unknown(0, corpus.characters, "")
    own = encode_corpus(arguments, reading)
    counts = np.bincount(own.ids, minlength=len(own.symbols))
    known = np.array([symbol in symbols for symbol in own.symbols])
    theirs = Tokenizer(symbols).encode(own.symbols, unknown="replace")
    ids = own.ids if unknown == "replace" else own.ids[known[own.ids]]
    foreign = sorted(np.flatnonzero(~known), key=lambda i: (-counts[i], i))
    count = int(counts[~known].sum())
    missing = Unknown(count, own.characters, "".join(own.symbols[i] for i in foreign))
    return replace(own, ids=theirs[ids], symbols=symbols), missing
