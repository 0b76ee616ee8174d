"""The settings of a run: one table from which flags, YAML keys, checks and help are made."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charrnn.errors import ConfigError
from charrnn.training.flat_yaml import Entry, read_flat_yaml

OPTIMIZERS = ("sgd", "momentum", "adagrad", "rmsprop", "adam")
SCHEDULES = ("constant", "step", "cosine", "plateau")

Value = Any
Parse = Callable[[str], Value]


def _integer(minimum: int) -> Parse:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise ValueError(f"a whole number of at least {minimum}")
        return value

    return parse


def _number(good: Callable[[float], bool], rule: str) -> Parse:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not good(value):
            raise ValueError(rule)
        return value

    return parse


def _choice(*names: str) -> Parse:
    def parse(text: str) -> str:
        if text not in names:
            near = difflib.get_close_matches(text, names, 1)
            raise ValueError(f"one of {', '.join(names)}" + (f" (did you mean {near[0]}?)" if near else ""))
        return text

    return parse


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


def parse_widths(text: str) -> tuple[int, ...]:
    """Layer widths from "128,256"; ValueError with the rule if they are none."""
    try:
        widths = tuple(int(width) for width in text.split(","))
    except ValueError:
        widths = ()
    if not widths or min(widths) < 1:
        raise ValueError("one or more positive widths separated by commas, as in 128,256")
    return widths


def _text(text: str) -> str:
    return text


_positive = _number(lambda x: x > 0, "a number above 0")
_fraction = _number(lambda x: 0 <= x < 1, "a number from 0 to below 1")
_count = _integer(1)


def _option(default: Value, parse: Parse, help: str, kind: str, group: str, optional: bool = False) -> Any:
    return dataclasses.field(
        default=default,
        metadata={"parse": parse, "help": help, "kind": kind, "group": group, "optional": optional},
    )


M, D, L, O, R = "Model", "Data", "Length of the run", "Optimisation", "Run"  # noqa: E741


@dataclass(frozen=True)
class TrainConfig:
    """Every setting of `charrnn train`, with its default. Each key is a flag, with - for _."""

    hidden: tuple[int, ...] = _option((256, 256), parse_widths, "Width of each recurrent layer.", "WIDTHS", M)
    activation: str = _option(
        "tanh", _choice("tanh", "relu", "sigmoid", "identity"), "φ: tanh, relu, sigmoid or identity.", "NAME", M
    )
    cell: str = _option("rnn", _text, "Recurrent cell.", "NAME", M)
    init: str = _option(
        "orthogonal",
        _choice("orthogonal", "uniform", "gaussian"),
        "Starting weights: orthogonal (W_hh), uniform or gaussian.",
        "NAME",
        M,
    )
    dropout: float = _option(0.0, _fraction, "Share of units dropped where a layer hands upwards.", "NUMBER", M)
    dtype: str = _option("float32", _choice("float32", "float64"), "float32 or float64.", "NAME", M)

    batch_size: int = _option(64, _count, "Streams n of the text read side by side.", "INTEGER", D)
    seq_length: int = _option(64, _count, "Steps T of an update that have a loss.", "INTEGER", D)
    val_frac: float = _option(0.1, _fraction, "Share of the text, from its end, for validation.", "NUMBER", D)
    test_frac: float = _option(0.0, _fraction, "Share of the text, after validation, for the test.", "NUMBER", D)
    val_file: str | None = _option(None, _text, "Validate on this text instead of --val-frac.", "PATH", D, True)
    test_file: str | None = _option(None, _text, "Test on this text instead of --test-frac.", "PATH", D, True)
    encoding: str = _option("utf-8", _text, "Encoding of all texts.", "NAME", D)

    truncation: str = _option(
        "full",
        _choice("full", "fixed", "sliding", "random"),
        "How errors are cut in time: full, fixed, sliding or random.",
        "NAME",
        O,
    )
    tau: int | None = _option(
        None, _count, "Steps that an error travels back (random: on average).", "INTEGER", O, True
    )
    cut: str = _option(
        "constant", _choice("constant", "polynomial"), "Random cuts: constant or polynomial hazard.", "NAME", O
    )
    alpha: float = _option(
        4.0, _number(lambda x: x > 3, "a number above 3"), "Exponent of the polynomial hazard.", "NUMBER", O
    )
    recompute: bool = _option(False, _switch, "Keep few states and run the rest again: less memory.", "", O)
    optimizer: str = _option("adam", _choice(*OPTIMIZERS), "sgd, momentum, adagrad, rmsprop or adam.", "NAME", O)
    learning_rate: float = _option(3e-3, _positive, "Learning rate after warm-up.", "NUMBER", O)
    schedule: str = _option("cosine", _choice(*SCHEDULES), "constant, step, cosine or plateau.", "NAME", O)
    warmup_steps: int = _option(100, _integer(0), "Updates in which the rate rises to its value.", "INTEGER", O)
    decay: float = _option(
        0.5,
        _number(lambda x: 0 < x < 1, "a number between 0 and 1"),
        "Factor of the step and plateau schedules.",
        "NUMBER",
        O,
    )
    decay_every: int | None = _option(
        None, _count, "step: updates between decays; left out, a fifth of the run.", "INTEGER", O, True
    )
    grad_clip: float = _option(
        1.0, _number(lambda x: x >= 0, "a number of at least 0"), "Largest gradient; 0 for no clipping.", "NUMBER", O
    )
    clip_mode: str = _option("norm", _choice("norm", "value"), "Clip the whole norm, or each value.", "NAME", O)
    weight_decay: float = _option(
        0.0,
        _number(lambda x: x >= 0, "a number of at least 0"),
        "Decoupled decay of the weight matrices.",
        "NUMBER",
        O,
    )

    epochs: float | None = _option(None, _positive, "Passes through the text.", "NUMBER", L, True)
    max_steps: int | None = _option(
        None, _count, "Updates; 3000 if neither this nor the others are given.", "INTEGER", L, True
    )
    max_minutes: float | None = _option(None, _positive, "Minutes of training.", "NUMBER", L, True)
    patience: int | None = _option(
        None, _count, "Stop after so many evaluations without improvement.", "INTEGER", L, True
    )

    eval_every: int = _option(500, _count, "Updates between evaluations.", "INTEGER", R)
    checkpoint_every: int | None = _option(
        None, _count, "Updates between checkpoints; left out, a minute.", "INTEGER", R, True
    )
    seed: int = _option(1, _integer(0), "Seed of everything that is random.", "INTEGER", R)
    threads: int | None = _option(None, _count, "Cores to use; left out, all that help.", "INTEGER", R, True)

    def __post_init__(self) -> None:
        if self.val_frac + self.test_frac >= 1:
            raise ConfigError("val_frac and test_frac: together they must be below 1, or no text is left to train on")
        if self.recompute and self.truncation == "sliding":
            raise ConfigError("recompute: sliding truncation needs all states; leave recompute out")
        if self.truncation == "full" and self.tau is not None:
            raise ConfigError("tau: full truncation takes none; leave it out, or add --truncation fixed")
        if self.truncation != "full" and self.tau is None:
            raise ConfigError(f"tau: --truncation {self.truncation} needs it; add --tau, as in --tau 32")

    @property
    def steps(self) -> int | None:
        """The limit on updates, with its default where no other limit is given."""
        if self.max_steps is None and self.epochs is None and self.max_minutes is None:
            return 3000
        return self.max_steps

    def as_yaml(self) -> str:
        """The resolved settings as a file that `--config` reads; settings left out are comments."""
        lines = ["# The settings of this run, as resolved. `charrnn train CORPUS --config` takes this file."]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            lines.append(f"# {field.name}:" if value is None else f"{field.name}: {show(value)}")
        return "\n".join(lines) + "\n"


FIELDS: dict[str, dataclasses.Field[Any]] = {field.name: field for field in dataclasses.fields(TrainConfig)}


def show(value: Value) -> str:
    """A setting as it is written in YAML and on the command line."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) if len(value) > 1 else str(value[0])
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not value.replace("-", "").replace("_", "").isalnum():
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def resolve(config_file: Path | None, flags: Mapping[str, str | None]) -> tuple[TrainConfig, dict[str, str]]:
    """Flags over the YAML file over defaults; and for each key where its value came from.

    Raises ConfigError with the file and line, or the flag, and the nearest right name for a misspelt one.
    """
    values: dict[str, Value] = {}
    origins = dict.fromkeys(FIELDS, "default")
    entries = read_flat_yaml(config_file) if config_file else []
    for entry in entries:
        where = f"{config_file}, line {entry.line}"
        if entry.key not in FIELDS:
            near = difflib.get_close_matches(entry.key.replace("-", "_"), FIELDS, 1)
            hint = f"did you mean {near[0]}?" if near else "charrnn train --print-config shows the keys"
            raise ConfigError(f"{where}: unknown key {entry.key!r}; {hint}")
        values[entry.key] = _parse_entry(entry, where)
        origins[entry.key] = where
    for key, text in flags.items():
        if text is not None:
            flag = f"--{key.replace('_', '-')}"
            values[key] = parse(key, text, flag)
            origins[key] = flag
    return TrainConfig(**values), origins


def parse(key: str, text: str, where: str) -> Value:
    """The value that `text` means for `key`; ConfigError that names `where`."""
    try:
        return FIELDS[key].metadata["parse"](text)
    except ValueError as error:
        raise ConfigError(f"{where} {text!r}: must be {error}") from None


def _parse_entry(entry: Entry, where: str) -> Value:
    if entry.text is None:
        if FIELDS[entry.key].metadata["optional"]:
            return None
        raise ConfigError(f"{where}: {entry.key} has no value; give it one, or delete the line")
    return parse(entry.key, entry.text, f"{where}: {entry.key}")


def from_values(values: Mapping[str, Value]) -> TrainConfig:
    """The config that `dataclasses.asdict` was taken of, after a way through JSON; ConfigError if it is not one."""
    if set(values) - set(FIELDS):
        raise ConfigError(f"unknown settings {', '.join(sorted(set(values) - set(FIELDS)))}; use a newer charrnn")
    resolved: dict[str, Any] = {}
    for key, value in values.items():
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else show(value).strip("'")
            resolved[key] = parse(key, text, key)
    return TrainConfig(**resolved)
