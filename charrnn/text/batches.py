"""A text cut into n parallel streams, read T characters at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import CorpusError

Ids = npt.NDArray[Any]


class Streams:
    """n streams of `steps_per_epoch` · T characters each; a character's target is the very next one of the text.

    A text too short gets a smaller T and then a smaller n, and `notice` says so. What does not fill a batch is
    `dropped`: at the end of the text in even epochs, at its beginning in odd ones, so that all of it is seen.
    """

    def __init__(self, ids: Ids, batch_size: int, seq_length: int) -> None:
        pairs = len(ids) - 1
        if pairs < 1:
            raise CorpusError(f"the text for training has {len(ids)} characters; at least 2 are needed")
        self.seq_length = min(seq_length, pairs)
        self.batch_size = min(batch_size, pairs // self.seq_length)
        self.notice: str | None = None
        if (self.batch_size, self.seq_length) != (batch_size, seq_length):
            self.notice = f"the text is short: batch size {self.batch_size}, sequence length {self.seq_length}"
        self.steps_per_epoch = pairs // (self.batch_size * self.seq_length)
        self.length = self.steps_per_epoch * self.seq_length
        self.dropped = pairs - self.batch_size * self.length
        self._ids = ids

    def batch(self, step: int) -> tuple[Ids, Ids]:
        """Inputs and targets (T, n) of training step `step`, counted from 0 over all epochs."""
        epoch, position = divmod(step, self.steps_per_epoch)
        start = (self.dropped if epoch % 2 else 0) + position * self.seq_length
        index = start + np.arange(self.seq_length)[:, None] + np.arange(self.batch_size) * self.length
        return self._ids[index], self._ids[index + 1]
