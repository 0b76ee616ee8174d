"""Does truncation regularise? The document says so (§2.2); here τ from 1 to 128 on real text, with all else equal.

Once at equal numbers of updates: each reads the same 128 steps, cut every τ. And once at equal time, as one would use
it: each update reads τ steps only, so that short ones are many.
"""

from __future__ import annotations

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


def experiment(
    corpus: Path, updates: int = 2000, minutes: float = 0.25, done: Callable[[], object] = lambda: None
) -> Result:
    """Both comparisons, for every τ; `done` is called after each training."""
    result = Result(["τ", "training", "validation", "gap", "updates in equal time", "training ", "validation ", "gap "])
    for tau in TAUS:
        row = [str(tau)]
        equal_updates = Settings(
            hidden=(128,),
            batch_size=16,
            seq_length=SEQ_LENGTH,
            truncation="fixed",
            tau=tau,
            max_steps=updates,
            warmup_steps=100,
        )
        equal_time = Settings(hidden=(128,), batch_size=16, seq_length=tau, max_minutes=minutes)
        for config in (equal_updates, equal_time):
            steps, training, validation = run(config, corpus)
            if config is equal_time:
                row.append(f"{steps:,}")
            row += [f"{training:.3f}", f"{validation:.3f}", f"{validation - training:.3f}"]
            done()
        result.rows.append(row)
    return result
