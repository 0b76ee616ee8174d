"""A run directory: the settings, where they come from, the metrics, and the best and last checkpoint.

To import this must not import NumPy: a run that goes on chooses the BLAS by the settings it finds here.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from charrnn import __version__, blas
from charrnn.errors import CheckpointError, ConfigError, RunExistsError, RunHeldError, StorageError
from charrnn.storage import BEST, LAST, fields
from charrnn.storage.durable import append_line, atomic_write_bytes, fsync_directory, read_small
from charrnn.text.addresses import base_name, is_address
from charrnn.text.reading import uncompressed
from charrnn.training.settings import RESUMABLE, Settings, resolve

MOST_OF_MANIFEST, MOST_OF_METRICS = 1_000_000, 1_000_000_000  # bytes
RUNS = Path("runs")  # where runs are made and looked for
CONFIG, MANIFEST, METRICS, IDS = "config.yaml", "manifest.json", "metrics.jsonl", "ids.bin"
EVENTS = "events.out.tfevents.*.charrnn"  # a copy of the metrics in the format of TensorBoard
IDS_OF = {"val_file": "val_file.bin", "test_file": "test_file.bin"}  # of texts that would need a network
STAGED, NEXT = ".new.tmp", ".next"  # directories in a run's own: a new run that is being written, and one that is whole
MADE_WITH = ("charrnn", "python", "numpy", "platform", "processor")
LARGEST = 1e100  # of a number of the metrics: what is larger is no measurement, and sums of it may be infinite
MOST_NORMS = 1001  # of a row of the metrics: of the layers that settings allow, and of the output
ATTEMPTS = 100  # to lock a directory that others make and remove


@dataclass(frozen=True)
class Source:
    """What a run was trained on: the arguments as absolute paths or addresses, and the checksum of the decoded text.

    others: checksums of val_file and test_file, where these are given.
    """

    corpus: list[str]
    sha256: str
    characters: int
    unknown: str
    others: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """What a run says of itself: its texts, their checksum, what became of unknown characters, and the BLAS.

    characters: of the text. made_with: versions, system and processor, by what they are of. Both are empty if unknown.
    others: as of `Source`; None of a run that did not keep them.
    """

    corpus: list[str]
    sha256: str
    unknown: str
    blas: dict[str, object]
    others: dict[str, object] | None
    characters: int | None = None
    made_with: dict[str, str] = field(default_factory=dict)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is one that can be reckoned with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def is_text(value: object) -> TypeGuard[str]:
    """Whether it is text that UTF-8 has: JSON can hold one half of a surrogate pair."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


# What may stand under a name in a row of the metrics.
KINDS: dict[str, Callable[[object], bool]] = {
    **dict.fromkeys(
        ("epoch", "train", "validation", "learning_rate", "gradient_norm", "characters_per_second", "seconds"),
        is_number,
    ),
    **dict.fromkeys(("rollback", "after"), lambda value: type(value) is int),
    "gradient_norms": lambda value: isinstance(value, list) and len(value) <= MOST_NORMS and all(map(is_number, value)),
    "sample": is_text,
    "diverged": lambda value: value is True,
}


def default_directories(corpus: list[str], runs: Path = RUNS) -> Iterator[Path]:
    """runs/<name of the corpus>, then the same with a number after it, without end."""
    first = Path(corpus[0])
    known = is_address(corpus[0]) or first.is_file() or first.is_dir()
    stem = text_name(corpus[0]) if known else "stdin"
    yield runs / stem
    number = 2
    while True:
        yield runs / f"{stem}-{number}"
        number += 1


def text_name(text: str) -> str:
    """The name of a text without its endings: corpus of data/corpus.txt.gz, or of an address that ends so."""
    return Path(uncompressed(base_name(text) if is_address(text) else str(Path(text).resolve()))).stem


def absolute(text: str) -> str:
    """What names the same text from any directory: a path, an address, or - for standard input."""
    return text if text == "-" or is_address(text) else str(Path(text).resolve())


