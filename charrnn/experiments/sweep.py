"""Many short trainings of settings from a grid or a random draw, ranked by their best validation loss.

A sweep is a directory: sweep.json says what is trained and what has come out so far; 01, 02, … are run directories.
Each training is a process of its own, so that one that fails is a row of the table; where, a `Pool` decides. Where
several settings vary, a random draw finds more than a grid (Bergstra & Bengio 2012). Successive halving: Jamieson &
Talwalkar 2016.

To import this must not import NumPy: each training chooses the BLAS by its settings.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from charrnn.errors import CharrnnError, CheckpointError, ConfigError
from charrnn.experiments.processes import Processes
from charrnn.experiments.trial import Pool, Trial, Values
from charrnn.storage import BEST, LAST, fields
from charrnn.storage.durable import atomic_write_bytes, read_small
from charrnn.text.reading import Reading
from charrnn.training.run import Run, absolute, is_leftover
from charrnn.training.setting_types import hint
from charrnn.training.settings import FIELDS, Settings, parse

PLAN = "sweep.json"
MOST_OF_PLAN = 10_000_000  # bytes
MOST = 1000  # trainings
ROUNDS = 4  # of successive halving, at most: a run that is cut to less than an eighth says little of the whole
STATES = ("finished", "diverged", "failed")  # of an outcome
PATHS = ("val_file", "test_file")  # settings that name files, which each training must find


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`: uniform in their logarithm, or in themselves where `low` is 0."""

    low: float
    high: float

    def draw(self, rng: random.Random) -> float:
        """One of them, to three digits; whole where both ends are whole."""
        low, high = self.low, self.high
        value = math.exp(rng.uniform(math.log(low), math.log(high))) if low > 0 else rng.uniform(low, high)
        return round(value) if isinstance(low, int) and isinstance(high, int) else float(f"{value:.3g}")


Axes = dict[str, Range | list[object]]


@dataclass(frozen=True)
class Outcome:
    """What a training gave in a round of the sweep.

    state: finished, diverged or failed, with the reason as `problem`. validation: lowest loss in nats per character, as
    evaluated in training. seconds: of training, all sessions of the run together.
    """

    trial: int
    round: int
    state: str
    validation: float | None = None
    steps: int | None = None
    parameters: int | None = None
    seconds: float | None = None
    problem: str | None = None

    @property
    def rank(self) -> tuple[bool, int, float, int]:
        """What outcomes are sorted by: the longest trained first, then the lowest loss; what failed comes last."""
        loss = math.inf if self.validation is None else self.validation
        return self.state != "finished", -self.round, loss, self.trial


# What changes the symbols or the text that the trainings are compared on.
OF_THE_TEXT = (FIELDS.keys() & Reading.__dataclass_fields__) | {
    "pieces",
    "val_frac",
    "val_file",
    "test_frac",
    "test_file",
}


def axes(texts: Iterable[str]) -> Axes:
    """What varies, from texts as `learning_rate=0.001,0.003`, `hidden=128,256+256` or `dropout=0..0.5`.

    ConfigError that says which of them means nothing.
    """
    found: Axes = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip().replace("-", "_")
        if not equals:
            raise ConfigError(f"vary {text}: must be a setting and its values, as in learning_rate=0.001,0.003")
        if key not in FIELDS:
            raise ConfigError(f"vary {text}: unknown setting {key}{hint(key, FIELDS)}")
        if key in OF_THE_TEXT:
            raise ConfigError(f"vary {text}: losses on different texts cannot be ranked; set {key} for all of them")
        if key in found:
            raise ConfigError(f"vary {text}: {key} is varied twice; name all its values at once")
        place = f"vary {text}:"
        low, dots, high = values.partition("..")
        if dots:
            ends = [parse(key, end.strip(), place) for end in (low, high)]
            if not all(isinstance(end, int | float) for end in ends) or not ends[0] < ends[1]:
                raise ConfigError(f"{place} must be two numbers, the lower one first, as in 0.001..0.01")
            found[key] = Range(*ends)
        else:
            listed = [parse(key, value.strip().replace("+", ","), place) for value in values.split(",")]
            found[key] = list(dict.fromkeys(listed))
    return found


