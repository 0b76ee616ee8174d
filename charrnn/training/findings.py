"""What came of a run, for whoever shows it: what it kept, and what its best network does with its text, computed now.

Nothing is written into the run, and names of files are given without their directories: findings are made to be handed
on. What a run does not have, or cannot have here, is left out, with the reason.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from charrnn.errors import CharrnnError, ConfigError
from charrnn.inference.hidden_units import CHARACTERS, Units, following
from charrnn.inference.ngram import TRAIN_CHARACTERS
from charrnn.inference.surprise import Surprise, surprises
from charrnn.inference.verdict import verdict
from charrnn.inference.yardsticks import Yardsticks, yardsticks
from charrnn.model import Model, load
from charrnn.network.buffers import Array
from charrnn.storage import checkpoint as checkpoints
from charrnn.storage import fields
from charrnn.text.addresses import base_name, is_address
from charrnn.text.corpus import EncodedCorpus
from charrnn.text.files import can_be_read_again, read_once
from charrnn.text.pieces import pack
from charrnn.training.parts import Parts, own_text, parts_of
from charrnn.training.prepare import VALIDATION_CHARACTERS
from charrnn.training.run import IDS, Manifest, Run
from charrnn.training.runs import Summary, summary
from charrnn.training.settings import FIELDS, Settings
from charrnn.verify.inspection import LOSSES, READ, LayerReport, inspect

PASSAGE = 600  # symbols of which each is shown with its surprise
SAMPLE = 600  # characters written by the best network
TEMPERATURE = 0.8
LAGS = 100
NOT_FINITE = "the network gives numbers that are not finite"


@dataclass(frozen=True)
class Predicted:
    """What the network thought of a symbol: its surprise in bits, its rank from 1, and the most probable ones."""

    bits: float
    rank: int
    alternatives: list[tuple[str, float]]


@dataclass(frozen=True)
class Passage:
    """The beginning of a part of the text, in symbols as they are shown, and what was thought of each but the first."""

    part: str
    symbols: list[str]
    predicted: list[Predicted]


@dataclass(frozen=True)
class Beside:
    """Yardsticks of a validation text; `text` is the same for runs with the same training and validation text."""

    text: str
    yardsticks: Yardsticks


@dataclass
class Findings:
    """One run. What is None or empty is not to be had; `left_out` says why, by the name of the field.

    settings: plain values. rows: of metrics.jsonl. texts: names of the files, without directories. seconds: of
    training. per_code_point: symbols of a code point of the validation text; a loss times it is one per code point.
    best: the lowest validation loss, per symbol, and its step. sample: of the best network, drawn with `seed`. lags: of
    each layer, from the lowest.
    """

    name: str
    summary: Summary
    manifest: Manifest
    settings: dict[str, object]
    rows: list[dict[str, Any]]
    texts: list[str]
    seed: int = 1
    seconds: float | None = None
    symbols: int | None = None
    per_code_point: float | None = None
    best: tuple[float, int] | None = None
    verdict: list[str] = field(default_factory=list)
    beside: Beside | None = None
    sample: str | None = None
    passage: Passage | None = None
    lags: list[LayerReport] = field(default_factory=list)
    units: Units | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def findings(
    runs: Sequence[Run], beside: bool = True, progress: Callable[[Run], object] = lambda run: None
) -> list[Findings]:
    """What came of each run; with `beside`, losses are set beside yardsticks. CheckpointError if one is no run.

    `progress` is called with each run before it is looked at.
    """
    measured: dict[str, Yardsticks] = {}
    found = []
    for run in runs:
        progress(run)
        found.append(_of_run(run, measured if beside else None))
    return found


def _of_run(run: Run, measured: dict[str, Yardsticks] | None) -> Findings:
    """With what was measured for the runs before, by the text; None for no yardsticks."""
    manifest = run.manifest()
    try:
        settings = run.config({})
    except ConfigError:  # as where it names a cell that is not known here
        settings = None
    rows = run.metrics()
    found = Findings(
        run.directory.resolve().name,
        summary(run.directory),
        manifest,
        _plain(settings, run),
        rows,
        list(map(_name, manifest.corpus)),
    )
    found.seconds = _seconds(run, rows)
    losses = {row["step"]: row["validation"] for row in rows if "validation" in row}
    if losses:
        step = min(losses, key=losses.__getitem__)
        found.best = losses[step], step
    try:
        model = load(run.best if run.best.exists() else run.last)
    except CharrnnError:
        foreign = found.summary.problem if found.summary.state == "foreign" else None  # others name paths
        reason = foreign or "the run has no checkpoint that can be read"
        found.left_out = dict.fromkeys(("sample", "passage", "lags", "units", "beside"), reason)
    else:
        found.symbols = len(model.symbols)
        found.per_code_point = 1.0 if model.unit == "codepoint" else None
        with np.errstate(all="ignore"):  # numbers that are not finite are looked for
            _with_model(found, run, settings, model, measured)
    if found.best:
        train = [row["train"] for row in rows if "train" in row]
        last, steps = train[-1] if train else None, list(losses)
        found.verdict = verdict(
            found.best[0], last, list(losses.values()), found.beside.yardsticks if found.beside else None, steps
        )
    return found


def _plain(settings: Settings | None, run: Run) -> dict[str, object]:
    """The settings, or those that the last checkpoint tells; paths without their directories."""
    try:
        told = checkpoints.load(run.last).settings if settings is None else settings.plain()
    except CharrnnError:
        return {}
    plain = {name: told[name] for name in FIELDS if name in told}
    for name, value in plain.items():
        about: Any = FIELDS[name].json_schema_extra
        if about["metavar"] == "PATH" and value is not None:
            plain[name] = _name(str(value))
    return plain


def _with_model(
    found: Findings, run: Run, settings: Settings | None, model: Model, measured: dict[str, Yardsticks] | None
) -> None:
    found.seed = found.seed if settings is None else settings.seed
    try:
        found.sample = model.sample(SAMPLE, temperature=TEMPERATURE, seed=found.seed)
    except CharrnnError as error:
        found.left_out["sample"] = str(error)
    of_text = ("passage", "lags", "units", "beside")
    if settings is None:
        found.left_out |= dict.fromkeys(of_text, "its settings hold what is not known here")
        return
    try:
        corpus = own_text(run, model.tokenizer)
        parts = parts_of(corpus, settings, found.manifest.unknown, run.directory, found.manifest.others or {})
    except CharrnnError:
        found.left_out |= dict.fromkeys(of_text, _why_no_text(found.manifest, settings, run))
        return
    _with_text(found, model, corpus, parts, measured)


def _with_text(
    found: Findings, model: Model, corpus: EncodedCorpus, parts: Parts, measured: dict[str, Yardsticks] | None
) -> None:
    parameters, end = model.parameters, model.end
    tokenizer = model.tokenizer
    held = parts.held_out()
    part = held or "training"
    ids = np.asarray(getattr(parts, part)[:CHARACTERS])
    shown = ids[:PASSAGE]
    if len(shown) > 1:
        predicted = [one for portion in surprises(parameters, shown, end=end) for one in _predicted(portion, model)]
        if math.isnan(sum(one.bits for one in predicted)):
            found.left_out["passage"] = NOT_FINITE
        else:
            found.passage = Passage(part, [tokenizer.names[i] for i in shown.tolist()], predicted)
    else:
        found.left_out["passage"] = "the text is too short"
    read = pack(corpus.ids, tokenizer, model.piece_kind)[-READ:]
    lags = min(LAGS, len(read) - 1 - LOSSES)
    if lags > 0:
        reports = inspect(parameters, read, lags, end)
        if all(np.isfinite(report.norms).all() for report in reports):
            found.lags = reports
        else:
            found.left_out["lags"] = NOT_FINITE
    else:
        found.left_out["lags"] = "the text is too short"
    units = following(parameters, ids, tokenizer, end)
    if not all(np.isfinite([unit.chosen, unit.correlation, *unit.values]).all() for unit in units.found):
        found.left_out["units"] = NOT_FINITE
    elif units.found:
        found.units = units
    else:
        found.left_out["units"] = f"the {part} text is too short, or has neither lines, quotes, brackets nor capitals"
    validation = parts.validation[:VALIDATION_CHARACTERS]
    if len(validation) > 1:
        points = tokenizer.code_points_in(np.asarray(validation[1:]))
        found.per_code_point = (len(validation) - 1) / max(points, 1)
    if measured is None:
        found.left_out["beside"] = "it was not asked for"
    elif found.best is None or len(validation) < 2:
        found.left_out["beside"] = "the run has no validation loss"
    else:
        found.beside = _beside(parts, validation, model, measured)


def _predicted(portion: Surprise, model: Model) -> Iterator[Predicted]:
    names = model.tokenizer.names
    rows = zip(portion.log_probabilities, portion.ranks, portion.alternatives, portion.probabilities, strict=True)
    for nats, rank, alternatives, probabilities in rows:
        named = [(names[i], float(p)) for i, p in zip(alternatives, probabilities, strict=True)]
        yield Predicted(float(nats) / -math.log(2), int(rank), named)


def _beside(parts: Parts, validation: Array, model: Model, measured: dict[str, Yardsticks]) -> Beside:
    digest = hashlib.sha256(repr((model.unit, model.symbols, parts.end)).encode("utf-8", "surrogatepass"))
    for ids in (parts.training[-TRAIN_CHARACTERS:], validation):
        digest.update(len(ids).to_bytes(8, "little") + np.ascontiguousarray(ids).tobytes())
    key = digest.hexdigest()
    if key not in measured:
        measured[key] = yardsticks(parts.training, validation, model.tokenizer, parts.end)
    return Beside(key, measured[key])


def _name(text: str) -> str:
    """What a page may say of a text: neither its directory nor the query of its address."""
    if is_address(text):
        return base_name(text)
    return "standard input" if text == "-" else PurePath(text).name


def _why_no_text(manifest: Manifest, settings: Settings, run: Run) -> str:
    """In words that hold no path."""
    others = [path for path in (settings.val_file, settings.test_file) if path]
    if not all(map(can_be_read_again, manifest.corpus)) and not (run.directory / IDS).exists():
        return f"its text came from {read_once(manifest.corpus)}, and is gone"
    for path in [*manifest.corpus, *others]:
        if path != "-" and not is_address(path) and not Path(path).exists():
            return f"its text is not where it was: {_name(path)}"
    return "its text is no longer the one it was trained on, or cannot be read"


def _seconds(run: Run, rows: list[dict[str, Any]]) -> float | None:
    """Of training, by the last checkpoint, or else by the metrics."""
    try:
        trainer = fields.mapping(checkpoints.load(run.last).progress, "trainer")
        return fields.number(trainer, "seconds", 0.0)
    except (CharrnnError, ValueError):
        return next((row["seconds"] for row in reversed(rows) if "seconds" in row), None)
