"""A loss among its yardsticks, for a terminal."""

from __future__ import annotations

import math

from charrnn.inference.yardsticks import Yardsticks


def lines(nats: float, weights: int, yardsticks: Yardsticks) -> list[str]:
    """Bits per character from the worst to the best, the network among them; it has so many `weights`."""
    best = yardsticks.best_ngram
    rows = [
        (yardsticks.uniform / math.log(2), "a uniform guess"),
        (yardsticks.unigram.nats_per_char / math.log(2), "each character by how often it occurs"),
        (best.nats_per_char / math.log(2), f"the best n-gram, of {best.order} characters ({best.entries:,} counts)"),
        *((score.bits_per_char, score.name) for score in yardsticks.compressors),
        (nats / math.log(2), f"this network ({weights:,} weights)"),
    ]
    return [f"{bits:7.3f}  {name}" for bits, name in sorted(rows, key=lambda row: -row[0])]
