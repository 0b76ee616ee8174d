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
    """`count` of the `characters` of a text are outside the vocabulary: its `symbols`, the most frequent first."""

    count: int
    characters: int
    symbols: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of all characters."""
        return self.count / self.characters

    def as_dict(self) -> dict[str, str | float]:
        """Plain JSON values."""
        return {
            "count": self.count,
            "share": self.share,
            "characters": self.characters,
            "symbols": "".join(self.symbols),
        }


def encode_counted(
    arguments: Sequence[str], reading: Reading, tokenizer: Tokenizer, unknown: str = "error"
) -> tuple[EncodedCorpus, Unknown]:
    """What `encode_corpus` returns, and how much of the text was unknown; the ids are in memory.

    Raises what `encode_corpus` raises.
    """
    if unknown == "error" or tokenizer.unit == "byte":
        corpus = encode_corpus(arguments, reading, None, tokenizer)
        return corpus, Unknown(0, corpus.characters, ())
    own = encode_corpus(arguments, replace(reading, unit=tokenizer.unit, normalize=tokenizer.normalize))
    counts = np.bincount(own.ids, minlength=len(own.symbols))
    theirs = tokenizer.find(own.symbols)
    known = theirs >= 0
    ids = own.ids if unknown == "replace" else own.ids[known[own.ids]]
    foreign = sorted(np.flatnonzero(~known), key=lambda i: (-counts[i], i))
    missing = Unknown(int(counts[~known].sum()), own.characters, tuple(own.symbols[int(i)] for i in foreign))
    numbers = np.where(known, theirs, tokenizer.replacement).astype(tokenizer.dtype)
    return replace(own, ids=numbers[ids], tokenizer=tokenizer), missing
