"""From settings and files to a session: texts read and split, the network made or loaded, the run directory begun."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from charrnn import blas
from charrnn.errors import ConfigError, CorpusError, DivergedError, StorageError
from charrnn.network.parameters import Parameters
from charrnn.storage import LAST
from charrnn.storage import checkpoint as checkpoints
from charrnn.storage.durable import interrupts_held
from charrnn.text.batches import Streams
from charrnn.text.corpus import EncodedCorpus, can_be_read_again, checksum, encode_corpus, open_ids
from charrnn.text.tokenizer import Tokenizer
from charrnn.training.cores import choose_workers
from charrnn.training.loop import Step, Trainer
from charrnn.training.parts import parts_of
from charrnn.training.run import IDS, Run, Source, default_directory
from charrnn.training.runs import load
from charrnn.training.session import Evaluation, Session
from charrnn.training.settings import FIELDS, Settings

Progress = Callable[[int], object] | None
VALIDATION_CHARACTERS = 1_000_000  # a longer validation text is cut: enough to choose the best network by


@dataclass
class Prepared:
    """A session that is ready to go, the test text, and what the user should know before it starts."""

    session: Session
    corpus: EncodedCorpus
    notices: list[str] = field(default_factory=list)

    def events(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Step | Evaluation]:
        """Those of the session; where it diverges, the run remembers it."""
        try:
            yield from self.session.events(stop)
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
) -> Prepared:
    """A new run. Nothing of an earlier one is touched before the texts and the checkpoint are known to be good."""
    config, workers = settings, choose_workers(settings)
    run = Run(out or default_directory(sources))
    run.check_free(force)
    existed = run.directory.exists()
    if existed:
        run.lock()
    start = load(init_from) if init_from else None
    if start:
        config = _like(config, start.parameters)
    symbols = start.symbols if start else None
    ids = run.directory / f".{IDS}.{os.getpid()}.tmp"  # a new directory is not locked yet
    try:
        corpus = encode_corpus(sources, config.encoding, ids, symbols, unknown, progress)
        prepared = _assemble(run, config, corpus, unknown, workers)
        if start:
            prepared.session.trainer.parameters.vector[...] = start.parameters.vector
        names = tuple(str(Path(name).resolve()) if can_be_read_again(name) else "-" for name in sources)
        source = Source(names, corpus.sha256, corpus.characters, unknown)
        with interrupts_held():  # what was there goes; what can be resumed must take its place
            run.create(_kept(config, prepared), source, {**blas.describe(), "workers": workers}, ids)
            prepared.session.save(LAST)
    except BaseException:
        run.unlock()
        ids.unlink(missing_ok=True)
        if not existed:
            with contextlib.suppress(OSError):  # there is something in it, or it was never made
                run.directory.rmdir()
        raise
    return prepared


def resume(run: Run, settings: Settings, progress: Progress = None) -> Prepared:
    """An earlier run from its last checkpoint. CorpusError if its text is no longer the same."""
    config, workers = settings, choose_workers(settings)
    manifest = run.manifest()
    run.lock()
    checkpoint = checkpoints.load(run.last)
    sources, unknown = manifest.corpus, manifest.unknown
    if "-" in sources and not (run.directory / IDS).exists():
        raise CorpusError(
            f"{run.directory}: its text was standard input, and is gone; a new run can take its weights (init_from)"
        )
    kept, sha256 = run.directory / IDS, manifest.sha256
    again = all(map(can_be_read_again, sources))
    if again and checksum(sources, config.encoding, progress) != sha256:
        raise CorpusError(
            f"{', '.join(sources)}: not the text that {run.directory} was trained on; restore it, "
            f"or begin a new run from its weights (init_from {run.directory})"
        )
    if kept.exists():
        corpus = open_ids(kept, sha256, checkpoint.symbols, verify=True)
    elif not again:
        raise CorpusError(
            f"{kept} is gone, and the text came from a pipe; begin a new run from its weights (init_from)"
        )
    else:
        corpus = encode_corpus(sources, config.encoding, kept, checkpoint.symbols, unknown, progress)
    prepared = _assemble(run, config, corpus, unknown, workers)
    prepared.session.resume(checkpoint)
    reached = [name for name, used in prepared.session.trainer.used().items() if used >= 1]
    if reached:
        prepared.notices.append(f"the run has reached its end by {' and '.join(reached)}; raise it to go further")
    else:
        run.write_config(_kept(config, prepared))
    now, then = blas.describe(), manifest.blas
    changed = [f"{key} {then.get(key)} → {now[key]}" for key in now if then.get(key) != now[key]]
    if changed:
        prepared.notices.append(f"the BLAS is not as before ({', '.join(changed)}): last bits may differ")
    return prepared


def _kept(config: Settings, prepared: Prepared) -> Settings:
    """The settings that a run keeps: the warm-up that was chosen, since it goes on. What else was left out is chosen
    anew when the run is resumed, perhaps to another length."""
    return config.replace(warmup_steps=prepared.session.trainer.config.warmup_steps)


def _like(config: Settings, parameters: Parameters) -> Settings:
    """`config` with the architecture of the checkpoint; ConfigError where a setting asks for another one."""
    architecture = parameters.architecture
    theirs = {"hidden": architecture.hidden, "activation": architecture.activation, "cell": architecture.cell}
    for key, value in theirs.items():
        wish = getattr(config, key)
        if wish not in (value, FIELDS[key].default):
            raise ConfigError(f"{key} {wish}: the checkpoint that the weights are taken from has {value}; leave it out")
    return config.replace(**theirs)


def _assemble(run: Run, config: Settings, corpus: EncodedCorpus, unknown: str, workers: int) -> Prepared:
    """Splits the text, cuts it into streams and makes the network."""
    symbols = corpus.symbols
    tokenizer = Tokenizer(symbols)
    parts = parts_of(corpus, config, unknown)
    validation, test = parts.validation, parts.test
    streams = Streams(parts.training, config.batch_size, config.seq_length, corpus.release)
    trainer = Trainer(config, tokenizer.size, streams, workers)
    session = Session(
        trainer,
        run,
        symbols,
        validation=validation[:VALIDATION_CHARACTERS] if len(validation) > 1 else None,
        test=np.asarray(test) if len(test) > 1 else None,
    )
    notices = [streams.notice] if streams.notice else []
    chosen = trainer.config.steps
    if chosen and config.steps and chosen < config.steps:
        notices.append(
            f"so short a text is read {chosen / streams.steps_per_epoch:.0f} times, in {chosen:,} updates (max_steps); "
            "with more it would be learnt by heart"
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
    return Prepared(session, corpus, notices)
