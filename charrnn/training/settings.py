"""The settings of a run: one model from which flags, YAML keys, checks and help are made.

To import this must not import NumPy: the settings choose the BLAS. The names of the registries are enough here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from charrnn.arguments import MOST
from charrnn.errors import ConfigError
from charrnn.registry import (
    ACTIVATIONS,
    CELLS,
    INITS,
    NORMALIZATIONS,
    OPTIMIZERS,
    SCHEDULES,
    TRUNCATIONS,
    UNITS,
    Registry,
    check_truncation,
)
from charrnn.text.reading import ON_BAD_BYTE, Reading, end_symbol
from charrnn.training.setting_types import (
    NUMBER,
    WHOLE,
    Checked,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Switch,
    Text,
    Widths,
    hint,
    names_of,
    one_of,
    shown,
)
from charrnn.training.settings_file import escaped, read, write

NETWORK, DATA, LENGTH, OPTIMISATION, RUN = "Network", "Data", "Length of the run", "Optimisation", "Run"
PIECES = ("none", "lines", "blank", "files")
DTYPES, CUTS, CLIP_MODES = ("float32", "float64"), ("constant", "polynomial"), ("norm", "value")
RECIPES = Path(__file__).parents[1] / "configs"
ON_DIVERGENCE = ("stop", "rollback")
STEPS = 2000  # of a run that is given no limit
LEAST_STEPS, LEAST_READINGS = 100, 25  # fewer, for a text that is read so many times in fewer
MOST_STEPS, MOST_READINGS = 6000, 8  # more, for a text that is not read so many times in as many


def _setting(default: Any, help: str, metavar: str, panel: str) -> Any:
    return Field(default, description=help, json_schema_extra={"metavar": metavar, "panel": panel})


def _either(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


class NetworkSettings(Checked):
    """What is trained."""

    hidden: Widths = _setting((256, 256), "Width of each recurrent layer.", "WIDTHS", NETWORK)
    activation: Annotated[Text, one_of(ACTIVATIONS)] = _setting("tanh", f"φ: {_either(ACTIVATIONS)}.", "NAME", NETWORK)
    cell: Annotated[Text, one_of(CELLS)] = _setting("rnn", f"Recurrent cell: {_either(CELLS)}.", "NAME", NETWORK)
    init: Annotated[Text, one_of(INITS)] = _setting(
        "orthogonal", f"Starting weights: {_either(INITS)}; orthogonal is for W_hh.", "NAME", NETWORK
    )
    dropout: Fraction = _setting(0.0, "Share of units dropped where a layer hands upwards.", "NUMBER", NETWORK)
    dtype: Annotated[Text, one_of(DTYPES)] = _setting("float32", f"{_either(DTYPES)}.", "NAME", NETWORK)


class DataSettings(Checked):
    """What it is trained on, and in which portions."""

    batch_size: Count = _setting(64, "Streams n of the text read side by side.", "INTEGER", DATA)
    shards: Count | None = _setting(
        None,
        "Parts of the batch whose gradients are added in a fixed order; left out, chosen by the batch's size.",
        "INTEGER",
        DATA,
    )
    seq_length: Count = _setting(64, "Steps T of an update that have a loss.", "INTEGER", DATA)
    pieces: Annotated[Text, one_of(PIECES)] = _setting(
        "none",
        "Train on many pieces, shuffled, each from a fresh state: lines, blank (blank lines between them) or files.",
        "NAME",
        DATA,
    )
    val_frac: Fraction = _setting(
        0.1, "Share for validation: the text's end, or pieces drawn at random.", "NUMBER", DATA
    )
    test_frac: Fraction = _setting(0.0, "Share of the text, after validation, for the test.", "NUMBER", DATA)
    val_file: Text | None = _setting(None, "Text to validate on, instead of a share.", "PATH", DATA)
    test_file: Text | None = _setting(None, "Text to test on, instead of a share.", "PATH", DATA)
    glob: Text | None = _setting(
        None,
        "Files that a directory is read for, as in *.py,*.md; left out, those that hold text.",
        "PATTERNS",
        DATA,
    )
    column: Text = _setting("text", "Column that is the text, of .jsonl and .parquet files.", "NAME", DATA)
    encoding: Text = _setting("utf-8", "Encoding of all texts.", "NAME", DATA)
    on_bad_byte: Annotated[Text, one_of(ON_BAD_BYTE)] = _setting(
        "error", f"Bytes that are no text in the encoding: {_either(ON_BAD_BYTE)}.", "NAME", DATA
    )
    unit: Annotated[Text, one_of(UNITS)] = _setting(
        "codepoint", f"What a symbol is: {_either(UNITS)}; bytes are those of any file.", "NAME", DATA
    )
    normalize: Annotated[Text, one_of(NORMALIZATIONS)] = _setting(
        "none", f"Normal form of all texts, prompts too: {_either(NORMALIZATIONS)}.", "NAME", DATA
    )


class OptimisationSettings(Checked):
    """How it is trained, for how long, and what is kept of it."""

    truncation: Annotated[Text, one_of(TRUNCATIONS)] = _setting(
        "full", f"How errors are cut in time: {_either(TRUNCATIONS)}.", "NAME", OPTIMISATION
    )
    tau: Count | None = _setting(
        None, "Steps that an error travels back (random: on average).", "INTEGER", OPTIMISATION
    )
    cut: Annotated[Text, one_of(CUTS)] = _setting(
        "constant", f"Random cuts: {_either(CUTS)} hazard.", "NAME", OPTIMISATION
    )
    alpha: Annotated[float, Field(gt=3, le=MOST), NUMBER] = _setting(
        4.0, "Exponent of the polynomial hazard.", "NUMBER", OPTIMISATION
    )
    recompute: Switch = _setting(False, "Keep few states and run the rest again: less memory.", "", OPTIMISATION)
    optimizer: Annotated[Text, one_of(OPTIMIZERS)] = _setting("adam", f"{_either(OPTIMIZERS)}.", "NAME", OPTIMISATION)
    learning_rate: Positive = _setting(3e-3, "Learning rate after warm-up.", "NUMBER", OPTIMISATION)
    schedule: Annotated[Text, one_of(SCHEDULES)] = _setting(
        "trapezoid",
        f"Learning rate: {_either(SCHEDULES)}; trapezoid is constant for half the run, then falls to 0.",
        "NAME",
        OPTIMISATION,
    )
    warmup_steps: Annotated[int, Field(ge=0, le=MOST), WHOLE] | None = _setting(
        None,
        "Updates in which the rate rises to its value; left out, a thirtieth of the run, at most 100.",
        "INTEGER",
        OPTIMISATION,
    )
    decay: Annotated[float, Field(gt=0, lt=1), NUMBER] = _setting(
        0.5, "Factor of the step and plateau schedules.", "NUMBER", OPTIMISATION
    )
    decay_every: Count | None = _setting(
        None, "step: updates between decays; left out, a fifth of the run.", "INTEGER", OPTIMISATION
    )
    grad_clip: NotNegative = _setting(1.0, "Largest gradient; 0 for no clipping.", "NUMBER", OPTIMISATION)
    clip_mode: Annotated[Text, one_of(CLIP_MODES)] = _setting(
        "norm", "Clip the whole norm, or each value.", "NAME", OPTIMISATION
    )
    weight_decay: NotNegative = _setting(0.0, "Decoupled decay of the weight matrices.", "NUMBER", OPTIMISATION)
    average: Fraction = _setting(
        0.0,
        "Decay of the running average of the weights, which is evaluated and kept as best; 0 for none.",
        "NUMBER",
        OPTIMISATION,
    )
    on_divergence: Annotated[Text, one_of(ON_DIVERGENCE)] = _setting(
        "stop",
        f"If a run diverges: {_either(ON_DIVERGENCE)} to the last checkpoint with half the rate, at most three times.",
        "NAME",
        OPTIMISATION,
    )

    epochs: Positive | None = _setting(None, "Passes through the text.", "NUMBER", LENGTH)
    max_steps: Count | None = _setting(
        None,
        f"Updates; if neither this nor the others are given, {STEPS}, fewer for a short text, more for a long one.",
        "INTEGER",
        LENGTH,
    )
    max_minutes: Positive | None = _setting(None, "Minutes of training.", "NUMBER", LENGTH)
    patience: Count | None = _setting(
        None,
        "Stop after so many evaluations without improvement; left out, 10 in a run of more than 30 epochs.",
        "INTEGER",
        LENGTH,
    )

    eval_every: Count | None = _setting(
        None, "Updates between evaluations; left out, chosen by the length of text and run.", "INTEGER", RUN
    )
    checkpoint_every: Count | None = _setting(None, "Updates between checkpoints; left out, a minute.", "INTEGER", RUN)
    seed: Annotated[int, Field(ge=0, le=2**63 - 1), WHOLE] = _setting(
        1, "Seed of everything that is random.", "INTEGER", RUN
    )
    threads: Annotated[int, Field(ge=1, le=4096), WHOLE] | None = _setting(
        None, "Cores to use; left out, all that help.", "INTEGER", RUN
    )


# pydantic takes the fields of the last base first.
class Settings(OptimisationSettings, DataSettings, NetworkSettings):
    """Every setting of a run, with its default; ConfigError for what cannot be, or does not go together."""

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.val_frac + self.test_frac >= 1:
            raise ConfigError("val_frac and test_frac: together they must be below 1, or no text is left to train on")
        check_truncation(self.truncation, self.tau, self.recompute)
        if self.unit == "byte" and self.normalize != "none":
            raise ConfigError(
                f"normalize {self.normalize}: bytes have no normal form; leave it out, or choose another unit"
            )
        return self

    @property
    def resolved_shards(self) -> int:
        """The shards of a batch: `shards`, or what suits its size."""
        return min(self.shards or default_shards(self.batch_size, max(self.hidden)), self.batch_size)

    @property
    def steps(self) -> int | None:
        """The limit on updates, with its default for a text of middle length where no other limit is given."""
        if self.max_steps is None and self.epochs is None and self.max_minutes is None:
            return STEPS
        return self.max_steps

    def fitted(self, steps_per_epoch: int) -> Self:
        """What is left out and depends on the text, chosen by its updates in an epoch.

        A run that is given no limit reads a short text 25 times: the learning rate should have fallen before it is
        learnt by heart. It reads a long one 8 times, or as often as 6,000 updates do (docs/quality.md). A run that is
        given more than 30 epochs stops when validation gets no better. A long text is evaluated every 500 updates, a
        short one about once an epoch, and every run at least five times.
        """
        unlimited = self.max_steps is None and self.epochs is None and self.max_minutes is None
        shorter = max(LEAST_STEPS, LEAST_READINGS * steps_per_epoch)
        longer = min(MOST_STEPS, MOST_READINGS * steps_per_epoch)
        steps = min(max(STEPS, longer), shorter) if unlimited else self.max_steps
        limits = [steps, self.epochs and math.ceil(self.epochs * steps_per_epoch)]
        run = min((int(limit) for limit in limits if limit), default=None)
        often = 500 if steps_per_epoch >= 100 else max(10, steps_per_epoch)
        many_epochs = run is not None and run > 30 * steps_per_epoch and not unlimited
        chosen = {
            "max_steps": steps,
            "warmup_steps": 100 if run is None else min(100, run // 30),
            "eval_every": often if run is None else max(1, min(often, -(-run // 5))),
            "patience": 10 if many_epochs else None,
        }
        return self.replace(**{key: value for key, value in chosen.items() if getattr(self, key) is None})

    @property
    def reading(self) -> Reading:
        """How texts are read; ConfigError for an unknown encoding."""
        end = end_symbol(self.pieces)
        return Reading(self.encoding, self.on_bad_byte, self.glob, end, self.unit, self.normalize, self.column)

    def replace(self, **changes: object) -> Self:
        """A checked copy with other values."""
        return type(self)(**{**dict(self), **changes})

    def plain(self) -> dict[str, Any]:
        """The settings as values of JSON, for a checkpoint."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """The way back from `plain`; what an older charrnn did not know has its default."""
        unknown = sorted(set(values) - set(cls.model_fields))
        if unknown:
            raise ConfigError(f"unknown settings {', '.join(map(escaped, unknown))}; use a newer charrnn")
        return cls(**values)

    def as_yaml(self) -> str:
        """The settings as a file that `resolve` reads; those left out are comments."""
        return f"# The settings of this run, as resolved; another run can take this file.\n{write(dict(self))}"


FIELDS = Settings.model_fields

# What may change when a run is resumed: how long and how carefully, never what it computes; and where its texts are.
RESUMABLE = frozenset(
    (
        *("epochs", "max_steps", "max_minutes", "patience", "eval_every", "checkpoint_every", "threads", "recompute"),
        *("on_divergence", "val_file", "test_file"),
    )
)


def default_shards(n: int, h: int) -> int:
    """Shards of a batch of n sequences through layers of up to h units, by docs/benchmarks.md.

    Two for a batch of at least 8 sequences that is worth a second process. Up to 4 where each has at least 16
    sequences, up to 8 where each has 32, and enough to compute that one after another they cost hardly more time.
    """
    worth_two = n >= 8 and n * h >= 1000
    many = min(max(min(4, n // 16), min(8, n // 32)), n * h // 4096)
    return max(1, 2 * worth_two, many)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a file of settings, by which an editor completes and checks it (configs/settings.schema.json).

    A registry may have names of one's own, so that other names than those of charrnn are no error there.
    """
    properties: dict[str, Any] = {}
    for key, of_pydantic in Settings.model_json_schema()["properties"].items():
        kept = {name: value for name, value in of_pydantic.items() if name not in ("title", "metavar", "panel")}
        names = names_of(FIELDS[key].metadata)
        if names is not None:
            listed = {"enum": list(names)}
            kept.pop("type", None)
            kept |= {"anyOf": [listed, {"type": "string"}]} if isinstance(names, Registry) else listed
        if kept.get("type") == "array":  # 128 and 128,64 are widths too
            kept = {"anyOf": [{"type": ["integer", "string"]}, {"type": "array", "items": kept.pop("items")}], **kept}
            for name in ("type", "minItems", "maxItems"):
                kept.pop(name)
        properties[key] = kept
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Settings of charrnn",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def parse(key: str, value: object, place: str) -> Any:
    """What `value` means for `key`; ConfigError that begins with `place` if it means nothing."""
    group = next(group for group in (NetworkSettings, DataSettings, OptimisationSettings) if key in group.model_fields)
    return getattr(group.model_validate({key: value}, context={key: place}), key)


