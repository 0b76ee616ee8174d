"""A loss among its yardsticks, for a terminal."""

from __future__ import annotations

import math

from charrnn.inference.yardsticks import Yardsticks


def lines(nats: float, weights: int, yardsticks: Yardsticks) -> list[str]:
    """Bits per code point from the worst to the best, the network among them; it has so many `weights`.

    The loss of the network is in nats per symbol.
    """
    best, bits = yardsticks.best_ngram, yardsticks.per_code_point / math.log(2)
    rows = [
        (yardsticks.uniform * bits, "a uniform guess"),
        (yardsticks.unigram.nats_per_char * bits, f"each {yardsticks.noun[:-1]} by how often it occurs"),
        (best.nats_per_char * bits, f"the best n-gram, of {best.order} {yardsticks.noun} ({best.entries:,} counts)"),
        *((score.bits_per_char, score.name) for score in yardsticks.compressors),
        (nats * bits, f"this network ({weights:,} weights)"),
    ]
    return [f"{value:7.3f}  {name}" for value, name in sorted(rows, key=lambda row: -row[0])]


def growth_lines(nats: float, weights: int, yardsticks: Yardsticks) -> list[str]:
    """What the n-gram model of each order has to store for its loss, and at the end the network, which grows with
    neither order nor text."""
    bits = yardsticks.per_code_point / math.log(2)
    rows = [
        (str(score.order), score.nats_per_char, f"{score.entries:,}", f"{score.contexts:,}")
        for score in yardsticks.ngrams
    ]
    rows.append(("network", nats, f"{weights:,}", ""))
    head = f"{'n-gram':<8}{'bits':>8}{'numbers kept':>16}{'contexts':>16}"
    return [
        head,
        *(f"{name:<8}{n * bits:>8.3f}{kept:>16}{contexts:>16}".rstrip() for name, n, kept, contexts in rows),
    ]
