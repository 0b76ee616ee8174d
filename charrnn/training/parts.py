"""The parts of a run's text: what it is trained, validated and tested on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import CorpusError
from charrnn.network.buffers import Array
from charrnn.storage import CHECKPOINTS
from charrnn.text.corpus import EncodedCorpus, encode_corpus
from charrnn.training.run import Run
from charrnn.training.settings import Settings


@dataclass(frozen=True)
class Parts:
    """Ids of each part; of a text that is too short for one, that part is empty."""

    training: Array
    validation: Array
    test: Array


def parts_of(corpus: EncodedCorpus, settings: Settings, unknown: str = "error") -> Parts:
    """The beginning of the text is for training, then comes validation, then the test; each of the latter may be a file
    of its own. CorpusError for a file that has fewer than two characters of the vocabulary."""
    total = len(corpus.ids)

    def other(path: str | None, frac: float) -> tuple[Array | None, int]:
        if path is None:
            return None, int(total * frac)
        ids = encode_corpus([path], settings.encoding, None, corpus.symbols, unknown).ids
        if len(ids) < 2:
            held = "one character" if len(ids) else "no character"
            raise CorpusError(f"{path}: holds {held} of the vocabulary, and 2 are the least to be scored")
        return ids, 0

    validation, val_count = other(settings.val_file, settings.val_frac)
    test, test_count = other(settings.test_file, settings.test_frac)
    stop = total - val_count - test_count
    if validation is None:
        validation = corpus.ids[stop : stop + val_count]
    if test is None:
        test = corpus.ids[total - test_count :]
    return Parts(corpus.ids[:stop], validation, test)


def run_of(path: Path) -> Run | None:
    """The run that a directory or one of its checkpoints belongs to; None for a checkpoint by itself."""
    if path.is_dir():
        return Run(path)
    run = Run(path.parent)
    return run if path.name in CHECKPOINTS and run.exists() else None