def is_leftover(path: Path) -> bool:
    """Whether it was being written when its process was killed."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


class Run:
    """Reads and writes one run directory. Every file but the metrics is replaced whole or not at all.

    Who writes to a run holds it (`lock`, `begin`), and so keeps other trainings out, of this process too, until
    `unlock` or the end of the process. A path with `..` is resolved: `missing/../run` is `run`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.realpath(directory)) if ".." in directory.parts else directory
        self._held = False
        self._lock: int | None = None  # None too where the system has no locks
        self._made: list[Path] = []  # directories that `begin` has made, the innermost first

    @property
    def best(self) -> Path:
        """The checkpoint of the lowest validation loss."""
        return self.directory / BEST

    @property
    def last(self) -> Path:
        """The checkpoint that training goes on from."""
        return self.directory / LAST

    def exists(self) -> bool:
        """Whether the directory holds a run."""
        return (self.directory / MANIFEST).is_file()

    def begin(self, force: bool = False, fresh: bool = False) -> bool:
        """Makes the directory, if there is none, and holds it, if a new run may begin there.

        ConfigError if there is something in the way that `force` does not allow to go: RunExistsError if it is a run,
        RunHeldError if another training holds it.
        With `fresh`, the directory must not have been there: False if it was. StorageError if the system fails.
        """
        try:
            for _ in range(ATTEMPTS):
                with contextlib.suppress(FileNotFoundError):  # one that failed has removed what it had made
                    self._made = _make(self.directory)
                    if fresh and self.directory not in self._made:
                        return False
                    if not self.directory.is_dir():
                        raise _is_file(self.directory)
                    try:
                        self.lock()
                    except RunHeldError:
                        if fresh:  # another was quicker
                            return False
                        raise
                    self._check_free(force)
                    return True
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        except OSError as error:
            raise StorageError(f"cannot write to {self.directory}: {error.strerror}; choose another place") from error

    def _check_free(self, force: bool) -> None:
        if all(is_leftover(path) for path in self.directory.iterdir()):
            return
        is_run = any((self.directory / name).exists() for name in (MANIFEST, LAST, BEST))
        if not is_run:
            raise ConfigError(f"{self.directory} holds other files; choose another directory")
        if not force:
            raise RunExistsError(
                f"{self.directory} holds a run; choose another directory, resume that run, or replace it by force"
            )

    def check(self, force: bool = False) -> None:
        """Raises what `begin` would, if something is in the way, and makes nothing."""
        if self.directory.is_dir():
            if self.is_locked():
                raise _held(self.directory)
            self._check_free(force)
        elif self.directory.exists():
            raise _is_file(self.directory)

    def abandon(self) -> None:
        """Undoes `begin` and `stage`; what another has made, or put there, stays."""
        if self._held:
            shutil.rmtree(self.directory / STAGED, ignore_errors=True)
            with contextlib.suppress(OSError):
                for directory in self._made:
                    directory.rmdir()
        self.unlock()

    def stage(self) -> Run:
        """An empty run inside of this one, for `replace`; what killed processes have left goes."""
        try:
            for path in filter(is_leftover, list(self.directory.iterdir())):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            (self.directory / STAGED).mkdir()
        except OSError as error:
            raise StorageError(f"cannot write to {self.directory}: {error.strerror}; choose another place") from error
        return Run(self.directory / STAGED)

    def replace(self) -> None:
        """Puts the staged run, which is whole, in the place of what stands here.

        Killed before the first rename it leaves the old run, and after it the new one: `lock` ends what was begun.
        """
        try:
            os.rename(self.directory / STAGED, self.directory / NEXT)
            fsync_directory(self.directory)
            self._finish_replacement()
        except OSError as error:
            raise StorageError(
                f"cannot write to {self.directory}: {error.strerror}; check it, and resume the run"
            ) from error

    def _finish_replacement(self) -> None:
        """What follows the rename in `replace`. At any moment there is a checkpoint to load, of the old run or the new.

        The last checkpoint is moved first. While it has not been, nothing has, and what stands here is the old run's.
        """
        new = self.directory / NEXT
        if not new.is_dir():
            return
        if (new / LAST).exists():
            names = (BEST, METRICS, IDS, *IDS_OF.values())
            for path in (*(self.directory / name for name in names), *self.directory.glob(EVENTS)):
                path.unlink(missing_ok=True)
        for name in (LAST, IDS, *IDS_OF.values(), CONFIG, MANIFEST):
            if (new / name).exists():
                os.replace(new / name, self.directory / name)
        fsync_directory(self.directory)
        shutil.rmtree(new)

    def lock(self) -> None:
        """Holds the run; RunHeldError if another training does, FileNotFoundError if there is no such directory."""
        if self._held:
            return
        self._lock = _locked(self.directory)
        try:
            self._finish_replacement()
        except BaseException:
            self.unlock()
            raise
        self._held = True

    def unlock(self) -> None:
        """Lets others in."""
        self._held = False
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write_manifest(self, source: Source, library: Mapping[str, object]) -> None:
        """Writes manifest.json."""
        import numpy as np

        manifest = {
            "charrnn": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "platform": platform.platform(),
            "processor": blas.processor(),
            "corpus": source.corpus,
            "sha256": source.sha256,
            "characters": source.characters,
            "unknown": source.unknown,
            "others": source.others,
            "blas": dict(library),
            "command": ["charrnn", *sys.argv[1:]],
        }
        self._write_manifest(manifest)

    def is_locked(self) -> bool:
        """Whether a training is at work in the directory; False where the system has no locks."""
        if self._held:
            return True
        try:
            import fcntl

            descriptor = os.open(self.directory, os.O_RDONLY)
        except (ImportError, OSError):
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # not a file system with locks
            return False
        finally:
            os.close(descriptor)
        return False

    def write_config(self, config: Settings) -> None:
        """Replaces config.yaml."""
        atomic_write_bytes(self.directory / CONFIG, config.as_yaml().encode(), follow=False)

    def manifest(self) -> Manifest:
        """What the run was trained on; CheckpointError if this is no run directory."""
        path = self.directory / MANIFEST
        try:
            content = self._manifest()
            corpus = content.get("corpus")
            if not isinstance(corpus, list) or not all(isinstance(name, str) for name in corpus):
                raise ValueError("corpus must be a list of names")
            others = fields.mapping(content, "others") if "others" in content else None
            characters = content.get("characters")
            return Manifest(
                corpus,
                fields.text(content, "sha256"),
                fields.text(content, "unknown"),
                fields.mapping(content, "blas"),
                others,
                characters if isinstance(characters, int) else None,
                {key: content[key] for key in MADE_WITH if isinstance(content.get(key), str)},
            )
        except (FileNotFoundError, NotADirectoryError):
            raise CheckpointError(
                f"{self.directory}: no run directory (it has no {MANIFEST}); check the path"
            ) from None
        except ValueError as error:
            raise CheckpointError(
                f"{path}: damaged ({error}); a new run can still take the weights of {self.best} (init_from)"
            ) from error

    def _manifest(self) -> dict[str, Any]:
        content = fields.parse_json(read_small(self.directory / MANIFEST, MOST_OF_MANIFEST), MOST_OF_MANIFEST)
        if not isinstance(content, dict):
            raise ValueError("it is no object")
        return content

    def note_corpus(self, corpus: list[str]) -> None:
        """Remembers where the texts are now, as absolute paths."""
        self._write_manifest({**self._manifest(), "corpus": corpus})

    def _write_manifest(self, manifest: Mapping[str, object]) -> None:
        atomic_write_bytes(self.directory / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n", follow=False)

    def resumed_settings(self, changes: Mapping[str, object]) -> Settings:
        """The settings of the run with `changes` (None: not given); ConfigError for one that cannot change."""
        fixed = [name for name, value in changes.items() if value is not None and name not in RESUMABLE]
        if fixed:
            raise ConfigError(
                f"{fixed[0]} cannot change in a run that is resumed; leave it out, or begin a new run from its weights "
                "(init_from)"
            )
        if (self.directory / NEXT).exists():
            self.lock()  # which puts the run in order
            self.unlock()
        self.manifest()  # says so if there is no run
        return self.config(changes)

    def config(self, overrides: Mapping[str, object]) -> Settings:
        """The settings of the run, with `overrides` (None: not given)."""
        return resolve(self.directory / CONFIG, overrides)[0]

    def keep_best_from_last(self) -> None:
        """Makes a best checkpoint of the last one, where training stopped before the first evaluation."""
        if not self.best.exists() and self.last.exists():
            atomic_write_bytes(self.best, self.last.read_bytes(), follow=False)

    def rewind_metrics(self, step: int) -> None:
        """Drops the rows after `step`, and a torn last line: what follows was not saved, and will be done again."""
        kept = [line for line, row in self._rows() if row["step"] <= step]
        if kept or (self.directory / METRICS).exists():
            atomic_write_bytes(self.directory / METRICS, b"".join(kept), follow=False)

    def metrics(self) -> list[dict[str, Any]]:
        """The rows so far: step, epoch, train and, where it was evaluated, validation; losses in nats per character.

        What is not of its kind is left out, as a loss that is no number: a run may come from anyone.
        """
        return [
            {name: value for name, value in row.items() if name not in KINDS or KINDS[name](value)}
            for _, row in self._rows()
        ]

    def note_divergence(self, step: int) -> None:
        """Adds a row to the metrics that says that training diverged at `step`, which is beyond what was saved."""
        self.log({"step": step, "diverged": True})

    def _rows(self) -> list[tuple[bytes, dict[str, Any]]]:
        """The lines that hold a row, with the row."""
        try:
            lines = read_small(self.directory / METRICS, MOST_OF_METRICS).splitlines(keepends=True)
        except FileNotFoundError:
            return []
        rows = []
        for line in lines:
            with contextlib.suppress(ValueError):
                row = fields.parse_json(line, len(line))
                if isinstance(row, dict) and line.endswith(b"\n"):
                    rows.append((line, {**row, "step": fields.whole(row, "step")}))
        return rows

    def log(self, row: Mapping[str, object]) -> None:
        """Appends one row of strict JSON to the metrics."""
        finite = {k: v for k, v in row.items() if not (isinstance(v, float) and not math.isfinite(v))}
        append_line(self.directory / METRICS, json.dumps(finite, allow_nan=False))


def _make(directory: Path) -> list[Path]:
    """Makes the directory and those above it that are missing; those that were made here, the innermost first."""
    missing = []
    for path in (directory, *directory.parents):
        if path.exists():
            break
        missing.append(path)
    made: list[Path] = []
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another has made it since
            path.mkdir()
            made.insert(0, path)
    return made


def _is_file(directory: Path) -> ConfigError:
    return ConfigError(f"{directory} is a file; choose another directory")


def _held(directory: Path) -> RunHeldError:
    return RunHeldError(f"{directory}: another training is at work there; choose another directory")


def _locked(directory: Path) -> int | None:
    """The open directory, locked; None where the system has no such locks. The errors are those of `lock`."""
    try:
        import fcntl
    except ImportError:
        return None
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)  # `is_locked` of another process holds the lock for an instant
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(descriptor), os.stat(directory)):  # another has removed this one since
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))
    except BlockingIOError:
        os.close(descriptor)
        raise _held(directory) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
