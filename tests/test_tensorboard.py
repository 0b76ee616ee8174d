"""The event file of a run, as TensorBoard's own reader reads it.

What needs it is skipped where TensorBoard is missing; with CHARRNN_REQUIRE_TENSORBOARD=1 it fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from calls import charrnn as command

import charrnn
from charrnn.errors import ConfigError, StorageError
from charrnn.formats import tensorboard
from charrnn.training.run import EVENTS, Run
from charrnn.training.session import Evaluation

SMALL: dict[str, Any] = dict(hidden=(8, 6), seq_length=10, batch_size=4, max_steps=160, eval_every=40, threads=1)
FLAGS = ["--hidden", "8,6", "--seq-length", "10", "--batch-size", "4", "--eval-every", "40", "--threads", "1"]
FLAGS += ["--out", "run"]
Read = Callable[[Path], Any]


@pytest.fixture
def read() -> Read:
    """A reader of a directory's event files, which keeps every value."""
    name = "tensorboard.backend.event_processing.event_accumulator"
    required = os.environ.get("CHARRNN_REQUIRE_TENSORBOARD") == "1"
    accumulator = import_module(name) if required else pytest.importorskip(name)

    def reload(directory: Path) -> Any:
        found = accumulator.EventAccumulator(str(directory), {"scalars": 0, "tensors": 0})
        return found.Reload()

    return reload


@pytest.fixture(autouse=True)
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").write_text("the cat sat on the mat.\n" * 60)
    monkeypatch.chdir(tmp_path)


def filled(run: Run) -> list[Path]:
    """The event files that hold something."""
    return [path for path in run.directory.glob(EVENTS) if path.stat().st_size]


def check(found: Any, run: Run) -> None:
    """That the file, of which there is one, holds the rows of the metrics: each once and in order, and no more."""
    rows = [row for row in run.metrics() if "train" in row]
    assert rows and len(filled(run)) == 1
    for name, tag in tensorboard.TAGS.items():
        expected = [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in rows if name in row]
        assert [(event.step, event.value) for event in found.Scalars(tag)] == expected, tag
    for i, tag in enumerate(("layer_1", "layer_2", "output")):
        norms = [event.value for event in found.Scalars(f"gradient_norm/{tag}")]
        assert norms == pytest.approx([row["gradient_norms"][i] for row in rows], rel=1e-6)
    samples = [(e.step, e.tensor_proto.string_val[0].decode()) for e in found.Tensors("sample")]
    assert [step for step, _ in samples] == [row["step"] for row in rows if "sample" in row]
    texts = ["\n".join(line[4:] for line in text.split("\n")) for _, text in samples]
    assert texts == [row["sample"] for row in rows if "sample" in row]
    times = [event.wall_time for event in found.Scalars("loss/train")]
    seconds = [row["seconds"] for row in rows]
    assert [time - times[0] for time in times] == pytest.approx([s - seconds[0] for s in seconds], abs=1e-5)


def test_the_event_file_holds_every_row_of_the_metrics_and_grows_while_the_run_is_trained(read: Read) -> None:
    board, live = charrnn.TensorBoard("run"), []

    def listen(event: object) -> None:
        board(event)  # type: ignore[arg-type]
        if isinstance(event, Evaluation):
            live.append([scalar.step for scalar in read(Path("run")).Scalars("loss/validation")])

    charrnn.train("t", "run", on_event=listen, **SMALL)
    assert live == [[40], [40, 80], [40, 80, 120], [40, 80, 120, 160]]
    check(read(Path("run")), Run(Path("run")))