def recipes() -> dict[str, Path]:
    """The recipes that come with charrnn: files of settings, by name."""
    return {path.stem: path for path in sorted(RECIPES.glob("*.yaml"))}


def recipe(name: Path) -> Path:
    """The file of settings that is meant: itself, or the recipe of charrnn's own that has this name, as in quick.

    ConfigError that lists the recipes for a word that is neither.
    """
    if len(name.parts) != 1 or name.is_file() or name.suffix not in ("", ".yaml"):
        return name
    known = recipes()
    if name.stem not in known:
        near = hint(name.stem, known)
        raise ConfigError(f"{escaped(str(name))}: no such file and no recipe{near}; recipes: {', '.join(known)}")
    return known[name.stem]


def resolve(config_file: Path | None, given: Mapping[str, object]) -> tuple[Settings, dict[str, str]]:
    """The values `given` (None: not given) over the file over defaults; and where the value of each key comes from.

    Raises ConfigError with the file and line, or the key, and the nearest right name for a misspelt one.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(FIELDS, "default")
    config_file = config_file and recipe(config_file)
    for entry in read(config_file) if config_file else ():
        place = f"{escaped(str(config_file))}, line {entry.line}"
        if entry.key not in FIELDS:
            near = hint(entry.key.replace("-", "_"), FIELDS) or "; config.yaml of any run lists the keys"
            raise ConfigError(f"{place}: unknown key {shown(entry.key)}{near}")
        if entry.value is None and FIELDS[entry.key].default is not None:
            raise ConfigError(f"{place}: {entry.key} has no value; give it one, or delete the line")
        values[entry.key] = parse(entry.key, entry.value, f"{place}: {entry.key}")
        origins[entry.key] = place
    for key, value in given.items():
        if value is not None:
            values[key], origins[key] = value, "given"
    return Settings(**values), origins
