"""Recall at a lag: a text in which a character comes again k steps later, and nothing in between says which.

A block is a random letter, k dots, and the same letter again: it is read at one step and wanted as the output k steps
later, so only a gradient of more than k steps can teach the network to keep it. The network is narrow and starts with a
small W_hh, so that a letter does not survive k steps by chance.
"""

from __future__ import annotations

import numpy as np

from charrnn.experiments import Result
from charrnn.network.stack import Stack
from charrnn.text.batches import Streams
from charrnn.training.loop import Trainer
from charrnn.training.settings import Settings

LAG = 10
LETTERS = 8
DOT = LETTERS


def text(blocks: int, lag: int, seed: int) -> np.ndarray:
    """The ids (blocks · (lag + 2),)."""
    letters = np.random.default_rng(seed).integers(0, LETTERS, blocks)
    ids = np.full((blocks, lag + 2), DOT)
    ids[:, 0] = ids[:, -1] = letters
    return ids.ravel()


def recalled(trainer: Trainer, lag: int) -> float:
    """Share of letters that are predicted right at their second place, in a text that was not trained on."""
    ids = text(400, lag, seed=99)
    stack = Stack(trainer.architecture, trainer.config.dtype)
    tape = stack.forward(trainer.parameters, ids[:-1, None])
    predicted = stack.probabilities(trainer.parameters, tape)[:, 0].argmax(axis=1)
    places = np.arange(lag + 1, len(ids), lag + 2)
    return float((predicted[places - 1] == ids[places]).mean())


def run(truncation: str, tau: int | None, lag: int = LAG, seed: int = 1, steps: int = 4000) -> float:
    """The share recalled after training."""
    config = Settings(
        hidden=(32,),
        init="uniform",
        truncation=truncation,
        tau=tau,
        seq_length=3 * (lag + 2),
        batch_size=16,
        max_steps=steps,
        learning_rate=3e-3,
        seed=seed,
    )
    # Streams that begin at different places of a block, so that no cut falls at the same place of every block.
    trainer = Trainer(config, LETTERS + 1, Streams(text(20_000, lag, seed), 16, config.seq_length))
    for _ in trainer.steps():
        pass
    return recalled(trainer, lag)


def experiment(seeds: tuple[int, ...] = (1, 2, 3)) -> Result:
    """Fixed and sliding with τ up to and beyond the lag, and ARTBP with a mean below it."""
    result = Result(["truncation", f"letters recalled at lag {LAG} ({LETTERS} letters: chance {1 / LETTERS:.1%})"])
    for name, taus in (
        ("fixed", (LAG // 2, LAG, LAG + 1, 3 * (LAG + 2))),
        ("sliding", (LAG // 2, LAG, LAG + 1, 2 * LAG)),
        ("random", (LAG // 2, LAG - 2)),
    ):
        for tau in taus:
            shares = ", ".join(f"{run(name, tau, seed=seed):.1%}" for seed in seeds)
            result.rows.append([f"{name}, τ = {tau}", shares])
    return result
