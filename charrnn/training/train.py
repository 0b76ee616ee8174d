"""Training from Python.

NumPy is imported by these functions, not before: the settings choose the BLAS that it loads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn import arguments
from charrnn.errors import ConfigError, shown
from charrnn.training.cores import choose_workers
from charrnn.training.runs import open_run
from charrnn.training.settings import resolve

if TYPE_CHECKING:
    from charrnn.training.prepare import Prepared
    from charrnn.training.result import Result
    from charrnn.training.session import Event

LONG = 255  # characters: no file has a longer name
PathLike = str | os.PathLike[str]


def train(
    texts: PathLike | Iterable[PathLike],
    out: PathLike | None = None,
    *,
    config: PathLike | None = None,
    force: bool = False,
    init_from: PathLike | None = None,
    unknown: str = "error",
    on_event: Callable[[Event], object] | None = None,
    score: bool = True,
    **settings: object,
) -> Result:
    """Trains a network on text files or directories, in a run directory, and returns its best network with its scores.

    `settings` are those of `charrnn train` (`Settings` lists them); they go over those of `config`, a file or a recipe.
    `out` is the run directory, left out runs/ and the name of the text; `force` replaces a run that stands there.
    `init_from` takes weights and vocabulary from a checkpoint; `unknown` says what becomes of characters outside of it:
    error, skip, replace, or grow, which takes them in. `on_event` is called with each step, evaluation and
    notice. With `score` the best network is scored at the end. Raises the errors of charrnn.errors.

    An interrupt stops at once; `resume` goes on from the last checkpoint. From the first training on, the BLAS of this
    process has one thread (OPENBLAS_NUM_THREADS=1), unless the environment has set a number before.
    """
    names = _names(texts)
    _check_callable(on_event)
    resolved, _ = resolve(_path("config", config), settings)
    directory, start = _path("out", out), _path("init_from", init_from)
    force = arguments.switch("force", force)
    choose_workers(resolved)

    from charrnn.training import prepare

    prepared = prepare.create(names, resolved, directory, force=force, init_from=start, unknown=unknown)
    return _finished(prepared, on_event, score)


def resume(
    run: PathLike,
    texts: PathLike | Iterable[PathLike] | None = None,
    *,
    on_event: Callable[[Event], object] | None = None,
    score: bool = True,
    **changes: object,
) -> Result:
    """Goes on with a run, given by its directory or by its name under runs/, exactly where its last checkpoint is, and
    returns as `train` does.

    `texts` says where its text is now, if it has been moved. `changes` are settings of how long and how carefully it is
    trained (`RESUMABLE`); ConfigError for any other.
    """
    _check_callable(on_event)
    opened = open_run(arguments.path("run", run))
    resolved = opened.resumed_settings(changes)
    choose_workers(resolved)

    from charrnn.training import prepare

    prepared = prepare.resume(opened, resolved, texts=None if texts is None else _names(texts))
    return _finished(prepared, on_event, score)


def _names(texts: PathLike | Iterable[PathLike]) -> list[str]:
    """The names of the texts; ConfigError for what is none, as for a text itself."""
    if isinstance(texts, bytes) or not isinstance(texts, str | os.PathLike | Iterable):
        raise arguments.wrong("texts", texts, "a path, or several")
    names = [texts] if isinstance(texts, str | os.PathLike) else list(texts)
    if not names:
        raise ConfigError("no text to train on; name a file or a directory")
    for name in names:
        arguments.path("texts", name)
        long = isinstance(name, str) and ("\n" in name or len(name) > LONG)
        if long and not os.path.exists(name):
            raise ConfigError(f"texts {shown(repr(name))}: this is no file; write the text to one, and give its path")
    return [os.fspath(name) for name in names]


def _check_callable(on_event: object) -> None:
    if on_event is not None and not callable(on_event):
        raise arguments.wrong("on_event", on_event, "a function of one event")


def _path(name: str, value: PathLike | None) -> Path | None:
    return None if value is None else arguments.path(name, value)


def _finished(prepared: Prepared, on_event: Callable[[Event], object] | None, score: bool) -> Result:
    session = prepared.session
    try:
        for event in prepared.events():
            if on_event is not None:
                on_event(event)
        return session.result(score)
    finally:
        session.close()
