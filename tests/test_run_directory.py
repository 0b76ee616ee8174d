"""A run is never lost: not to another training, not to one that fails, not to a kill while it is replaced."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import child
import numpy as np
import pytest
from calls import charrnn as command
from scale import SEED, scaled

import charrnn
from charrnn import engine as engines
from charrnn.errors import CharrnnError, CheckpointError, ConfigError, CorpusError, RunExistsError, RunHeldError
from charrnn.training import prepare
from charrnn.training.prepare import Prepared
from charrnn.training.run import Run, Source
from charrnn.training.settings import Settings

SMALL = Settings(hidden=(4,), batch_size=2, seq_length=5, max_steps=2, threads=1)


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text"
    path.write_text("abcd " * 100)
    return str(path)


def begun(text: str, out: Path | None, config: Settings = SMALL, **options: Any) -> Path:
    """A run that was begun and let go; its directory."""
    prepared = prepare.create([text], config, out, **options)
    prepared.session.close()
    return prepared.session.run.directory


def trained(text: str, out: Path) -> Path:
    """A run that has come to its end, with a best checkpoint."""
    prepared = prepare.create([text], SMALL, out)
    list(prepared.session.events())
    prepared.session.close()
    return out


def content(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_a_training_that_reads_its_text_holds_its_directory_and_no_other_gets_it(text: str, tmp_path: Path) -> None:
    refused: list[type] = []

    def meanwhile(_: int) -> None:
        for force in (False, True):
            with pytest.raises(ConfigError) as caught:
                begun(text, tmp_path / "run", force=force)
            refused.append(caught.type)

    begun(text, tmp_path / "run", progress=meanwhile)
    assert set(refused) == {RunHeldError}
    before = content(tmp_path / "run")
    with pytest.raises(RunExistsError):
        begun(text, tmp_path / "run")
    assert content(tmp_path / "run") == before


def test_what_stands_in_a_directory_is_looked_at_again_under_the_lock(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, others = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not others:  # another is quicker, and has ended
            others.append(monkeypatch.setattr(fcntl, "flock", flock))
            trained(text, tmp_path / "run")
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(RunExistsError):
        begun(text, tmp_path / "run")
    assert {"best.npz", "last.npz", "metrics.jsonl", "manifest.json"} < set(content(tmp_path / "run"))


def test_ten_trainings_that_start_at_once_without_a_name_get_ten_runs(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    barrier = threading.Barrier(10)

    def start(_: int) -> Path:
        barrier.wait()
        return begun(text, None)

    with ThreadPoolExecutor(10) as pool:
        runs = list(pool.map(start, range(10)))
    assert {str(run) for run in runs} == {"runs/text", *(f"runs/text-{i}" for i in range(2, 11))}
    assert all(charrnn.load(run) for run in runs)
    assert str(begun(text, None)) == "runs/text-11"


def test_who_has_made_a_directory_and_not_got_it_leaves_it_to_who_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def raced(name: str) -> tuple[Run, Run]:
        """Two runs of one directory, which the second has made and the first will have locked."""
        winner, loser = Run(tmp_path / "runs" / name), Run(tmp_path / "runs" / name)

        def late(descriptor: int, how: int) -> None:
            monkeypatch.setattr(fcntl, "flock", flock)
            winner.begin()
            flock(descriptor, how)

        monkeypatch.setattr(fcntl, "flock", late)
        return winner, loser

    winner, loser = raced("a")
    with pytest.raises(RunHeldError):
        loser.begin()
    loser.abandon()
    assert winner.directory.is_dir()
    _, other = raced("b")
    assert not other.begin(fresh=True)  # it takes another name
    winner.abandon()
    assert winner.directory.is_dir()  # made by another

    mine = Run(tmp_path / "runs" / "c")
    mine.begin()
    mine.abandon()
    assert not mine.directory.exists() and (tmp_path / "runs").is_dir()


def test_a_directory_that_was_removed_before_it_was_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, run = fcntl.flock, Run(tmp_path / "a")

    def late(descriptor: int, how: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        run.directory.rmdir()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    run.begin()
    assert run.directory.is_dir()
    with pytest.raises(RunHeldError):
        Run(tmp_path / "a").begin()


def test_a_training_that_fails_leaves_no_directory_and_no_parent_of_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"ab\xff")
    before = content(tmp_path)
    for source, out in (("bad", "a/b/c"), ("missing", "x")):
        with pytest.raises(CorpusError):
            begun(str(tmp_path / source), tmp_path / out)
    assert content(tmp_path) == before and sorted(p.name for p in tmp_path.iterdir()) == ["bad", "text"]


def test_a_path_through_a_missing_directory_means_the_run_at_its_end(text: str, tmp_path: Path) -> None:
    trained(text, tmp_path / "run")
    with pytest.raises(RunExistsError):
        begun(text, tmp_path / "nope" / ".." / "run")
    assert Run(tmp_path / "nope" / ".." / "run").directory == tmp_path / "run"
    assert not (tmp_path / "nope").exists()


def test_a_resume_that_fails_holds_nothing(text: str, tmp_path: Path) -> None:
    run = trained(text, tmp_path / "run")
    last = (run / "last.npz").read_bytes()
    for break_it, mend_it, error in (
        (
            lambda: (run / "last.npz").write_bytes(last[:100]),
            lambda: (run / "last.npz").write_bytes(last),
            CheckpointError,
        ),
        (lambda: Path(text).write_text("x"), lambda: Path(text).write_text("abcd " * 100), CorpusError),
    ):
        break_it()
        with pytest.raises(error):
            prepare.resume(Run(run), SMALL)
        mend_it()
        prepare.resume(Run(run), SMALL).session.close()


@pytest.mark.parametrize("where", ["initial", "checkpoint", "resume"])
def test_an_engine_is_closed_where_what_comes_after_it_fails(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    closed: list[bool] = []
    make = engines.make

    def recorded(*arguments: Any) -> Any:
        made = make(*arguments)
        made.close = lambda: closed.append(True)  # type: ignore[method-assign]
        return made

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    if where == "resume":
        begun(text, tmp_path / "run")
    monkeypatch.setattr(engines, "make", recorded)
    with pytest.raises(ZeroDivisionError):
        if where == "initial":
            monkeypatch.setitem(charrnn.INITS, "own", fails)
            begun(text, tmp_path / "run", SMALL.replace(init="own"))
        elif where == "checkpoint":
            monkeypatch.setattr(Run, "write_manifest", fails)
            begun(text, tmp_path / "run")
        else:
            monkeypatch.setattr(Run, "rewind_metrics", fails)
            prepare.resume(Run(tmp_path / "run"), SMALL)
    assert closed


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file may become larger."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_run_that_is_to_be_replaced_stays_as_it_was_whatever_fails(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(text, tmp_path / "run")
    before = content(run)
    monkeypatch.setitem(charrnn.INITS, "nan", lambda W, *_: W.fill(np.nan))
    with pytest.raises(ConfigError, match="choose"):
        begun(text, run, SMALL.replace(init="nan"), force=True)
    assert content(run) == before and sorted(p.name for p in run.iterdir()) == sorted(before)
    with pytest.raises(CheckpointError):
        begun(text, run, force=True, init_from=tmp_path / "nope")
    needed = (begun(text, tmp_path / "other") / "last.npz").stat().st_size
    for size in range(0, needed, needed // 50):
        with pytest.raises(CharrnnError, match="too large"), full_disk(size):
            begun(text, run, force=True)
        assert content(run) == before and sorted(p.name for p in run.iterdir()) == sorted(before)
    begun(text, run, force=True)
    assert sorted(content(run)) == ["config.yaml", "last.npz", "manifest.json"]


def test_a_kill_while_a_run_is_replaced_leaves_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    """At each operation on files in turn; in between there is always a checkpoint to load."""
    operations, old, new = map(int, child.output(child.start("replaced.py", tmp_path)).split())
    assert operations > 15 and old > 5 and new > 5 and old + new == operations


def test_a_training_that_is_cut_up_at_random_ends_with_the_bits_of_one_left_alone(tmp_path: Path) -> None:
    """By SIGKILL, SIGINT, SIGTERM and SIGUSR1: with the right exit codes, and the same checkpoints and metrics."""
    written = child.output(child.start("killed.py", tmp_path, SEED, scaled(5, 200)), 3000)
    print(f"seed {SEED}:", written, end="")
    assert json.loads(written)["signals"] >= scaled(5, 200)


@pytest.mark.parametrize("moved", [(), ("last.npz",), ("last.npz", "config.yaml")])
def test_a_new_run_that_was_killed_while_it_was_put_in_its_place_is_resumed(
    text: str, tmp_path: Path, moved: Sequence[str]
) -> None:
    whole, run = charrnn.load(trained(text, tmp_path / "whole")), begun(text, tmp_path / "run")
    (run / ".next").mkdir()
    for name in {"last.npz", "config.yaml", "manifest.json"} - {*moved}:
        (run / name).rename(run / ".next" / name)
    resumed = charrnn.resume(run).model
    assert not (run / ".next").exists()
    assert (resumed.parameters.vector == whole.parameters.vector).all()


def test_a_checkpoint_of_another_network_than_that_of_the_settings_is_not_gone_on_from(
    text: str, tmp_path: Path
) -> None:
    trained(text, tmp_path / "run")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace('"tanh"', '"relu"'))  # as many weights
    before = content(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"last\.npz: cannot be resumed \(another architecture\); "):
        charrnn.resume(tmp_path / "run", max_steps=4)
    assert content(tmp_path / "run") == before


def test_a_run_is_held_until_its_session_is_closed_whether_it_is_new_or_resumed(text: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    longer = SMALL.replace(max_steps=4)
    for start in (lambda: prepare.create([text], SMALL, out), lambda: prepare.resume(Run(out), longer)):
        prepared = start()
        for _ in prepared.session.events():
            with pytest.raises(RunHeldError):
                Run(out).begin(force=True)
        assert Run(out).is_locked()
        prepared.session.close()
        assert not Run(out).is_locked()


@pytest.mark.parametrize("length", [200, 201])
def test_a_validation_text_is_said_to_be_cut_where_it_is(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setattr(prepare, "VALIDATION_CHARACTERS", 200)
    (tmp_path / "validation").write_text(("abcd " * 41)[:length])
    prepared = prepare.create([text], SMALL.replace(val_file=str(tmp_path / "validation")), tmp_path / "run")
    prepared.session.close()
    assert prepared.session.validation is not None and len(prepared.session.validation) == 200
    assert any("the first 200 characters are scored" in notice for notice in prepared.notices) == (length > 200)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("config.yaml", lambda run: run.write_config(SMALL)),
        ("manifest.json", lambda run: run.write_manifest(Source(["t"], "", 1, "error", {}), {})),
        ("metrics.jsonl", lambda run: run.rewind_metrics(0)),
        ("best.npz", lambda run: run.keep_best_from_last()),
    ],
)
def test_a_link_in_a_run_is_replaced_and_what_it_points_to_left_alone(tmp_path: Path, name: str, write: Any) -> None:
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    (run / "last.npz").write_bytes(b"last")
    (run / name).symlink_to(victim)
    if name != "best.npz":  # which is written where there is none: its link leads nowhere
        victim.write_text('{"step": 1}\n')
    before = victim.read_text() if victim.exists() else None
    write(Run(run))
    assert (run / name).is_file() and not (run / name).is_symlink()
    assert (victim.read_text() if victim.exists() else None) == before


def test_a_run_whose_replacement_cannot_be_ended_is_not_held(tmp_path: Path) -> None:
    (tmp_path / ".next").mkdir()
    (tmp_path / ".next" / "last.npz").write_bytes(b"new")
    (tmp_path / "last.npz" / "in the way").mkdir(parents=True)
    run = Run(tmp_path)
    with pytest.raises(OSError):
        run.lock()
    assert not run.is_locked()
    (tmp_path / "last.npz" / "in the way").rmdir()
    (tmp_path / "last.npz").rmdir()
    run.lock()
    assert run.is_locked() and run.last.read_bytes() == b"new" and not (tmp_path / ".next").exists()
    run.unlock()


def test_an_interrupt_while_a_run_is_replaced_leaves_one_that_can_be_resumed(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(text, tmp_path / "run")
    replace, handler = Run.replace, signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it

    def interrupted(run: Run) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        replace(run)

    monkeypatch.setattr(Run, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        begun(text, run, force=True)
    signal.signal(signal.SIGINT, handler)
    prepared: Prepared = prepare.resume(Run(run), SMALL)
    assert prepared.session.trainer.step == 0
    prepared.session.close()


@pytest.mark.parametrize("name", ["train", "validation", "epoch", "seconds", "gradient_norm", "learning_rate"])
def test_what_is_not_of_its_kind_in_the_metrics_is_left_out_of_the_row(tmp_path: Path, name: str) -> None:
    values = ["x", True, None, [], {}, 1e101, -1e101]
    rows = [{"step": step, name: value, "own": value} for step, value in enumerate(values)]
    rows += [{"step": 9, name: 2}, {"step": 10, name: -1e99}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = Run(tmp_path).metrics()
    assert [row["step"] for row in found] == [row["step"] for row in rows]
    assert [row.get(name) for row in found] == [None] * len(values) + [2, -1e99]
    assert [row["own"] for row in found[:-2]] == values  # of somebody else's program


def test_a_sample_in_the_metrics_that_is_no_text_of_utf_8_is_left_out_of_the_row(tmp_path: Path) -> None:
    samples = ["the cat\n", "", "\x1b𝄞", "\ud800", "a\udfffb", 3]
    rows = [{"step": step, "sample": sample} for step, sample in enumerate(samples)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row.get("sample") for row in Run(tmp_path).metrics()] == [*samples[:3], None, None, None]


def test_losses_that_are_no_numbers_end_no_command_with_a_traceback(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = trained(text, tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "validation": "low", "train": [1]}\n{"step": 2, "validation": null, "train": null}\n')
    for arguments in (["eval", "run"], ["runs", "run"], ["train", "--resume", "run", "--max-steps", "12"]):
        done = command(*arguments)
        assert done.code == 0, done.err


@pytest.mark.parametrize(
    "content", ["[]", "3", "", '{"corpus": "text"}', '{"corpus": []}', '{"corpus": [], "sha256": "", "unknown": ""}']
)
def test_a_manifest_that_is_damaged_is_one_line_that_says_what_still_can_be_done(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json: damaged \(.*can still take the weights of .*best\.npz"):
        Run(tmp_path).manifest()


def test_the_last_checkpoint_stands_in_for_the_best_only_where_there_is_none(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.keep_best_from_last()
    assert content(tmp_path) == {}
    run.last.write_bytes(b"last")
    run.keep_best_from_last()
    assert run.best.read_bytes() == b"last"
    run.best.write_bytes(b"best")
    run.keep_best_from_last()
    assert content(tmp_path) == {"best.npz": b"best", "last.npz": b"last"}
