"""The trainings of a sweep by processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from charrnn.blas import cores
from charrnn.errors import CharrnnError
from charrnn.experiments.trial import Trial, Values, ended, outcome
from charrnn.interrupts import leave_interrupts_to_parent, starting_process


class Processes:
    """`jobs` trainings side by side, left out one for each core; each is a process of its own. See `Pool`."""

    def __init__(self, jobs: int | None = None) -> None:
        self._jobs = jobs or cores()

    def __str__(self) -> str:
        return f"{self._jobs} at a time"

    def outcomes(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Values]]:
        """See `Pool`."""
        context, waiting = get_context("spawn"), list(trials)
        share = max(1, cores() // max(1, min(self._jobs, len(trials))))
        busy: dict[object, tuple[Trial, SpawnProcess, Connection]] = {}  # by the pipe that the outcome comes through
        try:
            while waiting or busy:
                while waiting and len(busy) < self._jobs:
                    trial = waiting.pop(0)
                    receiver, sender = context.Pipe(duplex=False)
                    threads = trial.settings["threads"] or share
                    process = context.Process(target=_trained, args=(sender, trial, threads))
                    with starting_process():
                        process.start()
                        busy[receiver] = trial, process, receiver
                    sender.close()
                for ready in wait([receiver for _, _, receiver in busy.values()]):
                    trial, process, receiver = busy.pop(ready)
                    try:
                        told = receiver.recv()
                    except EOFError:  # it was killed
                        told = None
                    process.join()
                    if isinstance(told, CharrnnError):
                        raise told
                    yield trial, told or ended(process.exitcode)
        finally:
            for _, process, _ in busy.values():
                process.terminate()
                process.join()


def _trained(sender: Connection, trial: Trial, threads: int) -> None:
    """Sends the outcome of a training. Ends with the process that has started it."""
    leave_interrupts_to_parent()
    parent = parent_process()

    def check_parent(_: object) -> None:
        if parent is not None and not parent.is_alive():
            raise SystemExit

    sender.send(outcome(trial, threads, check_parent))
