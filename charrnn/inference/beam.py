"""Beam search: the most probable continuations of a text (Lowerre 1976, The Harpy Speech Recognition System)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from charrnn.inference.sampling import after_prompt
from charrnn.inference.scoring import begins
from charrnn.network.buffers import Array
from charrnn.network.parameters import Parameters
from charrnn.network.products import unflagged
from charrnn.network.stack import State


@dataclass(frozen=True)
class Beam:
    """A continuation by its ids, and its log-probability in nats.

    row: its place in the batch; −1 if it has ended.
    """

    ids: tuple[int, ...]
    log_probability: float
    row: int


@unflagged
def beam_search(
    parameters: Parameters,
    prompt: Array,
    count: int,
    length: int,
    state: State | None = None,
    end: int | None = None,
    ended: Callable[[tuple[int, ...]], bool] | None = None,
) -> list[Beam]:
    """The `count` most probable continuations of `length` symbols that are found, the most probable first.

    At every step each of the `count` best is continued by every symbol, side by side as rows of one batch, and the best
    of all these are kept. One that has `ended` stays as it is, and competes with the others. Where there are no more
    than `count` continuations, these are all of them, exactly. Else a better one may be lost on the way: even the
    greedy one, which therefore is carried along in a row of its own, so that the first is never less probable than it.

    Arguments as of `Sampler`. DivergedError if a weight is not finite.
    """
    stack, state = after_prompt(parameters, prompt, state, end)
    W, b = parameters.output()
    # In their order, with the greedy one behind them where it is none of the best. greedy: its place.
    beams, greedy = [Beam((), 0.0, 0)], 0
    for _ in range(length):
        H = state[-1][0] if stack.cell.states > 1 else state[-1]
        logits = (H @ W + b).astype(np.float64)  # (n, a)
        logits -= logits.max(axis=1, keepdims=True)
        log_A = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        going = [i for i, beam in enumerate(beams) if beam.row >= 0]
        if not going:
            break
        done = [i for i, beam in enumerate(beams) if beam.row < 0]
        scores = np.array([beams[i].log_probability for i in going])[:, None] + log_A
        every = np.concatenate([scores.ravel(), [beams[i].log_probability for i in done]])
        best = np.argsort(-every, kind="stable")[:count].tolist()
        a = log_A.shape[1]
        if greedy in done:
            its = scores.size + done.index(greedy)
        else:
            row = going.index(greedy)
            its = row * a + int(log_A[row].argmax())
        if its not in best:
            best.append(its)
        greedy = best.index(its)
        kept: list[Beam] = []
        rows: list[int] = []
        for candidate in best:
            if candidate >= scores.size:
                kept.append(beams[done[candidate - scores.size]])
                continue
            row, symbol = divmod(candidate, a)
            beam = Beam((*beams[going[row]].ids, symbol), float(every[candidate]), -1)
            if ended is None or not ended(beam.ids):
                beam = replace(beam, row=len(rows))
                rows.append(row)
            kept.append(beam)
        beams = kept
        if rows:
            inputs = np.array([[beam.ids[-1] for beam in beams if beam.row >= 0]])
            tape = stack.forward(parameters, inputs, [S[..., rows, :] for S in state], fresh=begins(inputs, end))
            state = tape.state(1)
    return beams[:count]
