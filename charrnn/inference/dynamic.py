"""Dynamic evaluation: a network goes on learning from the text that it is scored on (Krause et al. 2018).

The text is read in windows of T characters. Window k is predicted with the weights θ_{k-1}, and these losses count.
Then the weights learn from it. With g_k = ∂L_k/∂θ at θ_{k-1}, where L_k is the mean loss of the window,

    v_k = β v_{k-1} + (1 − β) g_k²        θ_k = θ_{k-1} − η g_k / (√(v_k / (1 − βᵏ)) + ε),

which is Adam without momentum. No character is learnt from before it has been predicted.
(https://arxiv.org/abs/1709.07432; there the scale comes from the training text, and the weights decay back to θ_0.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from charrnn.arguments import number
from charrnn.errors import ConfigError, CorpusError, DivergedError
from charrnn.inference.scoring import Score, begins
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.stack import Stack, State
from charrnn.network.truncation import Full

WINDOW = 32  # characters T of a window (docs/quality.md)
BETA, EPSILON = 0.999, 1e-8


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite is told
def evaluate_dynamically(
    parameters: Parameters,
    ids: Array,
    rate: float,
    *,
    keep: bool = False,
    progress: Callable[[int], object] | None = None,
    end: int | None = None,
) -> Score:
    """Scores the ids (N,) as `scoring.evaluate` does with one stream, while a copy of the weights learns at `rate` η.

    ConfigError unless the rate is above 0 and finite, CorpusError for fewer than 2 ids, DivergedError where a loss or
    gradient is not finite.
    """
    rate = number("dynamic", rate)
    if not 0 < rate < math.inf:
        raise ConfigError(f"dynamic {rate}: the rate must be above 0 and finite; 1e-4 is a good one")
    count = len(ids) - 1
    if count < 1:
        raise CorpusError(f"a text of length {len(ids)} cannot be scored; at least 2 characters are needed")
    architecture, dtype = parameters.architecture, parameters.vector.dtype
    theta, g = Parameters(architecture, dtype, parameters.vector.copy()), Parameters(architecture, dtype)
    reader, learner = Stack(architecture, dtype), Stack(architecture, dtype)
    truncation = Full(WINDOW)
    v = np.zeros_like(theta.vector)
    state: State | None = None
    losses, right = np.empty(count, dtype), 0
    for k, start in enumerate(range(0, count, WINDOW), 1):
        part = slice(start, min(start + WINDOW, count))
        inputs = ids[part].astype(np.intp)[:, None]
        targets = ids[1:][part].astype(np.intp)[:, None]
        fresh = begins(inputs, end)
        tape = reader.forward(theta, inputs, reader.begin(theta, 1) if state is None else state, fresh=fresh)
        losses[part] = reader.losses(theta, tape, targets)[:, 0]
        right += int((reader.probabilities(theta, tape).argmax(axis=2) == targets).sum())
        window = truncation.window(start, count - start)
        learner.loss_and_gradient(
            theta, inputs, targets, state, window if fresh is None else replace(window, fresh=fresh), g
        )
        if not (np.isfinite(losses[part]).all() and math.isfinite(float(g.vector.dot(g.vector)))):
            raise DivergedError(
                f"dynamic evaluation at a rate of {rate:g} diverged after {start:,} characters; try a lower one"
            )
        state = tape.state(len(inputs))
        v += (1 - BETA) * (g.vector**2 - v)
        theta.vector -= rate * g.vector / (np.sqrt(v / (1 - BETA**k)) + EPSILON)
        if progress:
            progress(len(inputs))
    return Score(float(losses.sum(dtype=np.float64)) / count, right / count, count, None, -losses if keep else None)
