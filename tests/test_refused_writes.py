"""A disk that is full, or a directory that is gone, in the middle of a training: nothing is lost that can be kept."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scale import SEED, scaled
from test_run_directory import full_disk
from test_training import metrics, run_to, session

from charrnn.errors import StorageError
from charrnn.inference.scoring import Score
from charrnn.storage import BEST, LAST
from charrnn.storage import checkpoint as checkpoints
from charrnn.training.session import Notice, Session

OPTIONS: dict[str, Any] = dict(eval_every=7, checkpoint_every=5)


def notices_until(one: Session, last: int) -> list[str]:
    stop = lambda: one.trainer.step >= last  # noqa: E731
    return [event.text for event in one.events(stop) if isinstance(event, Notice)]


def assert_same(directory: Path, other: Path) -> None:
    """Checkpoints and metrics are those of the other run."""
    for name in (LAST, BEST):
        ours, theirs = checkpoints.load(directory / name), checkpoints.load(other / name)
        assert all((ours.weights[key] == theirs.weights[key]).all() for key in theirs.weights), name
        assert all((ours.extra[key] == theirs.extra[key]).all() for key in theirs.extra), name
    rows = [metrics(path) for path in (directory, other)]
    for row in (*rows[0], *rows[1]):
        del row["characters_per_second"], row["seconds"]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("size", [0, 100, 1000, *random.Random(SEED).sample(range(8000), scaled(1, 47))])
def test_what_a_full_disk_refused_is_written_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def best_at_step_28(parameters: object, ids: object, **_: object) -> Score:
        return Score(next(losses), 0.5, 49)

    monkeypatch.setattr("charrnn.training.session.evaluate", best_at_step_28)
    losses = iter((5.0, 4.0, 3.0, 2.0, *[9.0] * 9))
    run_to(session(tmp_path / "whole", **OPTIONS), 60)
    losses = iter((5.0, 4.0, 3.0, 2.0, *[9.0] * 9))
    one = session(tmp_path / "full", **OPTIONS)
    run_to(one, 12)
    before = (tmp_path / "full" / LAST).read_bytes()
    told: list[str] = []
    with full_disk(size), pytest.raises(StorageError, match="too large"):
        for event in one.events(lambda: one.trainer.step >= 31):
            told += [event.text] if isinstance(event, Notice) else []
    assert len(told) == 7 and all("too large" in text and "goes on, and tries again" in text for text in told)
    assert (tmp_path / "full" / LAST).read_bytes() == before  # byte for byte
    assert checkpoints.load(tmp_path / "full" / BEST)  # which is smaller, and may have had room
    told = notices_until(one, 60)
    assert len(told) == 1 and "can be written to again" in told[0]
    assert_same(tmp_path / "full", tmp_path / "whole")


def test_a_last_save_that_fails_is_an_error_and_the_one_before_stands(tmp_path: Path) -> None:
    one = session(tmp_path, **OPTIONS)
    run_to(one, 10)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(100), pytest.raises(StorageError, match="too large"):
        run_to(one, 30)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix == ".npz"} == {
        name: content for name, content in before.items() if name.endswith(".npz")
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(before)
    run_to(one, 31)
    assert checkpoints.load(tmp_path / LAST).progress["trainer"]["step"] == 31  # type: ignore[index]


@pytest.mark.parametrize("replaced_by", [lambda path: None, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_directory_that_is_gone_is_told_and_written_to_when_it_is_back(
    tmp_path: Path, replaced_by: Callable[[Path], object]
) -> None:
    one = session(tmp_path / "run", **OPTIONS)
    run_to(one, 10)
    shutil.move(tmp_path / "run", tmp_path / "kept")
    replaced_by(tmp_path / "run")
    told: list[str] = []
    with pytest.raises(StorageError, match="cannot write"):
        told += [event.text for event in one.events(lambda: one.trainer.step >= 20) if isinstance(event, Notice)]
    (tmp_path / "run").unlink(missing_ok=True)
    shutil.move(tmp_path / "kept", tmp_path / "run")
    (text,) = notices_until(one, 60)
    assert "can be written to again" in text
    run_to(session(tmp_path / "whole", **OPTIONS), 60)
    assert_same(tmp_path / "run", tmp_path / "whole")
