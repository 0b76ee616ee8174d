"""One training of a sweep, begun or gone on with, and what came of it; and what is asked of those who do several.

To import this must not import NumPy: each training chooses the BLAS by its settings.
"""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from charrnn.errors import CharrnnError, CorpusError, DivergedError, WorkerError
from charrnn.storage import fields
from charrnn.training.run import Run
from charrnn.training.train import resume, train

RELEASE = 10.0  # seconds that a training of a sweep that was killed may take to notice it

Values = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A training of a sweep, and how far it goes.

    number: counted from 0. directory: of its run, in that of the sweep. settings: of a new run; threads is None if it
    was left out. limits: the settings of length, which a run that is gone on with takes.
    """

    number: int
    directory: Path
    corpus: list[str]
    settings: Values
    limits: Values


class Pool(Protocol):
    """Who does the trainings of a sweep. `str(pool)` says it in words, as in "4 at a time"."""

    def outcomes(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Values]]:
        """Each with the fields of its outcome, as they come.

        Raises an error that every other training would meet as well. Trainings that are at work when the iterator is
        closed, or this process ends, end with it; what they have saved stays.
        """


def outcome(
    trial: Trial, threads: int, on_event: Callable[[object], object] = lambda event: None
) -> Values | CharrnnError:
    """Trains as far as the limits, in this process; the fields of the outcome, or the error that every other training
    would meet as well. A run that an earlier process has left is gone on with."""
    run = Run(trial.directory)
    told: Values
    try:
        patience = time.monotonic() + RELEASE
        while trial.directory.exists() and run.is_locked():
            if time.monotonic() > patience:
                return {"state": "failed", "problem": f"{trial.directory}: another training is at work there"}
            time.sleep(0.05)
        if run.exists() and run.last.exists():
            resume(trial.directory, on_event=on_event, score=False, **{**trial.limits, "threads": threads})
        else:
            shutil.rmtree(trial.directory, ignore_errors=True)  # what was killed before it could be resumed
            settings = {**trial.settings, "threads": threads}
            train(trial.corpus, trial.directory, on_event=on_event, score=False, **settings)
        told = {"state": "finished"}
    except DivergedError as error:
        told = {"state": "diverged", "problem": str(error)}
    except (MemoryError, WorkerError) as error:
        told = {"state": "failed", "problem": str(error) or "not enough memory"}
    except CharrnnError as error:
        return error
    if run.last.exists():
        told |= _figures(run)
    if told["state"] == "finished" and told["validation"] is None:
        return CorpusError(f"{', '.join(trial.corpus)}: too short for validation, by which trainings are ranked")
    return told


def ended(code: int | None) -> Values:
    """The outcome of a training whose process ended without a word."""
    return {"state": "failed", "problem": f"its process ended with {code}"}


def serve() -> None:
    """One training for the process that has started this one: trial and threads come by standard input, the outcome
    goes by standard output, both pickled. Standard input stays open as long as the outcome is wanted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who started this will end it
    trial, threads = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_input, daemon=True).start()
    answer, sys.stdout = sys.stdout.buffer, sys.stderr  # what is printed does not get among the bytes of the answer
    pickle.dump(outcome(trial, threads), answer)
    answer.flush()


def _end_with_input() -> None:
    os.read(0, 1)
    os._exit(1)  # what is being written is whole or not there


def _figures(run: Run) -> Values:
    """Of a run, from its metrics and its last checkpoint."""
    from charrnn.storage import checkpoint

    last = checkpoint.load(run.last)
    trainer: Mapping[str, object] = fields.mapping(last.progress, "trainer")
    losses = [row["validation"] for row in run.metrics() if "validation" in row]
    return {
        "validation": min(losses, default=None),
        "steps": trainer["step"],
        "parameters": sum(array.size for array in last.weights.values()),
        "seconds": trainer["seconds"],
    }
