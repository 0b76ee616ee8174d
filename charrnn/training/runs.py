"""Runs as they are found on disk: by directory, by name, or as the newest one that is any good.

To import this must not import NumPy: a run that goes on chooses the BLAS by the settings it finds.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn import arguments
from charrnn.errors import CharrnnError, CheckpointError, shown
from charrnn.registry import ACTIVATIONS, CELLS
from charrnn.storage import BEST, LAST
from charrnn.storage.durable import open_regular
from charrnn.training.run import RUNS, Run, is_number
from charrnn.training.settings import LEAST_STEPS, STEPS

if TYPE_CHECKING:
    from charrnn.model import Model

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Summary:
    """What a run directory holds.

    state: training, finished, stopped, diverged, untrained, foreign (its cell or activation is registered by a module
    that is not imported here) or damaged; `problem` says what a foreign run lacks and what is damaged. parameters: how
    many weights. scored: whether it has a best checkpoint, which comes with the first evaluation. validation: lowest
    loss so far in nats per symbol, which is a `unit`, if there was any. written: time of its newest checkpoint, in
    seconds since 1970. brief: it made fewer than `LEAST_STEPS` updates, and did not read its text once. What a damaged
    run does not tell is None.
    """

    path: Path
    state: str
    written: float
    cell: str | None = None
    hidden: tuple[int, ...] = ()
    parameters: int | None = None
    steps: int | None = None
    validation: float | None = None
    scored: bool = False
    problem: str | None = None
    unit: str = "codepoint"
    brief: bool = False

    @property
    def good(self) -> bool:
        """Whether its network is worth to be used without being asked for by name."""
        return self.state not in ("damaged", "diverged", "untrained", "foreign") and self.scored


def located(what: PathLike, runs: Path = RUNS) -> Path | None:
    """The checkpoint file or run directory of this path, or else the run of this name under `runs`; None if neither."""
    path = Path(what)
    if _holds_checkpoint(path) or _is_archive(path):
        return path
    named = runs / path
    return named if path.name and _holds_checkpoint(named) else None


def find(what: PathLike | None = None, runs: Path = RUNS) -> Path:
    """As `located`; for None the newest good run. CheckpointError, with the nearest name, if there is none."""
    if what is None:
        return newest(runs)[0].path
    what = arguments.path("path", what)
    path = located(what, runs)
    if path is not None:
        return path
    path = Path(what)
    if path.is_file():
        return path  # what reads it says what is wrong with it
    inside = _directories(path) if path.is_dir() else []
    if inside:
        raise CheckpointError(f"{path}: a directory of runs; name one of them, as in {inside[-1]}")
    kind = "a directory without a checkpoint" if path.is_dir() else f"no checkpoint, and no run of {runs}/"
    raise CheckpointError(f"{os.fspath(what)}: {kind}{hint(what, runs)}; charrnn runs lists the runs that there are")


def named(runs: Path = RUNS) -> list[str]:
    """The names of the runs under `runs`."""
    return [run.name for run in _directories(runs)]


def hint(what: PathLike, runs: Path = RUNS) -> str:
    """The run whose name is nearest, in brackets, if one is near."""
    near = difflib.get_close_matches(Path(what).name, named(runs), 1)
    return f" (did you mean {runs / near[0]}?)" if near else ""


def newest(runs: Path = RUNS) -> tuple[Summary, list[Summary]]:
    """The good run under `runs` that was written to last, and the newer ones that were passed over.

    A brief one is passed over if there is another. CheckpointError if no run is good.
    """
    passed_over: list[Summary] = []
    for directory in sorted(_directories(runs), key=_written, reverse=True):
        run = summary(directory)
        if run.good and not run.brief:
            return run, passed_over
        passed_over.append(run)
    for i, run in enumerate(passed_over):
        if run.good:
            return run, passed_over[:i]
    if passed_over:
        held = ", ".join(f"{run.path} is {run.state}" for run in passed_over[:3])
        raise CheckpointError(f"{runs}: no run here that is trained ({held}); train one: charrnn train corpus.txt")
    raise CheckpointError(f"{runs}: no run here; train one: charrnn train corpus.txt")


def summaries(directory: Path = RUNS) -> list[Summary]:
    """Every run in a directory, or the run that it is itself, newest first."""
    found = [directory] if _holds_checkpoint(directory) else _directories(directory)
    return [summary(run) for run in sorted(found, key=_written, reverse=True)]


def sweeps(directory: Path = RUNS) -> dict[Path, int]:
    """The directories in a directory that hold runs themselves, as that of a sweep does, and how many each."""
    return dict(Counter(run.parent for run in _directories(directory, "*/*")))


def summary(directory: Path) -> Summary:
    """What the checkpoints and metrics of a run say. Nothing that they hold makes it raise."""
    from charrnn.storage import checkpoint as checkpoints

    run, written = Run(directory), _written(directory)
    busy = run.is_locked()
    try:
        loaded = [checkpoints.load(path) for path in (run.best, run.last) if path.exists()]
        rows = run.metrics()
    except CharrnnError as error:
        return Summary(directory, "training" if busy else "damaged", written, problem=str(error))
    if not loaded:  # it was removed meanwhile
        return Summary(directory, "damaged", written, problem="it has no checkpoint")
    newest = loaded[-1]
    progress = newest.progress.get("trainer")
    numbers: dict[str, Any] = progress if isinstance(progress, dict) else {}
    validation = [row["validation"] for row in rows if "validation" in row]
    steps = numbers.get("step")
    scored = run.best.exists()
    lacking = _lacking(newest.cell, newest.activation)
    state = "foreign" if lacking else _state(newest.settings, {**newest.progress, **numbers}, rows, scored)
    return Summary(
        directory,
        "training" if busy else state,
        written,
        newest.cell,
        newest.hidden,
        sum(array.size for array in newest.weights.values()),
        steps if isinstance(steps, int) else None,
        min(validation, default=None),
        scored,
        lacking,
        newest.unit,
        isinstance(steps, int) and steps < LEAST_STEPS and numbers.get("epoch") == 0,
    )


def _lacking(cell: str, activation: str) -> str | None:
    """What a checkpoint names and no registry has; None if nothing."""
    for kind, name, known in (("cell", cell, CELLS), ("activation", activation, ACTIVATIONS)):
        if name not in known:
            return f"its {kind} {shown(name)} is not known here; import the module that registers it"
    return None


def load(path: PathLike | None = None) -> Model:
    """The model of a checkpoint file, or the best one of a run, given by its directory or by its name under runs/.

    Left out, that of the newest run that is trained and has not diverged. CheckpointError if it is not exactly right.
    """
    from charrnn import model

    return model.load(find(path))


def open_run(what: PathLike) -> Run:
    """The run of this directory, or of this name; what is none says so when it is asked for its manifest."""
    return Run(located(what) or Path(what))


def _state(settings: Mapping[str, Any], progress: Mapping[str, Any], rows: list[dict[str, Any]], scored: bool) -> str:
    if any(row.get("diverged") for row in rows):
        return "diverged"
    if not scored or progress.get("step") == 0:
        return "untrained"
    limits = ("epochs", "max_minutes", "max_steps", "patience")
    given = {name: settings[name] for name in limits if is_number(settings.get(name))}
    if not given.keys() - {"patience"}:
        given["max_steps"] = STEPS
    epochs = [row["epoch"] for row in (progress, *rows) if is_number(row.get("epoch"))]
    seconds = progress.get("seconds")
    reached = {
        "epochs": max(epochs, default=0),
        "max_minutes": seconds / 60 if is_number(seconds) else 0,
        "max_steps": progress.get("step"),
        "patience": progress.get("stale"),
    }
    done = "step" not in progress  # weights saved alone: nothing is left to do
    for name, limit in given.items():
        value = reached[name]
        done = done or (is_number(value) and value >= limit)
    return "finished" if done else "stopped"


def _directories(runs: Path, pattern: str = "*") -> list[Path]:
    """The directories in `runs` that hold a checkpoint; another process may remove some meanwhile."""
    found: Iterable[Path] = (path.parent for name in (BEST, LAST) for path in runs.glob(f"{pattern}/{name}"))
    return sorted(set(found))


def _written(directory: Path) -> float:
    """When a checkpoint of the run was last written, in seconds since 1970; 0 if none is there."""
    times = [0.0]
    for name in (BEST, LAST):
        try:
            times.append((directory / name).stat().st_mtime)
        except OSError:
            continue
    return max(times)


def _holds_checkpoint(directory: Path) -> bool:
    return any((directory / name).is_file() for name in (BEST, LAST))


def _is_archive(path: Path) -> bool:
    """Whether it is a file that begins as a checkpoint does."""
    try:
        with open_regular(path) as file:
            return file.read(2) == b"PK"
    except (OSError, ValueError):
        return False
