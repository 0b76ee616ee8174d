"""From settings and files to a session: texts read and split, the network made or loaded, the run directory begun."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from charrnn import blas
from charrnn.engine import Maker
from charrnn.errors import ConfigError, CorpusError, DivergedError, StorageError
from charrnn.interrupts import interrupts_held
from charrnn.model import Model
from charrnn.storage import LAST
from charrnn.storage import checkpoint as checkpoints
from charrnn.text.addresses import is_address
from charrnn.text.batches import Streams
from charrnn.text.corpus import EncodedCorpus, checksum, encode_corpus, open_ids, vocabulary_of
from charrnn.text.files import can_be_read_again, read_once
from charrnn.text.pieces import PieceStreams, are_sorted_lines, end_id
from charrnn.text.tokenizer import GROW, Tokenizer, check_unknown
from charrnn.training.cores import choose_workers
from charrnn.training.loop import ORDER, Trainer
from charrnn.training.parts import Parts, parts_of
from charrnn.training.run import IDS, Manifest, Run, Source, absolute, default_directories
from charrnn.training.runs import load
from charrnn.training.session import Asked, Event, Session, never
from charrnn.training.settings import Settings
from charrnn.training.settings_file import as_written

Progress = Callable[[int], object] | None
SORTED_LOOKED_AT = 100_000  # characters at the text's beginning
VALIDATION_CHARACTERS = 1_000_000  # a longer validation text is cut: enough to choose the best network by


@dataclass
class Prepared:
    """A session that is ready to go, the test text, and what the user should know before it starts."""

    session: Session
    corpus: EncodedCorpus
    notices: list[str] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)  # of val_file and test_file

    def events(self, stop: Asked = never, save: Asked = never) -> Iterator[Event]:
        """The events of the session; a divergence is written to the metrics of the run."""
        try:
            yield from self.session.events(stop, save)
        except DivergedError:
            with contextlib.suppress(StorageError):  # the divergence is what the user must hear of
                self.session.run.note_divergence(self.session.trainer.step + 1)
            raise


def create(
    sources: list[str],
    settings: Settings,
    out: Path | None = None,
    *,
    force: bool = False,
    init_from: Path | None = None,
    unknown: str = "error",
    progress: Progress = None,
    dry: bool = False,
    engine: Maker | None = None,
) -> Prepared:
    """A new run. It is written beside an earlier one, and takes its place only when it is whole.

    Without `out` it gets the first free name under runs/. Whatever fails, nothing is left of it, and nobody holds it.
    With `dry` there is no run, only a session to look at: ids that are too many for memory go into a temporary file.
    `engine` makes the engine, in the place of `engine.make`.
    """
    check_unknown(unknown, grow=True)
    config, workers = _with_absolute_paths(settings), choose_workers(settings)
    with contextlib.ExitStack() as undo:
        run = _looked_for(out, sources, force) if dry else _begun(out, sources, force, undo)
        start = load(init_from) if init_from else None
        if start:
            config = _like(config, start, settings.model_fields_set)
            end_id(start.tokenizer, config.pieces)  # refuses a vocabulary without the symbol that ends a piece
        tokenizer, grow = start.tokenizer if start else None, unknown == GROW
        if grow:
            others = [path for path in (config.val_file, config.test_file) if path]
            known = {*(start.symbols if start else ()), *chain(*(vocabulary_of([p], config.reading) for p in others))}
            tokenizer = Tokenizer.of(known, config.unit, config.normalize)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) if dry else contextlib.nullcontext() as temporary:
            staged = Run(Path(temporary)) if temporary else run.stage()
            corpus = encode_corpus(sources, config.reading, staged.directory / IDS, tokenizer, unknown, progress)
        unknown = "error" if grow else unknown  # nothing is, any more
        parts = parts_of(corpus, config, unknown, None if dry else staged.directory)
        prepared = _assemble(run, config, corpus, parts, workers, undo, engine)
        session = prepared.session
        if start and grow:
            before, start = start, start.grown(corpus.symbols, config.init, config.seed)
            prepared.notices += _growth(before.symbols, start.symbols)
        if start:
            session.trainer.parameters.vector[...] = start.parameters.vector
        if dry:
            undo.pop_all()
            return prepared
        source = Source(_names(sources), corpus.sha256, corpus.characters, unknown, prepared.checksums)
        staged.write_config(_kept(config, prepared))
        staged.write_manifest(source, {**blas.describe(), **session.trainer.engine.described})
        try:
            checkpoints.save(staged.last, session.checkpoint(LAST))
        except (ValueError, TypeError) as error:  # as of a name that a checkpoint cannot hold
            raise ConfigError(f"the run could not be saved ({error}); choose other names or settings") from error
        with interrupts_held():
            run.replace()
        undo.pop_all()
    return prepared


def _looked_for(out: Path | None, sources: list[str], force: bool) -> Run:
    """The run that `_begun` would give, not made."""
    if out is None:
        return Run(next(path for path in default_directories(sources) if not path.exists()))
    run = Run(out)
    run.check(force)
    return run


def _begun(out: Path | None, sources: list[str], force: bool, undo: contextlib.ExitStack) -> Run:
    """The run directory that is asked for, or the first free one, held; `undo` gives it back."""
    for directory in default_directories(sources) if out is None else (out,):
        run = Run(directory)
        undo.callback(run.abandon)
        with interrupts_held():  # between the making of a directory and its lock nobody would remove it
            begun = run.begin(force, fresh=out is None)
        if begun:
            return run
    raise AssertionError("there is always another name")


def resume(
    run: Run,
    settings: Settings,
    progress: Progress = None,
    texts: list[str] | None = None,
    engine: Maker | None = None,
) -> Prepared:
    """An earlier run from its last checkpoint. CorpusError if its text is no longer the same.

    `texts` says where the text is now, if it has been moved; the run remembers it. Whatever fails, nobody holds it
    afterwards.
    """
    config, workers = _with_absolute_paths(settings), choose_workers(settings)
    run.manifest()  # says so if there is no run
    if texts and not all(map(can_be_read_again, texts)):
        raise ConfigError(f"{', '.join(texts)}: a run that is resumed takes its text from files, which are read twice")
    with contextlib.ExitStack() as undo:
        undo.callback(run.unlock)
        run.lock()
        manifest, checkpoint = run.manifest(), checkpoints.load(run.last)
        tokenizer = Tokenizer(checkpoint.symbols, checkpoint.unit, checkpoint.normalize)
        corpus = _text_again(run, texts or manifest.corpus, manifest, config, tokenizer, progress)
        parts = parts_of(corpus, config, manifest.unknown, run.directory, manifest.others or {})
        prepared = _assemble(run, config, corpus, parts, workers, undo, engine)
        for key in ("val_file", "test_file"):
            if manifest.others is not None and prepared.checksums.get(key) != manifest.others.get(key):
                raise CorpusError(
                    f"{key} {getattr(config, key)}: not the text that {run.directory} was begun with; restore it"
                )
        prepared.session.resume(checkpoint)
        if texts:
            run.note_corpus(_names(texts))
        prepared.notices += _resumed_limits(prepared.session.trainer, run.config({}))
        reached = [name for name, used in prepared.session.trainer.used().items() if used >= 1]
        if reached:
            prepared.notices.append(f"the run has reached its end by {' and '.join(reached)}; raise it to go further")
        else:
            run.write_config(_kept(config, prepared))
        undo.pop_all()
    now, then = blas.describe(), manifest.blas
    changed = [f"{key} {then.get(key)} → {now[key]}" for key in now if then.get(key) != now[key]]
    if changed:
        prepared.notices.append(f"the BLAS is not as before ({', '.join(changed)}): last bits may differ")
    return prepared


def _text_again(
    run: Run, sources: list[str], manifest: Manifest, config: Settings, tokenizer: Tokenizer, progress: Progress
) -> EncodedCorpus:
    """The text of a run that goes on, from the files `sources`: the very same, or CorpusError."""
    sha256, kept = manifest.sha256, run.directory / IDS
    if "-" in sources and not kept.exists():
        raise CorpusError(
            f"{run.directory}: its text was standard input, and is gone; a new run can take its weights (init_from)"
        )
    again = all(map(can_be_read_again, sources))
    gone = next((file for file in sources if not os.path.exists(file)), None)
    if again and gone is not None:
        raise CorpusError(f"{gone}: the text of {run.directory} is gone; restore it, or name it where it is now")
    if again and checksum(sources, config.reading, progress) != sha256:
        raise CorpusError(
            f"{', '.join(sources)}: not the text that {run.directory} was trained on; restore it, say where it is now, "
            f"or begin a new run from its weights (init_from {run.directory})"
        )
    if kept.exists():
        return open_ids(kept, sha256, tokenizer, verify=True)
    if not again:
        raise CorpusError(
            f"{kept} is gone, and the text came from {read_once(sources)}; name the text as a file, or begin a new run "
            "from its weights (init_from)"
        )
    return encode_corpus(sources, config.reading, kept, tokenizer, manifest.unknown, progress)


def _names(texts: list[str]) -> list[str]:
    """The absolute paths or addresses of the texts, and - for what is read only once."""
    return [absolute(name) if can_be_read_again(name) or is_address(name) else "-" for name in texts]


def _with_absolute_paths(config: Settings) -> Settings:
    """Settings that mean the same in any directory."""
    paths = {key: getattr(config, key) for key in ("val_file", "test_file")}
    return config.replace(**{key: absolute(path) for key, path in paths.items() if path})


def _growth(before: Sequence[str], now: Sequence[str]) -> list[str]:
    """What to say of the symbols that a vocabulary has gained."""
    new = sorted({*now} - {*before})
    if not new:
        return []
    listed = " ".join(map(repr, new[:8])) + (" …" if len(new) > 8 else "")
    return [f"the vocabulary has grown by {len(new):,} to {len(now):,} symbols, whose weights begin anew: {listed}"]


def _kept(config: Settings, prepared: Prepared) -> Settings:
    """The settings to store: those given, and the chosen warm-up, which a resumed run continues. Other defaults are
    chosen again on resume, where the run's length may differ."""
    return config.replace(warmup_steps=prepared.session.trainer.config.warmup_steps)


