"""Character n-gram models with interpolated Witten-Bell smoothing: tables of counts, to set a network beside.

An n-gram model of order k predicts a character from the k − 1 characters h before it:

    P(c | h) = (count(h c) + t(h) · P(c | h')) / (count(h) + t(h))

count(h) occurrences of h with a character after it, t(h) different characters among those, h' = h without its oldest
character. The model of order 1 backs off to the uniform 1/a, so that no character has probability 0. A context that
the training text does not hold predicts as h' does. (Method C of Witten and Bell 1991, interpolated.)
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError, CorpusError

Ids = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

ORDERS = range(1, 9)
TRAIN_CHARACTERS = 10_000_000  # the most that are counted: bounds time and memory
PIECE = 1 << 20  # characters scored at a time: bounds memory, changes nothing else


@dataclass(frozen=True)
class NgramScore:
    """Mean cross-entropy in nats per character of the n-gram model of one order, and how much that model stores.

    contexts: different contexts of order − 1 characters.
    entries: different pairs of a context and its next character; each is one count to keep.
    characters: how many of the scored text were predicted.
    train_characters: how many of the training text were counted.
    """

    order: int
    nats_per_char: float
    contexts: int
    entries: int
    characters: int
    train_characters: int

    def as_dict(self) -> dict[str, float]:
        """With bits per character."""
        return {
            "order": self.order,
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.nats_per_char / math.log(2),
            "contexts": self.contexts,
            "entries": self.entries,
            "characters": self.characters,
            "train_characters": self.train_characters,
        }


@dataclass(frozen=True)
class _Table:
    """The counts of one order with E entries, whose contexts are the E' entries of the order below.

    keys: (E + 1,) context · symbols + character of every entry, ascending; the last is above any key.
    counts: (E + 1,) how often each entry occurs; the last is 0.
    totals: (E' + 1,) count(h), which is 0 for a context that nothing follows; the last, of an unknown context, is 0.
    distinct: (E' + 1,) t(h), likewise.
    """

    keys: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    totals: npt.NDArray[np.int64]
    distinct: npt.NDArray[np.int64]


def witten_bell(
    train_ids: Ids, test_ids: Ids, symbols: int, orders: Iterable[int] = ORDERS, end: int | None = None
) -> list[NgramScore]:
    """The scores on `test_ids` (M,) of the models that are counted on `train_ids` (N,), one for each of `orders`.

    Every character but the first is scored, as `evaluate` does for a network. Contexts lie within the scored text: its
    second character has one character before it, whatever the order; and if it is many pieces, within a piece, which
    begins with the id `end`. Of the training text the last `TRAIN_CHARACTERS` are counted, because a validation text
    most often follows them. ConfigError for an order below 1, CorpusError if there is nothing to score or an id is not
    below `symbols`.
    """
    wanted = list(orders)
    characters, counted = len(test_ids) - 1, min(len(train_ids), TRAIN_CHARACTERS)
    scores = {}
    for order, (table, P) in enumerate(_models(train_ids, test_ids, symbols, wanted, end), 1):
        if order in wanted:
            nats = -float(np.log(P).mean())
            contexts, entries = int(np.count_nonzero(table.totals)), len(table.keys) - 1
            scores[order] = NgramScore(order, nats, contexts, entries, characters, counted)
    return [scores[order] for order in wanted]


def log_probabilities(train_ids: Ids, test_ids: Ids, symbols: int, order: int) -> Floats:
    """log P (M − 1,), in nats, of the characters that `witten_bell` scores, under the model of one order.

    Raises what `witten_bell` raises.
    """
    ((_, P),) = deque(_models(train_ids, test_ids, symbols, [order]), maxlen=1)
    return np.log(P)


def best(scores: Iterable[NgramScore]) -> NgramScore:
    """The score with the fewest nats per character; of equals the lowest order."""
    return min(scores, key=lambda score: (score.nats_per_char, score.order))


def _models(
    train_ids: Ids, test_ids: Ids, symbols: int, orders: list[int], end: int | None = None
) -> Iterator[tuple[_Table, Floats]]:
    """For order 1 up to the highest of `orders`: its table, and P (M − 1,), which the next order writes over."""
    if min(orders, default=1) < 1:
        raise ConfigError(f"an n-gram model of order {min(orders)} does not exist; the lowest order is 1")
    if len(test_ids) < 2:
        raise CorpusError(f"a text of length {len(test_ids)} cannot be scored; at least 2 characters are needed")
    train_ids = train_ids[-TRAIN_CHARACTERS:]
    for ids in (train_ids, test_ids):
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < symbols:
            raise CorpusError(f"ids reach from {ids.min()} to {ids.max()}, and the vocabulary has {symbols:,} symbols")
    P = np.full(len(test_ids), 1 / symbols)
    contexts = np.zeros(len(test_ids), np.int32)  # order 1 has one context, the empty one
    for table in islice(_tables(train_ids, symbols, end), max(orders, default=0)):
        _apply(table, test_ids, symbols, contexts, P)
        yield table, P[1:]


def _tables(ids: Ids, symbols: int, end: int | None) -> Iterator[_Table]:
    """The tables of order 1, 2, … of the ids (N,).

    The entries of an order are numbered, and those numbers are the contexts of the next order. So a key is below
    N · symbols, which 64 bits hold for any order and vocabulary.
    """
    contexts, known, following = np.zeros(len(ids), np.int32), 1, ids
    places = np.arange(0 if end is None else len(ids), dtype=np.int32)  # of `following`
    for k in count(1):
        keys, entries, counts = _ranked(_keys(contexts, following, symbols), known * symbols)
        yield _Table(
            np.append(keys, np.iinfo(np.int64).max),
            np.append(counts, 0),
            np.bincount(contexts, minlength=known + 1),
            np.bincount(keys // symbols, minlength=known + 1),
        )
        known = len(keys)
        if end is None:
            contexts, following = entries[:-1], ids[k:]  # nothing follows the last entry
        else:  # nor an entry that goes on to the end of a piece; the end alone is the context of a piece's beginning
            on = (places < len(ids) - 1) & ((following != end) | (k == 1))
            contexts, places = entries[on], places[on] + np.int32(1)
            following = ids[places]


def _keys(contexts: npt.NDArray[Any], ids: Ids, symbols: int) -> npt.NDArray[np.int64]:
    keys = contexts.astype(np.int64)
    keys *= symbols
    keys += ids.astype(np.int64)
    return keys


def _ranked(keys: npt.NDArray[np.int64], limit: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """The distinct keys (E,), ascending, the rank of each key (N,) among them, and how often each occurs (E,).

    Keys are below `limit`, and are written over. Where a key and its place fit in one integer, sorting these takes a
    third of the time of np.unique, which sorts indirectly.
    """
    bits = len(keys).bit_length()
    if limit.bit_length() + bits > 63:
        return np.unique(keys, return_inverse=True, return_counts=True)
    keys <<= bits
    keys |= np.arange(len(keys))
    keys.sort()
    places = keys & ((1 << bits) - 1)
    keys >>= bits
    new = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
    ranks = np.empty(len(keys), np.int32)
    ranks[places] = np.cumsum(new, dtype=np.int32) - np.int32(1)
    first = np.flatnonzero(new)
    return keys[first], ranks, np.diff(first, append=len(keys))


def _apply(table: _Table, ids: Ids, symbols: int, contexts: npt.NDArray[np.int32], P: Floats) -> None:
    """Turns P (M,) from the order below into this order's, and `contexts` (M,), −1 if unknown, into the next order's.

    From the last piece to the first, because a piece writes the context of the character after it.
    """
    for start in reversed(range(0, len(ids), PIECE)):
        piece = slice(start, start + PIECE)
        known, p = contexts[piece], P[piece]
        keys = np.where(known < 0, -1, _keys(known, ids[piece], symbols))
        entries = np.searchsorted(table.keys, keys)
        found = table.keys[entries] == keys
        counts = np.where(found, table.counts[entries], 0)
        totals, distinct = table.totals[known], table.distinct[known]
        np.divide(counts + distinct * p, totals + distinct, out=p, where=totals > 0)
        following = contexts[start + 1 : start + PIECE + 1]
        following[...] = np.where(found, entries, -1)[: len(following)]
    contexts[0] = -1  # the text has nothing before its first character
