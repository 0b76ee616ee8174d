"""What a network's loss is set beside: a uniform guess, n-gram models and compressors, all on the same text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from charrnn.inference.compressors import CHARACTERS, GIVEN_CHARACTERS, CompressorScore, compressed
from charrnn.inference.ngram import TRAIN_CHARACTERS, Ids, NgramScore, best, witten_bell
from charrnn.text.tokenizer import Tokenizer

SECONDS = 1.5  # for a million characters, on one core


@dataclass(frozen=True)
class Yardsticks:
    """The yardsticks of one text.

    uniform: nats per character of a guess among all symbols, ln a.
    ngrams: n-gram models of order 1, 2, …, on every character but the first.
    compressors: general compressors, on the text's beginning.
    per_code_point: symbols of a code point of the text; a loss per symbol times it is one per code point, as those of
        the compressors are.
    """

    uniform: float
    ngrams: list[NgramScore]
    compressors: list[CompressorScore]
    per_code_point: float = 1.0

    @property
    def noun(self) -> str:
        """What the symbols are called that the n-gram models count."""
        return "characters" if self.per_code_point == 1 else "symbols"

    @property
    def unigram(self) -> NgramScore:
        """The model of order 1, which knows how often each character occurs and nothing of what is before it."""
        return self.ngrams[0]

    @property
    def best_ngram(self) -> NgramScore:
        """The n-gram model with the lowest loss."""
        return best(self.ngrams)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "uniform": {"nats_per_char": self.uniform, "bits_per_char": self.uniform / math.log(2)},
            "unigram": self.unigram.as_dict(),
            "best_ngram": self.best_ngram.as_dict(),
            "ngrams": [score.as_dict() for score in self.ngrams],
            "compressors": [score.as_dict() for score in self.compressors],
            "symbols_per_code_point": self.per_code_point,
        }


def yardsticks(train_ids: Ids, test_ids: Ids, tokenizer: Tokenizer, end: int | None = None) -> Yardsticks:
    """The yardsticks of the text `test_ids` (M,), learned from `train_ids` (N,), both in the vocabulary of `tokenizer`.

    Of a text of pieces, each begins with the id `end`, and no n-gram's context goes on past it; compressors do not know
    of pieces.
    Raises CorpusError as `witten_bell` does. Long texts are cut as `witten_bell` and `compressed` say, and each score
    says how much it has used.
    """
    ngrams = witten_bell(train_ids, test_ids, tokenizer.size, end=end)
    text, given = tokenizer.decode(test_ids[:CHARACTERS]), tokenizer.decode(train_ids[-GIVEN_CHARACTERS:])
    per_code_point = (len(test_ids) - 1) / max(tokenizer.code_points_in(test_ids[1:]), 1)
    return Yardsticks(math.log(tokenizer.size), ngrams, compressed(text, given), per_code_point)


def expected_seconds(train: int, test: int) -> float:
    """About how long the yardsticks of so many characters take; more of the training text are not counted."""
    return SECONDS * (min(train, TRAIN_CHARACTERS) + test) / 1e6
