"""A penalty for writing again what was written before."""

from __future__ import annotations

from math import log

import numpy as np

from charrnn.network.buffers import Array

RECENT = 1024  # symbols back that a repetition is looked for: loops of a longer period are not noticed
FREE = 12  # symbols, about two words, that may be repeated at no penalty


class Repetition:
    """Lowers the logits of those symbols that would go on with a passage of the recent text, word for word.

    Let L(c) be the number of symbols at the end of the text that stand somewhere else in it, followed by c among the
    last `RECENT` symbols; the largest such number. The odds of c are divided by penalty^(L(c) − `FREE`) where L(c) is
    greater than `FREE`.

    The penalty of CTRL (Keskar et al. 2019, arXiv:1909.05858) is one on each symbol that was written: of characters,
    that is the whole alphabet after a few lines. To forbid every n-gram that was written (Paulus et al. 2017,
    arXiv:1705.04304) breaks the names and phrases that a text must repeat. A penalty that grows with the length of
    what is repeated, as in DRY (P. E. Weidmann 2024, text-generation-webui, pull request 5677), leaves words alone and
    ends loops. Here it grows by one factor a symbol, so that one number is enough.

    penalty: above 1. prompt: ids (N,) that all of the n texts begin with.
    """

    def __init__(self, penalty: float, prompt: Array, n: int) -> None:
        self._cost = log(penalty)
        # By lag, the latest first: the recent symbols, and how many of the last ones equal those so many steps before.
        self._recent = np.full((1, RECENT), -1, np.intp)
        self._equal = np.zeros((1, RECENT), np.intp)
        for i in np.asarray(prompt).tolist():
            self.append(np.array([i]))
        self._recent, self._equal = (np.repeat(rows, n, axis=0) for rows in (self._recent, self._equal))

    def append(self, ids: Array) -> None:
        """Adds a symbol (n,) to each text."""
        symbols = ids[:, None]
        self._equal += 1
        self._equal *= self._recent == symbols
        self._recent[:, 1:] = self._recent[:, :-1]
        self._recent[:, :1] = symbols

    def penalise(self, logits: Array) -> None:
        """Lowers logits (n, a), in place."""
        rows, lags = np.nonzero(self._equal > FREE)
        if rows.size:
            most = np.zeros(logits.shape, np.intp)
            np.maximum.at(most, (rows, self._recent[rows, lags]), self._equal[rows, lags] - FREE)
            logits -= (self._cost * most).astype(logits.dtype)
