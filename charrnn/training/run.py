"""A run directory: the settings, where they come from, the metrics, and the best and last checkpoint.

To import this must not import NumPy: a run that goes on chooses the BLAS by the settings it finds here.
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from charrnn import __version__
from charrnn.errors import CheckpointError, ConfigError, StorageError
from charrnn.storage import BEST, LAST
from charrnn.storage.durable import atomic_write_bytes
from charrnn.training.config import TrainConfig, resolve

CONFIG, MANIFEST, METRICS, IDS = "config.yaml", "manifest.json", "metrics.jsonl", "ids.bin"


@dataclass(frozen=True)
class Source:
    """What a run was trained on: the arguments as absolute paths, and the checksum of the decoded text."""

    corpus: tuple[str, ...]
    sha256: str
    characters: int
    unknown: str


def default_directory(corpus: list[str], runs: Path = Path("runs")) -> Path:
    """runs/<name of the corpus>, with a number after it where that is taken."""
    first = Path(corpus[0])
    stem = first.resolve().stem if first.is_file() or first.is_dir() else "stdin"
    path, number = runs / stem, 2
    while path.exists():
        path, number = runs / f"{stem}-{number}", number + 1
    return path


def is_leftover(path: Path) -> bool:
    """Whether it is a file that was being written when its process was killed."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


class Run:
    """Reads and writes one run directory. Every file but the metrics is replaced whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._lock: int | None = None

    @property
    def best(self) -> Path:
        """The checkpoint of the lowest validation loss."""
        return self.directory / BEST

    @property
    def last(self) -> Path:
        """The checkpoint that training goes on from."""
        return self.directory / LAST

    def check_free(self, force: bool) -> None:
        """ConfigError if there is something in the way that `force` does not allow to go."""
        if self.directory.exists() and not self.directory.is_dir():
            raise ConfigError(f"{self.directory} is a file; choose another --out")
        if not self.directory.exists() or all(is_leftover(path) for path in self.directory.iterdir()):
            return
        is_run = any((self.directory / name).exists() for name in (MANIFEST, LAST, BEST))
        if not is_run:
            raise ConfigError(f"{self.directory} holds other files; choose another --out")
        if not force:
            raise ConfigError(
                f"{self.directory} holds a run; choose another --out, add --force to replace it, "
                f"or go on with it: charrnn train --resume {self.directory}"
            )

    def create(self, config: TrainConfig, source: Source, blas: Mapping[str, object], ids: Path) -> None:
        """Makes the directory, without what an earlier run left there, and writes settings and manifest.

        The file `ids` becomes the run's own, if it exists.
        """
        import numpy as np

        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self.lock()
            for name in (BEST, LAST, METRICS, IDS):
                (self.directory / name).unlink(missing_ok=True)
            if ids.exists():
                os.replace(ids, self.directory / IDS)
            for path in filter(is_leftover, self.directory.iterdir()):
                path.unlink()
        except OSError as error:
            raise StorageError(f"cannot write to {self.directory}: {error.strerror}; choose another --out") from error
        manifest = {
            "charrnn": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "platform": platform.platform(),
            "corpus": list(source.corpus),
            "sha256": source.sha256,
            "characters": source.characters,
            "unknown": source.unknown,
            "blas": dict(blas),
            "command": ["charrnn", *sys.argv[1:]],
        }
        self.write_config(config)
        atomic_write_bytes(self.directory / MANIFEST, json.dumps(manifest, indent=2).encode() + b"\n")

    def lock(self) -> None:
        """Keeps other trainings out of the directory until this process ends; ConfigError if one is at work there."""
        if self._lock is not None:
            return
        try:
            import fcntl
        except ImportError:  # not a system with flock
            return
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise ConfigError(f"{self.directory}: another training is at work there; choose another --out") from None
        self._lock = descriptor

    def write_config(self, config: TrainConfig) -> None:
        """Replaces config.yaml."""
        atomic_write_bytes(self.directory / CONFIG, config.as_yaml().encode())

    def manifest(self) -> dict[str, Any]:
        """The manifest; CheckpointError if this is no run directory."""
        path = self.directory / MANIFEST
        try:
            content = json.loads(path.read_text("utf-8"))
            if not isinstance(content["corpus"], list) or not isinstance(content["sha256"], str):
                raise ValueError("corpus or sha256")
            content["unknown"], content["blas"].get
        except (FileNotFoundError, NotADirectoryError):
            raise CheckpointError(
                f"{self.directory}: no run directory (it has no {MANIFEST}); check the path"
            ) from None
        except OSError as error:
            raise StorageError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: damaged ({error}); --init-from {self.best} still takes its weights"
            ) from error
        return dict(content)

    def config(self, overrides: Mapping[str, str | None]) -> TrainConfig:
        """The settings of the run, with `overrides` from the command line."""
        return resolve(self.directory / CONFIG, overrides)[0]

    def keep_best_from_last(self) -> None:
        """Makes a best checkpoint of the last one, where training stopped before the first evaluation."""
        if not self.best.exists() and self.last.exists():
            atomic_write_bytes(self.best, self.last.read_bytes())

    def rewind_metrics(self, step: int) -> None:
        """Drops the rows after `step`, and a torn last line: what follows was not saved, and will be done again."""
        path = self.directory / METRICS
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
        kept = []
        for line in lines:
            try:
                row = json.loads(line)
                if row["step"] <= step and line.endswith(b"\n"):
                    kept.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        atomic_write_bytes(path, kept)

    def log(self, row: Mapping[str, object]) -> None:
        """Appends one row of strict JSON to the metrics, in a single write."""
        line = json.dumps({k: v for k, v in row.items() if not (isinstance(v, float) and not math.isfinite(v))})
        path = self.directory / METRICS
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                os.write(descriptor, line.encode() + b"\n")
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror}); free some space") from error


def settings(config: TrainConfig) -> dict[str, object]:
    """The settings as plain JSON, for a checkpoint."""
    return asdict(config)
