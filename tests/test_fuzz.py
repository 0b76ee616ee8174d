"""The harnesses of fuzz/ fit the code that they fuzz: each reads all of its seeds, with a stand-in for atheris."""

from __future__ import annotations

import contextlib
import importlib
import random
import sys
import tempfile
import types
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from charrnn.text import sources

FUZZ = Path(__file__).parents[1] / "fuzz"


class Provider:
    """What the harnesses need of atheris.FuzzedDataProvider: choices that the input makes, the same each time."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._rng = raw, random.Random(raw)

    def ConsumeBool(self) -> bool:
        return self._rng.random() < 0.5

    def ConsumeIntInRange(self, low: int, high: int) -> int:
        return self._rng.randint(low, high)

    def PickValueInList(self, values: Sequence[Any]) -> Any:
        return self._rng.choice(values)

    def ConsumeBytes(self, count: int) -> bytes:
        data, self._raw = self._raw[:count], self._raw[count:]
        return data

    def remaining_bytes(self) -> int:
        return len(self._raw)


@pytest.mark.parametrize("name", sorted(path.stem for path in FUZZ.glob("fuzz_*.py")))
def test_a_harness_finds_nothing_in_its_own_seeds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atheris = types.ModuleType("atheris")
    vars(atheris).update(FuzzedDataProvider=Provider, instrument_imports=lambda include: contextlib.nullcontext())
    monkeypatch.setitem(sys.modules, "atheris", atheris)
    monkeypatch.setattr(sys, "path", [str(FUZZ), *sys.path])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sources, "PIECE", sources.PIECE)  # which a harness changes
    for module in ("harness", name):
        monkeypatch.delitem(sys.modules, module, raising=False)
    harness = importlib.import_module(name)
    seeds = harness.seeds()
    assert len(seeds) > 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for raw in seeds.values():
            harness.one_input(raw)
    for module in ("harness", name):
        monkeypatch.delitem(sys.modules, module)
