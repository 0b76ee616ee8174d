"""Text written by a network, one character after another."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.stack import forward, zero_state


def sample(
    parameters: Parameters,
    prompt: Array,
    rng: np.random.Generator,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    greedy: bool = False,
) -> Iterator[int]:
    """Ids drawn from A_t^(1/temperature) without end, after reading `prompt` (at least one id).

    `top_k` keeps the k most probable symbols (0: all); `greedy` takes the most probable.
    """
    state, ids = zero_state(parameters, 1), np.asarray(prompt)[:, None]
    while True:
        tape = forward(parameters, ids, state)
        state = tape.last_state()
        log_p = np.log(np.maximum(tape.A[-1].astype(np.float64), 1e-300)) / temperature
        if top_k and top_k < log_p.size:
            log_p[log_p < np.partition(log_p, -top_k)[-top_k]] = -np.inf
        p = np.exp(log_p - log_p.max())
        choice = int(p.argmax()) if greedy else int(rng.choice(p.size, p=p / p.sum()))
        yield choice
        ids = np.array([[choice]])
