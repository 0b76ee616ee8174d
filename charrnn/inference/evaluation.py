"""The loss of a network on a text."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from charrnn.errors import CorpusError
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.stack import cross_entropy, forward, zero_state

CHUNK = 512  # steps at a time: bounds memory, changes nothing else


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy in nats per character over `characters` predictions, and the share that was right."""

    nats_per_char: float
    accuracy: float
    characters: int

    def as_dict(self) -> dict[str, float]:
        """With bits per character and perplexity."""
        return {
            "nats_per_char": self.nats_per_char,
            "bits_per_char": self.nats_per_char / float(np.log(2)),
            "perplexity": float(np.exp(self.nats_per_char)),
            "accuracy": self.accuracy,
            "characters": self.characters,
        }


def evaluate(parameters: Parameters, ids: Array) -> Score:
    """Scores the ids (N,) exactly, as one stream from H_0 = 0: every character but the first is predicted once."""
    if len(ids) < 2:
        raise CorpusError(f"a text of {len(ids)} characters cannot be scored; at least 2 are needed")
    state, nats, right = zero_state(parameters, 1), 0.0, 0
    for start in range(0, len(ids) - 1, CHUNK):
        inputs, targets = ids[start : start + CHUNK], ids[start + 1 : start + 1 + CHUNK]
        tape = forward(parameters, inputs[: len(targets), None], state)
        state = tape.last_state()
        nats += float(cross_entropy(tape, targets).sum(dtype=np.float64))
        right += int((tape.A.argmax(axis=1) == targets).sum())
    count = len(ids) - 1
    return Score(nats / count, right / count, count)
