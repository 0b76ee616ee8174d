"""A text cut into n parallel streams, read some steps at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from charrnn.errors import CorpusError
from charrnn.text.tokenizer import Ids

RELEASE = 64_000_000  # characters read from a mapped text before its memory is given back
SPARED = 0.05  # of the text: so much may be left out of an epoch, or read twice, before T gives way


class Streams:
    """n streams of `length` characters each; the target of a character is the next character of the text.

    A text too short gets a smaller T and then a smaller n, and `notice` says so. What does not fill a batch is
    `dropped`: at the end of the text in even epochs, at its beginning in odd ones, so that all of it is seen. Where
    that would be more than a twentieth, T becomes the next smaller one that spares it, but more than half.

    end: the id that ends a piece, where the text is many of them (text/pieces.py).
    """

    end: int | None = None

    def __init__(
        self, ids: Ids, batch_size: int, seq_length: int, release: Callable[[], object] = lambda: None
    ) -> None:
        pairs = len(ids) - 1
        if pairs < 1:
            raise CorpusError(
                f"the text for training has {len(ids)} character{'s' if len(ids) != 1 else ''}, and 2 are the least; "
                "name a longer text, or lower val_frac and test_frac"
            )
        self.seq_length = min(seq_length, pairs)
        self.batch_size = min(batch_size, pairs // self.seq_length)
        each = pairs // self.batch_size

        def left_out(T: int) -> int:
            return pairs - self.batch_size * (each - each % T)

        lengths = range(self.seq_length, self.seq_length // 2, -1)
        spare = (T for T in lengths if left_out(T) <= SPARED * pairs)
        self.seq_length = next(spare, None) or min(lengths, key=left_out)
        self.notice: str | None = None
        if (self.batch_size, self.seq_length) != (batch_size, seq_length):
            self.notice = f"the text is short: batch size {self.batch_size}, sequence length {self.seq_length}"
        self.steps_per_epoch = pairs // (self.batch_size * self.seq_length)
        self.length = self.steps_per_epoch * self.seq_length
        self.dropped = pairs - self.batch_size * self.length
        self.ids = ids
        self._release, self._read = release, 0

    def read(self, epoch: int, start: int, stop: int) -> tuple[Ids, Ids]:
        """Inputs and targets (stop − start, n), as indices, of the steps `start` to `stop` of every stream."""
        offset = self.dropped if epoch % 2 else 0
        size = self.batch_size * self.length
        inputs, targets = (
            self.ids[first : first + size].reshape(self.batch_size, self.length)[:, start:stop].T.astype(np.intp)
            for first in (offset, offset + 1)
        )
        self._read += inputs.size
        if self._read > RELEASE:
            self._release()
            self._read = 0
        return inputs, targets
