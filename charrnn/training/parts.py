"""The parts of a run's text: what it is trained, validated and tested on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from charrnn.errors import CorpusError
from charrnn.network.buffers import Array
from charrnn.storage import CHECKPOINTS
from charrnn.text.addresses import is_address
from charrnn.text.corpus import EncodedCorpus, encode_corpus, open_ids
from charrnn.text.files import can_be_read_again, read_once
from charrnn.text.pieces import cut, end_id, pack, packed
from charrnn.text.reading import UTF8, Reading
from charrnn.text.tokenizer import Tokenizer
from charrnn.training.run import IDS, IDS_OF, Run
from charrnn.training.settings import Settings

SPLIT = 4  # what the seed is combined with; training/loop.py has the others


@dataclass(frozen=True)
class Parts:
    """Ids of each part; of a text that is too short for one, that part is empty.

    validation_offset, test_offset: where they begin in the text; 0 for a file of its own.
    end: the id that ends a piece, where the text is many: then each part is packed (text/pieces.py), in the order in
    which its pieces were drawn, and the offsets are 0.
    checksums: of the files of their own, by setting: val_file, test_file.
    """

    training: Array
    validation: Array
    test: Array
    validation_offset: int = 0
    test_offset: int = 0
    end: int | None = None
    checksums: dict[str, str] = field(default_factory=dict)

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


def parts_of(
    corpus: EncodedCorpus,
    settings: Settings,
    unknown: str = "error",
    kept: Path | None = None,
    begun: Mapping[str, object] | None = None,
) -> Parts:
    """The beginning of the text is for training, then comes validation, then the test; each of the latter may be a file
    of its own. Pieces are drawn for each part at random, by the seed. CorpusError for a file that has fewer than two
    characters of the vocabulary, and for a text of too few pieces.

    The ids of a file that was named by an address are kept in the directory `kept`. They are taken from there, and no
    network is used, if `begun` is given: the checksums of the files that the run was begun with.
    """
    files = {key: getattr(settings, key) for key in IDS_OF}
    own = {key: _of_file(key, path, corpus, settings, unknown, kept, begun) for key, path in files.items() if path}
    fractions = (0.0 if "val_file" in own else settings.val_frac, 0.0 if "test_file" in own else settings.test_frac)
    parts = _in_order(corpus.ids, fractions) if settings.pieces == "none" else _of_pieces(corpus, settings, fractions)
    if "val_file" in own:
        parts = replace(parts, validation=own["val_file"].ids, validation_offset=0)
    if "test_file" in own:
        parts = replace(parts, test=own["test_file"].ids, test_offset=0)
    return replace(parts, checksums={key: text.sha256 for key, text in own.items()})


def _of_file(
    key: str,
    path: str,
    corpus: EncodedCorpus,
    settings: Settings,
    unknown: str,
    kept: Path | None,
    begun: Mapping[str, object] | None,
) -> EncodedCorpus:
    """A file for one part alone."""
    ids = kept / IDS_OF[key] if kept and is_address(path) else None
    if ids is None or begun is None:
        encoded = encode_corpus([path], settings.reading, ids, corpus.tokenizer, unknown)
    elif ids.exists():
        encoded = open_ids(ids, str(begun.get(key)), corpus.tokenizer, verify=True)
    else:
        raise CorpusError(
            f"{ids}: what was kept of {path} is not there; restore it, or give the text as a file ({key})"
        )
    packed_ids = pack(encoded.ids, corpus.tokenizer, settings.pieces)
    if len(packed_ids) < 2:
        held = "one character" if len(packed_ids) and not settings.reading.between else "no character"
        raise CorpusError(f"{path}: holds {held} of the vocabulary, and 2 are the least to be scored")
    return replace(encoded, ids=packed_ids)


def _in_order(ids: Array, fractions: tuple[float, float]) -> Parts:
    total = len(ids)
    validation, test = (int(total * frac) for frac in fractions)
    first, second = total - validation - test, total - test
    return Parts(ids[:first], ids[first:second], ids[second:], first, second)


def _of_pieces(corpus: EncodedCorpus, settings: Settings, fractions: tuple[float, float]) -> Parts:
    end = end_id(corpus.tokenizer, settings.pieces)
    assert end is not None
    starts, stops = cut(corpus.ids, corpus.tokenizer, settings.pieces)
    total = len(starts)
    if total < 2:
        raise CorpusError(
            f"pieces {settings.pieces}: the text holds {'one piece' if total else 'none'}, and there must be several; "
            "cut it in another way, or leave pieces out"
        )
    order = np.random.default_rng([settings.seed, SPLIT]).permutation(total)
    drawn = np.split(order, np.cumsum([math.ceil(total * frac) for frac in fractions]))
    validation, test, training = (packed(corpus.ids, starts[own], stops[own], end) for own in drawn)
    return Parts(training, validation, test, end=end)


def own_text(run: Run, tokenizer: Tokenizer) -> EncodedCorpus:
    """The text that a run was trained on, in its vocabulary; CorpusError if it is gone or another now."""
    manifest, kept = run.manifest(), run.directory / IDS
    if all(map(can_be_read_again, manifest.corpus)):
        corpus = encode_corpus(manifest.corpus, run.config({}).reading, None, tokenizer, manifest.unknown)
        if corpus.sha256 != manifest.sha256:
            raise CorpusError(
                f"{run.directory}: its text is no longer the one it was trained on; restore it, or name a text to score"
            )
        return corpus
    if kept.exists():
        return open_ids(kept, manifest.sha256, tokenizer, verify=True)
    origin = read_once(manifest.corpus)
    raise CorpusError(f"{run.directory}: its text came from {origin}, and is gone; name a text to score")


def own_parts(run: Run, tokenizer: Tokenizer) -> Parts:
    """The parts of the text that a run was trained on; CorpusError if it, or a file of its own, is gone or another."""
    return own_parts_of(run, own_text(run, tokenizer))


def own_parts_of(run: Run, corpus: EncodedCorpus) -> Parts:
    """As `own_parts`, of the run's text, which is known already."""
    manifest = run.manifest()
    return parts_of(corpus, run.config({}), manifest.unknown, run.directory, manifest.others or {})


def reading_of(run: Run | None, encoding: str | None = None, column: str | None = None) -> Reading:
    """How a text is read for a network: as the run that it comes from reads its own, but for what is given.

    ConfigError for an unknown encoding.
    """
    reading = run.config({}).reading if run else UTF8
    given = {"encoding": encoding, "column": column}
    return replace(reading, **{name: value for name, value in given.items() if value is not None})


def run_of(path: Path) -> Run | None:
    """The run that a directory or one of its checkpoints belongs to; None for a checkpoint by itself, also where that
    is named by its directory."""
    run = Run(path if path.is_dir() else path.parent)
    return run if (path.is_dir() or path.name in CHECKPOINTS) and run.exists() else None
