"""The parts of a run's text: what it is trained, validated and tested on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from charrnn.errors import CorpusError
from charrnn.network.buffers import Array
from charrnn.storage import CHECKPOINTS
from charrnn.text.corpus import EncodedCorpus, encode_corpus, open_ids
from charrnn.text.files import can_be_read_again
from charrnn.text.pieces import cut, end_id, pack, packed
from charrnn.text.reading import UTF8, Reading
from charrnn.training.run import IDS, Run
from charrnn.training.settings import Settings

SPLIT = 4  # what the seed is combined with; training/loop.py has the others


@dataclass(frozen=True)
class Parts:
    """Ids of each part; of a text that is too short for one, that part is empty.

    validation_offset, test_offset: where they begin in the text; 0 for a file of its own.
    end: the id that ends a piece, where the text is many: then each part is packed (text/pieces.py), in the order in
    which its pieces were drawn, and the offsets are 0.
    """

    training: Array
    validation: Array
    test: Array
    validation_offset: int = 0
    test_offset: int = 0
    end: int | None = None

    def items(self) -> list[tuple[str, Array, int]]:
        """Name, ids and offset of each part that holds enough to be scored."""
        parts = [
            ("training", self.training, 0),
            ("validation", self.validation, self.validation_offset),
            ("test", self.test, self.test_offset),
        ]
        return [part for part in parts if len(part[1]) > 1]

    def held_out(self) -> str | None:
        """The name of the first part that was not trained on, if there is one."""
        return next((name for name, _, _ in self.items() if name != "training"), None)


def parts_of(corpus: EncodedCorpus, settings: Settings, unknown: str = "error") -> Parts:
    """The beginning of the text is for training, then comes validation, then the test; each of the latter may be a file
    of its own. Pieces are drawn for each part at random, by the seed. CorpusError for a file that has fewer than two
    characters of the vocabulary, and for a text of too few pieces."""
    if settings.pieces != "none":
        return _parts_of_pieces(corpus, settings, unknown)
    total = len(corpus.ids)

    def other(path: str | None, frac: float) -> tuple[Array | None, int]:
        if path is None:
            return None, int(total * frac)
        ids = _other(path, corpus, settings, unknown)
        return ids, 0

    validation, val_count = other(settings.val_file, settings.val_frac)
    test, test_count = other(settings.test_file, settings.test_frac)
    stop = total - val_count - test_count
    if validation is None:
        validation = corpus.ids[stop : stop + val_count]
    if test is None:
        test = corpus.ids[total - test_count :]
    offsets = (0 if settings.val_file else stop, 0 if settings.test_file else total - test_count)
    return Parts(corpus.ids[:stop], validation, test, *offsets)


def _other(path: str, corpus: EncodedCorpus, settings: Settings, unknown: str) -> Array:
    """The ids of a file for one part alone."""
    encoded = encode_corpus([path], settings.reading, None, corpus.symbols, unknown)
    ids = pack(encoded.ids, corpus.symbols, settings.pieces)
    if len(ids) < 2:
        held = "one character" if len(ids) and not settings.reading.between else "no character"
        raise CorpusError(f"{path}: holds {held} of the vocabulary, and 2 are the least to be scored")
    return ids


def _parts_of_pieces(corpus: EncodedCorpus, settings: Settings, unknown: str) -> Parts:
    end = end_id(corpus.symbols, settings.pieces)
    assert end is not None
    starts, stops = cut(corpus.ids, corpus.symbols, settings.pieces)
    total = len(starts)
    if total < 2:
        raise CorpusError(
            f"pieces {settings.pieces}: the text is {'one piece' if total else 'empty'}, and there must be several; "
            "cut it in another way, or leave pieces out"
        )
    order = np.random.default_rng([settings.seed, SPLIT]).permutation(total)
    counts = [
        0 if path else math.ceil(total * frac)
        for path, frac in ((settings.val_file, settings.val_frac), (settings.test_file, settings.test_frac))
    ]
    drawn = np.split(order, np.cumsum(counts))
    validation, test, training = (packed(corpus.ids, starts[own], stops[own], end) for own in drawn)
    if settings.val_file:
        validation = _other(settings.val_file, corpus, settings, unknown)
    if settings.test_file:
        test = _other(settings.test_file, corpus, settings, unknown)
    return Parts(training, validation, test, end=end)


def own_text(run: Run, symbols: str) -> EncodedCorpus:
    """The text that a run was trained on, in its vocabulary; CorpusError if it is gone or another now."""
    manifest, kept = run.manifest(), run.directory / IDS
    if all(map(can_be_read_again, manifest.corpus)):
        corpus = encode_corpus(manifest.corpus, run.config({}).reading, None, symbols, manifest.unknown)
        if corpus.sha256 != manifest.sha256:
            raise CorpusError(
                f"{run.directory}: its text is no longer the one it was trained on; restore it, or name a text to score"
            )
        return corpus
    if kept.exists():
        return open_ids(kept, manifest.sha256, symbols, verify=True)
    raise CorpusError(f"{run.directory}: its text came from a pipe, and is gone; name a text to score")


def reading_of(run: Run | None, encoding: str | None = None) -> Reading:
    """How a text is read for a network: as the run that it comes from reads its own, in this encoding if one is given.

    ConfigError for an unknown encoding.
    """
    reading = run.config({}).reading if run else UTF8
    return reading if encoding is None else replace(reading, encoding=encoding)


def run_of(path: Path) -> Run | None:
    """The run that a directory or one of its checkpoints belongs to; None for a checkpoint by itself."""
    if path.is_dir():
        return Run(path)
    run = Run(path.parent)
    return run if path.name in CHECKPOINTS and run.exists() else None
