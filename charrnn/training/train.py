"""Training from Python.

NumPy is imported by these functions, not before: the settings choose the BLAS that it loads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.errors import ConfigError
from charrnn.training.cores import choose_workers
from charrnn.training.runs import open_run
from charrnn.training.settings import resolve

if TYPE_CHECKING:
    from charrnn.training.loop import Step
    from charrnn.training.prepare import Prepared
    from charrnn.training.result import Result
    from charrnn.training.session import Evaluation

PathLike = str | os.PathLike[str]


def train(
    texts: PathLike | Iterable[PathLike],
    out: PathLike | None = None,
    *,
    config: PathLike | None = None,
    force: bool = False,
    init_from: PathLike | None = None,
    unknown: str = "error",
    on_event: Callable[[Step | Evaluation], object] | None = None,
    score: bool = True,
    **settings: object,
) -> Result:
    """Trains a network on text files or directories, in a run directory, and returns its best network with its scores.

    `settings` are those of `charrnn train` (`Settings` lists them), over those of the file `config`. `out` is the run
    directory, left out runs/ and the name of the text; `force` replaces a run that stands there. `init_from` takes
    weights and vocabulary from a checkpoint; `unknown` says what becomes of characters outside of it: error, skip or
    replace. `on_event` is called with each step and evaluation. With `score` the best network is scored at the end.
    Raises the errors of charrnn.errors.

    An interrupt stops at once; `resume` goes on from the last checkpoint. From the first training on, the BLAS of this
    process has one thread (OPENBLAS_NUM_THREADS=1), unless the environment has set a number before.
    """
    names = [texts] if isinstance(texts, str | os.PathLike) else list(texts)
    if not names:
        raise ConfigError("no text to train on; name a file or a directory")
    resolved, _ = resolve(Path(config) if config is not None else None, settings)
    choose_workers(resolved)

    from charrnn.training import prepare

    prepared = prepare.create(
        [os.fspath(name) for name in names],
        resolved,
        Path(out) if out is not None else None,
        force=force,
        init_from=Path(init_from) if init_from is not None else None,
        unknown=unknown,
    )
    return _finished(prepared, on_event, score)


def resume(
    run: PathLike,
    *,
    on_event: Callable[[Step | Evaluation], object] | None = None,
    score: bool = True,
    **changes: object,
) -> Result:
    """Goes on with a run, given by its directory or by its name under runs/, exactly where its last checkpoint is, and
    returns as `train` does.

    `changes` are settings of how long and how carefully it is trained (`RESUMABLE`); ConfigError for any other.
    """
    opened = open_run(run)
    resolved = opened.resumed_settings(changes)
    choose_workers(resolved)

    from charrnn.training import prepare

    return _finished(prepare.resume(opened, resolved), on_event, score)


def _finished(prepared: Prepared, on_event: Callable[[Step | Evaluation], object] | None, score: bool) -> Result:
    session = prepared.session
    try:
        for event in prepared.events():
            if on_event is not None:
                on_event(event)
        return session.result(score)
    finally:
        session.close()
