"""A loss among its yardsticks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from charrnn.inference.yardsticks import Yardsticks


def ranked(networks: Sequence[tuple[str, float]], yardsticks: Yardsticks) -> list[tuple[float, str]]:
    """Bits per code point with their names, from the worst to the best; `networks` have a name and a loss in nats per
    symbol."""
    best, bits = yardsticks.best_ngram, yardsticks.per_code_point / math.log(2)
    rows = [
        (yardsticks.uniform * bits, "a uniform guess"),
        (yardsticks.unigram.nats_per_char * bits, f"each {yardsticks.noun[:-1]} by how often it occurs"),
        (best.nats_per_char * bits, f"the best n-gram, of {best.order} {yardsticks.noun} ({best.entries:,} counts)"),
        *((score.bits_per_char, score.name) for score in yardsticks.compressors),
        *((nats * bits, name) for name, nats in networks),
    ]
    return sorted(rows, key=lambda row: -row[0])


GROWTH = ("n-gram", "bits", "numbers kept", "contexts")


def growth(networks: Sequence[tuple[str, float, int]], yardsticks: Yardsticks) -> list[tuple[str, str, str, str]]:
    """Rows below `GROWTH`: what the n-gram model of each order has to store for its bits per code point, and at the end
    the networks, by name, loss in nats per symbol and weights, which grow with neither order nor text."""
    bits = yardsticks.per_code_point / math.log(2)
    rows = [
        (str(score.order), score.nats_per_char, f"{score.entries:,}", f"{score.contexts:,}")
        for score in yardsticks.ngrams
    ]
    rows += [(name, nats, f"{weights:,}", "") for name, nats, weights in networks]
    return [(name, f"{nats * bits:.3f}", kept, contexts) for name, nats, kept, contexts in rows]


def lines(nats: float, weights: int, yardsticks: Yardsticks) -> list[str]:
    """Bits per code point from the worst to the best, the network among them; it has so many `weights`.

    The loss of the network is in nats per symbol.
    """
    return [
        f"{bits:7.3f}  {name}" for bits, name in ranked([(f"this network ({weights:,} weights)", nats)], yardsticks)
    ]


def growth_lines(nats: float, weights: int, yardsticks: Yardsticks) -> list[str]:
    """The rows of `growth` for one network, below their heads."""
    rows = [GROWTH, *growth([("network", nats, weights)], yardsticks)]
    return [f"{name:<8}{bits:>8}{kept:>16}{contexts:>16}".rstrip() for name, bits, kept, contexts in rows]
