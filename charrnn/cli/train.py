"""`charrnn train`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.options import flag, with_settings
from charrnn.cli.ranks import ranks
from charrnn.cli.signals import Signals, Stopped, cause
from charrnn.cli.terminal import say
from charrnn.errors import ConfigError, RunExistsError, WorkerError, shown
from charrnn.training.cores import choose_workers
from charrnn.training.run import Run
from charrnn.training.settings import FIELDS, Settings, recipes, resolve
from charrnn.training.settings_file import as_written

if TYPE_CHECKING:
    from charrnn.training.preflight import Preflight
    from charrnn.training.prepare import Prepared


@with_settings
def train(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            help="Text files, plain or compressed (.gz, .bz2, .xz, .zst), .jsonl or .parquet files, directories, "
            "addresses (https://, s3:// …), or - for standard input.",
            metavar="CORPUS",
            show_default=False,
        ),
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
            help="At the end, set the result beside n-gram models and compressors, where that takes three seconds at "
            "most, or a tenth of the training.",
            show_default=False,
        ),
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the training would need and how long it would take, and stop.")
    ] = False,
    fast_reduce: Annotated[
        bool,
        typer.Option(
            "--fast-reduce",
            help="By several ranks of MPI: let the library add gradients in the order that it finds fastest, in which "
            "the last bits depend on the number of ranks.",
        ),
    ] = False,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Keep an event file in the run directory, for: tensorboard --logdir runs. With --resume it has the "
            "steps before too.",
        ),
    ] = False,
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
    if fast_reduce and ranks() is None:
        raise ConfigError("fast_reduce: there are no ranks of MPI; leave it out, or start several with mpiexec")
    if resume is not None:
        from charrnn.training.runs import open_run

        if dry_run:
            raise ConfigError("--dry-run does not go with --resume, which puts the run in order; leave one out")
        _refuse_with_resume(
            config=config, out=out, init_from=init_from, force=force or None, unknown=unknown != "error"
        )
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
        _check_is_text(name)
    with Signals() as signals:
        try:
            signals.raises = True
            if not signals.stop():
                words = (out, force, init_from, unknown, beside, dry_run, fast_reduce, tensorboard, as_json)
                _train(signals, run, corpus or [], resolved, *words)
            signals.raises = False
        except (Stopped, RuntimeError) as error:
            signals.raises = False
            if not isinstance(cause(error), Stopped):
                raise
        if signals.first is not None:
            say(signals.last_line)
            raise typer.Exit(signals.exit_code)


def _check_is_text(name: str) -> None:
    """ConfigError that says what to type for a word that is no text but something else that is known."""
    from charrnn.training.runs import located

    if (run := located(name)) is not None and (run == Path(name) or not Path(name).exists()):
        raise ConfigError(f"{name}: a run, not a text; go on with it: charrnn train --resume {name}")
    if Path(name).exists():
        return
    if name.isdecimal():
        raise ConfigError(f"{name}: no such text; several widths are one word, as in: --hidden 128,{name}")
    if name in recipes():
        raise ConfigError(f"{name}: no such text; a recipe is given as --config {name}")


def _train(
    signals: Signals,
    run: Run | None,
    corpus: list[str],
    settings: Settings,
    out: Path | None,
    force: bool,
    init_from: Path | None,
    unknown: str,
    beside: bool,
    dry_run: bool,
    fast_reduce: bool,
    tensorboard: bool,
    as_json: bool,
) -> None:
    """Trains, and shows it."""
    choose_workers(settings)
    others = ranks()
    engine = others.maker(settings, fast_reduce) if others else None

    from charrnn.cli.display import Display
    from charrnn.training import prepare

    if tensorboard:
        from charrnn.formats.tensorboard import TensorBoard, check

        check("--tensorboard")

    with Display() as display:
        if run is not None:
            prepared = prepare.resume(run, settings, display.reading, corpus, engine)
        else:
            try:
                prepared = prepare.create(
                    corpus,
                    settings,
                    out,
                    force=force,
                    init_from=init_from,
                    unknown=unknown,
                    progress=display.reading,
                    dry=dry_run,
                    engine=engine,
                )
            except RunExistsError:
                raise RunExistsError(
                    f"{out} holds a run; choose another --out, add --force to replace it, "
                    f"or go on with it: charrnn train --resume {out}"
                ) from None
        prepared.notices += others.notices if others else []
        with contextlib.closing(prepared.session) as session:
            go_on = f"go on with: charrnn train --resume {session.run.directory}"
            if not dry_run:
                signals.waits, signals.last_line = True, f"stopped at once, after the last checkpoint; {go_on}"
            need = display.preflight(prepared)
            if dry_run:
                say("dry run: nothing was written")
                if as_json:
                    print(json.dumps(_needed(prepared, need)))
                return
            board = TensorBoard(session.run.directory, display.note) if tensorboard else None
            try:
                for event in prepared.events(signals.stop, signals.save):
                    display.show(event)
                    if board:
                        board(event)
            except WorkerError as error:
                raise WorkerError(f"{error}; saved, {go_on}") from None
            finally:
                if board:  # with the row that says that the training diverged, and where it had nothing to do
                    board.catch_up()
            signals.waits, stopped = False, signals.stop()
            signals.last_line = (
                f"saved; {go_on}" if stopped else f"saved; score it with: charrnn eval --ckpt {session.run.directory}"
            )
            if not stopped or as_json:
                result = session.result(not stopped, display.scoring, beside=beside)
                display.finish(result, stopped, beside)
                if as_json:
                    print(json.dumps(result.as_dict(), allow_nan=False))


def _needed(prepared: Prepared, need: Preflight) -> dict[str, object]:
    trainer = prepared.session.trainer
    return {
        "run": str(prepared.session.run.directory),
        "characters": prepared.corpus.characters,
        "symbols": len(prepared.corpus.symbols),
        "parameters": trainer.parameters.vector.size,
        "steps_per_epoch": trainer.streams.steps_per_epoch,
        "memory_bytes": need.memory_bytes,
        "seconds": need.seconds,
        "notices": prepared.notices,
    }


def _print_settings(settings: Settings, origins: dict[str, str], as_json: bool) -> None:
    if as_json:
        print(json.dumps(settings.plain()))
        return
    for name, origin in origins.items():
        value = getattr(settings, name)
        chosen = ", chosen when the text is known, or none" if value is None else ""
        print(f"{name + ':':<18}{as_written(value):<14}  # {shown(origin)}{chosen}")


def _refuse_with_resume(**others: object) -> None:
    for name, value in others.items():
        if value:
            what = "a corpus" if name == "corpus" else flag(name)
            raise ConfigError(f"{what} does not go with --resume: the run knows its own; leave it out")