def trials(varied: Axes, draw: int | None, seed: int) -> list[Values]:
    """The settings of each training: all combinations, or so many of them drawn at random; none comes twice."""
    lists = {key: values for key, values in varied.items() if isinstance(values, list)}
    size = math.prod(map(len, lists.values()))
    ranges = sorted(varied.keys() - lists.keys())
    if draw is None and ranges:
        raise ConfigError(f"vary {ranges[0]}: numbers from a range are drawn; say how many trainings (draw)")
    if (draw or size) > MOST:
        raise ConfigError(f"{draw or size:,} trainings: {MOST:,} are the most; vary less, or draw some of them (draw)")
    if draw is None:
        return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    rng = random.Random(seed)
    drawn: list[Values] = []
    for _ in range(100 * draw):
        one = {key: v.draw(rng) if isinstance(v, Range) else rng.choice(v) for key, v in varied.items()}
        if one not in drawn:
            drawn.append(one)
        if len(drawn) == draw or (not ranges and len(drawn) == size):
            break
    return drawn


class Sweep:
    """A directory of trainings, new or gone on with: what had come out of them is kept.

    ConfigError where the directory holds another sweep, or a combination of settings cannot be.
    """

    def __init__(
        self,
        directory: Path,
        corpus: Sequence[str],
        settings: Settings,
        trials: Sequence[Values],
        *,
        halve: bool = False,
    ) -> None:
        if not settings.val_frac and settings.val_file is None:
            raise ConfigError("val_frac 0: trainings are ranked by their validation loss; leave val_frac out")
        if "-" in corpus:
            raise ConfigError("standard input can be read only once; a sweep needs a file")
        self.directory, self.corpus = directory, list(map(absolute, corpus))
        self.trials = list(trials)
        given = {name: getattr(settings, name) for name in PATHS}
        paths = {name: absolute(value) for name, value in given.items() if value is not None}
        self._settings = [settings.replace(**paths, **values) for values in self.trials]
        self.rounds = min(ROUNDS, 1 + math.ceil(math.log2(max(1, len(trials))))) if halve else 1
        base = {key: value for key, value in settings.plain().items() if key != "threads"}
        plan = {"corpus": self.corpus, "settings": base, "trials": self.trials, "rounds": self.rounds}
        self._plan = json.loads(json.dumps(plan))
        self._outcomes = {(outcome.trial, outcome.round): outcome for outcome in self._kept()}

    @property
    def outcomes(self) -> list[Outcome]:
        """The last outcome of each training so far, the best one first."""
        last = {trial: outcome for (trial, _), outcome in sorted(self._outcomes.items())}
        return sorted(last.values(), key=lambda outcome: outcome.rank)

    def first_losses(self) -> dict[int, float]:
        """The validation loss of each training after the first round, in which all are equally long."""
        first = {trial: outcome for (trial, round), outcome in self._outcomes.items() if round == 0}
        return {t: o.validation for t, o in first.items() if o.validation is not None and o.state == "finished"}

    def run_directory(self, trial: int) -> Path:
        """Of a training, counted from 0."""
        return self.directory / f"{trial + 1:0{max(2, len(str(len(self.trials))))}d}"

    def run(self, done: Callable[[Outcome], object] = lambda outcome: None, pool: Pool | None = None) -> None:
        """Has `pool` train what has not been trained yet; left out, processes of this machine. `done` is called with
        each outcome.

        What failed for want of memory or because its process was killed is tried again by the next call. An error that
        all trainings would share is raised.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        pool, lock = pool or Processes(), Run(self.directory)
        lock.lock()
        try:
            self._keep()
            for round in range(self.rounds):
                standing = self._standing(round)
                todo = [self._trial(number, round) for number in standing if (number, round) not in self._outcomes]
                for trial, told in pool.outcomes(todo):
                    outcome = Outcome(trial.number, round, **told)
                    self._outcomes[trial.number, round] = outcome
                    self._keep()
                    done(outcome)
        except CharrnnError:
            if [path.name for path in self.directory.iterdir()] == [PLAN]:  # nothing was trained: nothing stays
                (self.directory / PLAN).unlink()
                self.directory.rmdir()
            raise
        finally:
            lock.unlock()

    def _standing(self, round: int) -> list[int]:
        """The trainings of a round: all of them, or the better half of those of the round before."""
        if round == 0:
            return list(range(len(self.trials)))
        before = sorted((o for (_, r), o in self._outcomes.items() if r == round - 1), key=lambda o: o.rank)
        return [o.trial for o in before[: (len(before) + 1) // 2] if o.state == "finished"]

    def _limits(self, trial: int, round: int) -> Values:
        """How long a training goes on in a round: each round is twice as long as the one before."""
        settings, share = self._settings[trial], 2.0 ** (round + 1 - self.rounds)
        limits: dict[str, float | None] = {"epochs": settings.epochs, "max_minutes": settings.max_minutes}
        scaled: Values = {key: value * share for key, value in limits.items() if value is not None}
        if settings.steps is None or (settings.max_steps is None and share == 1):  # left out, it fits the text
            return scaled
        return {**scaled, "max_steps": math.ceil(settings.steps * share)}

    def _trial(self, number: int, round: int) -> Trial:
        limits = self._limits(number, round)
        return Trial(
            number, self.run_directory(number), self.corpus, {**dict(self._settings[number]), **limits}, limits
        )

    def _kept(self) -> list[Outcome]:
        path = self.directory / PLAN
        if any((self.directory / name).exists() for name in (BEST, LAST)):
            raise ConfigError(f"{self.directory} is a run; choose another directory")
        if not path.exists():
            there = self.directory.iterdir() if self.directory.is_dir() else [self.directory]
            if any(other.exists() and not is_leftover(other) for other in there):
                raise ConfigError(f"{self.directory} holds other files; choose another directory")
            return []
        try:
            content = fields.parse_json(read_small(path, MOST_OF_PLAN), MOST_OF_PLAN)
            if not isinstance(content, dict) or not isinstance(content.get("outcomes"), list):
                raise ValueError("it has no list of outcomes")
            rows = content.pop("outcomes")
            if content != self._plan:
                raise ConfigError(f"{self.directory} holds another sweep; choose another directory, or remove it")
            outcomes = [_outcome(row, len(self.trials)) for row in rows]
        except ValueError as error:
            raise CheckpointError(f"{path}: damaged ({error}); choose another directory") from None
        return [outcome for outcome in outcomes if outcome.state != "failed"]

    def _keep(self) -> None:
        rows = [asdict(outcome) for outcome in self._outcomes.values()]
        content = json.dumps({**self._plan, "outcomes": rows}, indent=1)
        atomic_write_bytes(self.directory / PLAN, content.encode() + b"\n", follow=False)


def _outcome(row: object, trials: int) -> Outcome:
    """A row of sweep.json; ValueError for what cannot be one."""
    if not isinstance(row, dict) or set(row) != set(Outcome.__dataclass_fields__):
        raise ValueError("an outcome has other fields")
    fields.whole(row, "trial", 0, trials - 1)
    fields.whole(row, "round", 0, ROUNDS - 1)
    for name in ("validation", "seconds", "steps", "parameters"):
        if row[name] is not None:
            fields.number(row, name)
    if fields.text(row, "state") not in STATES:
        raise ValueError(f"state is {fields.literal(row['state'])}; it must be one of {', '.join(STATES)}")
    if row["problem"] is not None:
        fields.text(row, "problem")
    return Outcome(**row)