def _like(config: Settings, model: Model, given: Collection[str]) -> Settings:
    """`config` with architecture and unit of the model; ConfigError where a setting that was given is another."""
    architecture = model.architecture
    theirs = {
        "hidden": architecture.hidden,
        "activation": architecture.activation,
        "cell": architecture.cell,
        "unit": model.unit,
        "normalize": model.normalize,
    }
    for key, value in theirs.items():
        wish = getattr(config, key)
        if key in given and wish != value:
            raise ConfigError(
                f"{key} {as_written(wish)}: the checkpoint that the weights are taken from has {as_written(value)}; "
                "leave it out"
            )
    return config.replace(**theirs)


def _resumed_limits(trainer: Trainer, before: Settings) -> list[str]:
    """What to say of limits that are not those of `before`; ConfigError where the run is already beyond one."""
    config = trainer.config
    changed = [name for name in ("max_steps", "epochs") if getattr(config, name) != getattr(before, name)]
    made = {"max_steps": f"{trainer.step:,} steps", "epochs": f"{trainer.epochs:.2f} epochs"}
    for name in changed:
        if trainer.used().get(name, 0) > 1:
            raise ConfigError(f"{name} {getattr(config, name)}: the run has made {made[name]}; give more")
    was, now = trainer.learning_rate(before), trainer.learning_rate()
    if not math.isclose(was, now, rel_tol=0.01):
        return [f"the schedule spans the run's new length: the learning rate is now {now:.3g}, and was {was:.3g}"]
    return []


