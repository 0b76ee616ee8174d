"""Does truncation regularise? The document says so (§2.2); here τ from 1 to 128 on real text, with all else equal.

Once at equal numbers of updates, and once at equal time, as one would use it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

from charrnn.experiments import Result
from charrnn.inference.scoring import evaluate
from charrnn.text.batches import Streams
from charrnn.text.corpus import encode_corpus
from charrnn.training.loop import Trainer
from charrnn.training.settings import Settings

TAUS = (1, 2, 4, 8, 16, 32, 64, 128)
SEQ_LENGTH = 128
SEEDS = 5


def run(config: Settings, corpus: Path) -> tuple[int, float, float]:
    """Updates done, and the loss in nats on the training text and on the validation text afterwards."""
    encoded = encode_corpus([str(corpus)])
    split = int(len(encoded.ids) * 0.9)
    train, validation = encoded.ids[:split], encoded.ids[split:]
    streams = Streams(train, config.batch_size, config.seq_length)
    trainer = Trainer(config, len(encoded.symbols), streams)
    for _ in trainer.steps():
        pass
    # As much of the training text as there is of the other, both read in the same way.
    losses = [
        evaluate(trainer.parameters, ids, streams=64).nats_per_char for ids in (train[: len(validation)], validation)
    ]
    return trainer.step, losses[0], losses[1]


def equal_updates(
    corpus: Path, updates: int = 2000, seeds: int = SEEDS, done: Callable[[], object] = lambda: None
) -> Result:
    """Each update reads the same steps, cut every τ. The gaps are taken seed by seed; ± is the standard deviation over
    the seeds. `done` is called after each training."""
    result = Result(["τ", "training", "validation", "gap"])
    for tau in TAUS:
        losses = []
        for seed in range(1, seeds + 1):
            config = Settings(
                hidden=(128,),
                batch_size=16,
                seq_length=SEQ_LENGTH,
                truncation="fixed",
                tau=tau,
                max_steps=updates,
                warmup_steps=100,
                seed=seed,
            )
            _, training, validation = run(config, corpus)
            losses.append((training, validation, validation - training))
            done()
        columns = [(statistics.mean(column), statistics.stdev(column)) for column in zip(*losses, strict=True)]
        result.rows.append([str(tau), *(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in columns)])
    return result


def equal_time(corpus: Path, minutes: float = 0.25, done: Callable[[], object] = lambda: None) -> Result:
    """Each update reads τ steps, so that short ones are many."""
    result = Result(["τ", "updates", "training", "validation", "gap"])
    for tau in TAUS:
        config = Settings(hidden=(128,), batch_size=16, seq_length=tau, max_minutes=minutes)
        steps, training, validation = run(config, corpus)
        result.rows.append(
            [str(tau), f"{steps:,}", f"{training:.3f}", f"{validation:.3f}", f"{validation - training:.3f}"]
        )
        done()
    return result
