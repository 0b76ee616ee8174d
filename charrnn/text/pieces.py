"""A text of many short pieces, as names, verses or files: where it is cut, and how its pieces lie in a batch.

Pieces that are packed lie one after another in one array of ids, with an end symbol before the first and after each. So
the end symbol is what every piece begins with as input, and what it ends with as target. Between lines it is the line
end; between other pieces U+001E, the record separator of ASCII, which is never printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapreplace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from charrnn.errors import CorpusError
from charrnn.text.batches import SPARED, Streams
from charrnn.text.reading import SEPARATOR, end_symbol
from charrnn.text.tokenizer import Ids

LIST = 50  # lines of a list
COPIED = 1 << 22  # characters copied at a time: bounds memory

Places = npt.NDArray[np.int64]


def end_id(symbols: str, pieces: str) -> int | None:
    """Its id in a vocabulary; None for none. CorpusError if the vocabulary does not have it."""
    end = end_symbol(pieces)
    if not end:
        return None
    if end not in symbols:
        raise CorpusError(
            f"the vocabulary has no U+{ord(end):04X}, which ends each piece (pieces {pieces}); use a model that was "
            "trained on such pieces, or leave pieces out"
        )
    return symbols.index(end)


def are_sorted_lines(text: str) -> bool:
    """Whether a text is a list in alphabetical order: some 50 lines, nearly all of them after the one before."""
    lines = [line.casefold() for line in text.split("\n") if line]
    pairs = list(pairwise(lines))
    return (
        len(pairs) >= LIST and len(set(lines)) > len(lines) / 2 and sum(a <= b for a, b in pairs) >= 0.99 * len(pairs)
    )


def cut(ids: Ids, symbols: str, pieces: str) -> tuple[Places, Places]:
    """Where the pieces of a text begin, and where they end (N,), without what is between them; none is empty.

    A line ends at a line feed, with or without a carriage return before it. A blank line holds nothing but white space.
    Where files meet, and at any other U+001E, a piece of any kind ends.
    """
    ends = ids == symbols.find(SEPARATOR)
    if pieces == "files":
        starts, stops = _between(ends)
    else:
        starts, stops = _between(ends | (ids == symbols.find("\n")))
        returns = (stops > starts) & (ids[stops - 1] == symbols.find("\r"))
        stops = stops - returns
    if pieces == "blank":
        filled = np.array([not symbol.isspace() for symbol in symbols])[ids]
        holds = np.logical_or.reduceat(filled, starts) if len(starts) else filled
        parts = ends[(stops + returns)[:-1]] | ~holds[1:] | ~holds[:-1]  # a line from the next one
        first, last = holds & np.append(True, parts)[: len(holds)], holds & np.append(parts, True)[: len(holds)]
        starts, stops = starts[first], stops[last]
    some = stops > starts
    return starts[some], stops[some]


def _between(ends: npt.NDArray[np.bool_]) -> tuple[Places, Places]:
    """Of the parts between the places where `ends` holds: the first place, and the one after the last. The last part is
    left out if it is empty."""
    borders = np.flatnonzero(ends)
    starts, stops = np.append(0, borders + 1), np.append(borders, len(ends))
    return (starts[:-1], stops[:-1]) if starts[-1] == len(ends) else (starts, stops)


def packed(ids: Ids, starts: Places, stops: Places, end: int) -> Ids:
    """The pieces from `starts` to `stops` in this order, with the id `end` before the first and after each."""
    parts = [np.full(1, end, ids.dtype)]
    lengths = stops - starts + 1
    for block in np.array_split(np.arange(len(starts)), int(lengths.sum()) // COPIED + 1):
        after = np.cumsum(lengths[block])
        places = np.repeat(starts[block] - after + lengths[block], lengths[block])
        places += np.arange(len(places))
        text = ids.take(places, mode="clip")  # each with the character after it, in whose place comes the end
        text[after - 1] = end
        parts.append(text)
    return np.concatenate(parts)


def pack(ids: Ids, symbols: str, pieces: str) -> Ids:
    """A whole text packed, in its own order; the text itself where `pieces` is none."""
    end = end_id(symbols, pieces)
    return ids if end is None else packed(ids, *cut(ids, symbols, pieces), end)


class PieceStreams(Streams):
    """n streams of whole pieces, dealt and put in order anew for every epoch: (seed, epoch) tells the order.

    Each piece is read once in an epoch. The streams are as equal as can be, and none begins inside a piece; the shorter
    ones begin again with their first pieces: `repeated` characters in all. Where that would be too many, there are
    fewer streams.
    """

    def __init__(self, ids: Ids, end: int, batch_size: int, seq_length: int, seed: Sequence[int]) -> None:
        self.ids, self.end, self._seed = ids, end, tuple(seed)
        bounds = np.flatnonzero(ids == end)
        self._bounds, lengths = bounds[:-1], np.diff(bounds)  # each with the end symbol before it
        if not len(lengths):
            raise CorpusError("the text for training has no piece; name another, or lower val_frac and test_frac")
        self._lengths = lengths
        total, self.longest = int(lengths.sum()), int(lengths.max()) - 1
        descending = -np.sort(-lengths)
        n = min(batch_size, total // (self.longest + 1))
        while True:
            self._stream, totals = dealt(descending, n)
            if n == 1 or n * totals.max() <= (1 + SPARED) * total:
                break
            n -= 1
        self.batch_size, steps = n, int(totals.max())
        self.steps_per_epoch = -(-steps // seq_length)
        self.seq_length = min(seq_length, steps)
        if n * self.steps_per_epoch * self.seq_length > (1 + SPARED) * total:
            self.seq_length = -(-steps // self.steps_per_epoch)
        self.length = self.steps_per_epoch * self.seq_length
        self.dropped, self.repeated = 0, n * self.length - total
        self.notice = None
        if (n, self.seq_length) != (batch_size, seq_length):
            self.notice = f"few pieces, or a long one: batch size {n}, sequence length {self.seq_length}"
        self._totals, self._first = totals, np.cumsum(totals) - totals
        self._epoch: int | None = None

    @property
    def count(self) -> int:
        """Pieces."""
        return len(self._lengths)

    @property
    def median(self) -> int:
        """Characters of a piece in the middle."""
        return int(np.median(self._lengths)) - 1

    def read(self, epoch: int, start: int, stop: int) -> tuple[Ids, Ids]:
        """Inputs and targets (stop − start, n), as indices, of the steps `start` to `stop` of every stream."""
        if epoch != self._epoch:
            self._lay_out(epoch)
        places = self._first + np.arange(start, stop + 1)[:, None] % self._totals
        piece = np.searchsorted(self._begins, places, "right") - 1
        text = self.ids[places + self._shift[piece]].astype(np.intp)
        return text[:-1], text[1:]

    def _lay_out(self, epoch: int) -> None:
        """Puts the pieces of equal length in a new order among themselves, and then those of each stream."""
        rng = np.random.default_rng([*self._seed, epoch])
        order = rng.permutation(self.count)
        order = order[np.argsort(-self._lengths[order], kind="stable")]
        order = order[np.lexsort((rng.random(self.count), self._stream))]
        lengths = self._lengths[order]
        self._begins = np.cumsum(lengths) - lengths  # in the epoch's text, stream after stream
        self._shift = self._bounds[order] - self._begins  # from there to the place in `ids`
        self._epoch = epoch


def dealt(lengths: Places, n: int) -> tuple[Places, Places]:
    """The stream of each piece (N,), each piece given to the stream that has the least; and what each has (n,).

    `lengths` are in descending order, which leaves the streams almost equal (Graham 1969).
    """
    shares = [(0, j) for j in range(n)]  # a heap
    streams = []
    for length in lengths.tolist():
        filled, j = shares[0]
        heapreplace(shares, (filled + length, j))
        streams.append(j)
    totals = np.empty(n, np.int64)
    for filled, j in shares:
        totals[j] = filled
    return np.array(streams, np.int64), totals