def test_the_times_of_a_run_that_is_over_lie_before_the_file_was_made(read: Read) -> None:
    Path("run").mkdir()
    rows = [{"step": step, "train": 2.0, "seconds": 10.0 * step} for step in (50, 100)]
    Path("run/metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    charrnn.TensorBoard("run").update()
    made = Path(*filled(Run(Path("run")))).stat().st_mtime
    times = [event.wall_time for event in read(Path("run")).Scalars("loss/train")]
    assert times == pytest.approx([made - 500, made], abs=5)


def test_after_a_kill_and_a_resume_each_step_stands_in_it_once_as_in_the_metrics(read: Read, tmp_path: Path) -> None:
    program = """
import os, signal, sys, charrnn
board = charrnn.TensorBoard("run")
def listen(event):
    board(event)
    if type(event).__name__ == "Step" and event.number == 110:
        board.update()  # with the row of step 100, which no checkpoint has
        os.kill(os.getpid(), signal.SIGKILL)
charrnn.train("t", "run", on_event=listen, hidden=(8, 6), seq_length=10, batch_size=4, max_steps=160, eval_every=40,
              threads=1)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    killed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    assert killed.returncode == -signal.SIGKILL
    run = Run(Path("run"))
    assert [event.step for event in read(run.directory).Scalars("loss/train")] == [40, 50, 80, 100]
    done = command("train", "--resume", "run", "--tensorboard", "--max-steps", "130")
    assert done.code == 0, done.err
    assert [row["step"] for row in run.metrics()] == [40, 50, 80, 100, 120, 130]
    check(read(run.directory), run)


def test_a_reader_that_has_the_old_file_open_sees_the_steps_of_the_new_one_only(read: Read) -> None:
    run = Run(Path("run"))
    run.directory.mkdir()
    board = tensorboard.TensorBoard(run.directory)
    row = {"train": 1.0, "seconds": 1.0, "gradient_norms": [1.0, 1.0, 1.0]}
    for step in (50, 100, 150):
        run.log({**row, "step": step})
    board.update()
    found = read(run.directory)
    for value in (2.0, 3.0):
        (before,) = filled(run)
        run.rewind_metrics(100)
        run.log({"step": 100, "rollback": 1, "after": 150, "learning_rate": 0.1, "seconds": value})
        run.log({**row, "step": 150, "train": value})
        board.update()
        board.update()
        found.Reload()
        scalars = [(event.step, event.value) for event in found.Scalars("loss/train")]
        assert scalars == [(50, 1.0), (100, 1.0), (150, value)]
        (now,) = filled(run)
        assert now.name > before.name
    assert len(list(run.directory.glob(EVENTS))) == 2


def test_a_run_that_is_replaced_leaves_no_event_file_behind(read: Read) -> None:
    assert command("train", "t", *FLAGS, "--tensorboard", "--max-steps", "80").code == 0
    check(read(Path("run")), Run(Path("run")))
    assert command("train", "t", *FLAGS, "--max-steps", "40", "--force").code == 0
    assert not list(Path("run").glob(EVENTS))
    # A run that has nothing left to do gets its file too.
    assert command("train", "--resume", "run", "--tensorboard").code == 0
    check(read(Path("run")), Run(Path("run")))


def test_a_file_that_cannot_be_written_is_told_once_and_is_whole_when_it_can_be(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    board = tensorboard.TensorBoard("run", told.append)
    write = tensorboard.append_bytes
    full = True

    def refuse(path: Path, content: bytes) -> None:
        if full:
            raise StorageError(f"cannot write {path}: no space left on device")
        write(path, content)

    monkeypatch.setattr(tensorboard, "append_bytes", refuse)

    def listen(event: object) -> None:
        nonlocal full
        full = not (isinstance(event, Evaluation) and event.step == 160)
        board(event)  # type: ignore[arg-type]

    assert charrnn.train("t", "run", on_event=listen, **SMALL).steps == 160
    assert len(told) == 1 and "no space left on device; the training goes on" in told[0]
    check(read(Path("run")), Run(Path("run")))


def test_without_the_package_one_line_names_the_extra_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    refused = command("train", "t", *FLAGS, "--tensorboard")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--tensorboard needs the package tensorboard; pip install 'charrnn-bptt[tensorboard]'" in refused.err
    assert not Path("run").exists()
    with pytest.raises(ConfigError, match=r"charrnn-bptt\[tensorboard\]"):
        charrnn.TensorBoard("run")
