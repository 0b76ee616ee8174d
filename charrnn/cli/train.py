"""`charrnn train`."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from charrnn.cli.options import flag, with_settings
from charrnn.errors import ConfigError, RunExistsError, WorkerError
from charrnn.training.cores import choose_workers
from charrnn.training.settings import FIELDS, Settings, recipes, resolve
from charrnn.training.settings_file import as_written


@with_settings
def train(
    corpus: Annotated[
        list[str] | None, typer.Argument(help="Text files, directories, or - for standard input.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help=f"YAML file of settings, or a recipe ({', '.join(recipes())}); flags go over it.", metavar="FILE"
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run directory; left out, runs/ and the name of the corpus.", metavar="DIR")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a run that is in the way.")] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with this run, exactly; CORPUS says where its text is, if it was moved.", metavar="RUN"
        ),
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Take weights and vocabulary from a run or checkpoint.", metavar="CKPT")
    ] = None,
    unknown: Annotated[
        str,
        typer.Option(
            help="Characters outside the vocabulary (--init-from, --val-file, --test-file): error, skip, replace, or "
            "grow, which takes them in.",
            metavar="NAME",
        ),
    ] = "error",
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print each setting and where it came from, and stop.")
    ] = False,
    beside: Annotated[
        bool,
        typer.Option(
            "--yardsticks/--no-yardsticks",
            help="At the end, set the result beside n-gram models and compressors, where that takes at most a tenth of "
            "the training.",
            show_default=False,
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
    *,
    settings: dict[str, object],
) -> None:
    """Train a network on text.

    All that is told goes to standard error, where `train` is the mean loss since the evaluation before, in nats per
    character, and `best` marks the lowest validation loss so far, whose network is kept. With --json, standard output
    is the result.
    """
    run = None
    if resume is not None:
        from charrnn.training.runs import open_run

        _refuse_with_resume(config=config, out=out, init_from=init_from, force=force or None)
        run, origins = open_run(resume), dict.fromkeys(FIELDS, str(resume))
        resolved = run.resumed_settings(settings)
    else:
        resolved, origins = resolve(config, settings)
    if print_config:
        given = {name: flag(name) for name, value in settings.items() if value is not None}
        _print_settings(resolved, {**origins, **given}, as_json)
        return
    if run is None and not corpus:
        raise ConfigError("name a text to train on, as in: charrnn train corpus.txt")
    for name in corpus or []:
        if name.isdecimal() and not Path(name).exists():
            raise ConfigError(f"{name}: no such text; several widths are one word, as in: --hidden 128,{name}")
    choose_workers(resolved)

    from charrnn.cli.display import Display
    from charrnn.training import prepare

    with Display(resolved) as display:
        if run is not None:
            prepared = prepare.resume(run, resolved, display.reading, corpus)
        else:
            try:
                prepared = prepare.create(
                    corpus or [],
                    resolved,
                    out,
                    force=force,
                    init_from=init_from,
                    unknown=unknown,
                    progress=display.reading,
                )
            except RunExistsError:
                raise RunExistsError(
                    f"{out} holds a run; choose another --out, add --force to replace it, "
                    f"or go on with it: charrnn train --resume {out}"
                ) from None
        session = prepared.session
        directory = session.run.directory
        stopped = _Stop()
        with stopped:
            display.preflight(prepared)
            try:
                for event in prepared.events(stopped):
                    display.show(event)
            except WorkerError as error:
                raise WorkerError(f"{error}; saved, go on with: charrnn train --resume {directory}") from None
        if stopped.signal is None or as_json:
            try:
                result = session.result(stopped.signal is None, display.scoring, beside=beside)
            except (KeyboardInterrupt, SystemExit):
                print(f"not scored; the training is saved: charrnn eval TEXT --ckpt {directory}", file=sys.stderr)
                raise typer.Exit(128 + (stopped.signal or signal.SIGINT)) from None
            display.finish(result, stopped.signal is not None, beside)
            if as_json:
                print(json.dumps(result.as_dict(), allow_nan=False))
    if stopped.signal is not None:
        signal.signal(stopped.signal, signal.SIG_IGN)  # as it ends, Python would take its handler away
        print(f"saved; go on with: charrnn train --resume {directory}", file=sys.stderr)
        raise typer.Exit(128 + stopped.signal)


def _print_settings(settings: Settings, origins: dict[str, str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(settings.plain()))
        return
    for name, origin in origins.items():
        print(f"{name + ':':<18}{as_written(getattr(settings, name)):<14}  # {origin}")


class _Stop:
    """Turns SIGINT and SIGTERM into a wish to stop after the running update; one that comes `AGAIN` seconds after the
    first, or later, stops at once. (What runs us may pass on a signal that the terminal has sent us already.)"""

    signal: int | None = None
    AGAIN = 0.5

    def __enter__(self) -> None:
        self._before = {kind: signal.signal(kind, self._handle) for kind in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        if self.signal is None:  # a signal that came may be on its way once more
            for kind, handler in self._before.items():
                signal.signal(kind, handler)

    def _handle(self, number: int, _frame: object) -> None:
        if self.signal is None:
            self.signal, self._first = number, time.monotonic()
        elif time.monotonic() - self._first > self.AGAIN:
            raise SystemExit(128 + number)

    def __call__(self) -> bool:
        return self.signal is not None


def _refuse_with_resume(**others: object) -> None:
    for name, value in others.items():
        if value:
            what = "a corpus" if name == "corpus" else flag(name)
            raise ConfigError(f"{what} does not go with --resume: the run knows its own; leave it out")