def _assemble(
    run: Run,
    config: Settings,
    corpus: EncodedCorpus,
    parts: Parts,
    workers: int,
    undo: contextlib.ExitStack,
    engine: Maker | None,
) -> Prepared:
    """Cuts the text into streams and makes the network; `undo` closes its engine."""
    validation, test = parts.validation, parts.test
    if parts.end is None:
        streams = Streams(parts.training, config.batch_size, config.seq_length, corpus.release)
    else:
        streams = PieceStreams(parts.training, parts.end, config.batch_size, config.seq_length, (config.seed, ORDER))
    trainer = Trainer(config, corpus.tokenizer.size, streams, workers, engine)
    undo.callback(trainer.engine.close)
    session = Session(
        trainer,
        run,
        corpus.tokenizer,
        validation=validation[:VALIDATION_CHARACTERS] if len(validation) > 1 else None,
        test=np.asarray(test) if len(test) > 1 else None,
    )
    notices = [*corpus.notes, *([streams.notice] if streams.notice else [])]
    if parts.end is None and are_sorted_lines(corpus.tokenizer.decode(corpus.ids[:SORTED_LOOKED_AT])):
        notices.append(
            "sorted lines: the validation text is the end of the list, and each line is read after its neighbour; "
            "with pieces lines they are shuffled"
        )
    chosen = trainer.config.steps
    if chosen and config.steps and chosen != config.steps:
        length, why = ("short", "; with more it would be learnt by heart") if chosen < config.steps else ("long", "")
        notices.append(
            f"so {length} a text is read {chosen / streams.steps_per_epoch:.3g} times, in {chosen:,} updates "
            f"(max_steps){why}"
        )
    if config.patience is None and trainer.config.patience is not None:
        notices.append(
            f"so long a run reads the text many times: it stops after {trainer.config.patience} evaluations, "
            f"{trainer.config.eval_every} updates apart, that bring no better validation (patience)"
        )
    if len(validation) > VALIDATION_CHARACTERS:
        notices.append(f"of the validation text the first {VALIDATION_CHARACTERS:,} characters are scored")
    if config.val_file is None and config.val_frac and len(validation) < 2:
        notices.append("the text is too short for validation: the training loss decides which checkpoint is best")
    return Prepared(session, corpus, notices, parts.checksums)
