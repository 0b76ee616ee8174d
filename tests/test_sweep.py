"""Sweeps: what is drawn, how trainings are ranked and halved, and what a stopped one keeps."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from calls import charrnn as command

from charrnn.errors import CheckpointError, ConfigError, CorpusError
from charrnn.experiments import trial
from charrnn.experiments.processes import Processes
from charrnn.experiments.sweep import Outcome, Range, Sweep, axes, trials
from charrnn.experiments.trial import Trial
from charrnn.report.sweep import lines
from charrnn.training.run import Run
from charrnn.training.runs import summary
from charrnn.training.settings import Settings
from charrnn.training.train import resume, train

TEXT = "the cat sat on the mat; a dog sat on the log.\n" * 40
SMALL = Settings(hidden=(8,), seq_length=10, batch_size=4, eval_every=10, max_steps=40, threads=1)
FLAGS = ["--seq-length", "10", "--batch-size", "4", "--eval-every", "10", "--hidden", "8"]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return "text.txt"


def ranked(made: Sweep) -> list[tuple[int, int, str, float | None]]:
    return [(o.trial, o.round, o.state, o.validation) for o in made.outcomes]


def test_what_varies_is_read_as_the_setting_reads_it() -> None:
    found = axes(["learning-rate=1e-3,0.003", "hidden=8,16+4", "dropout=0..0.5", "batch_size=4..64"])
    assert found == {
        "learning_rate": [0.001, 0.003],
        "hidden": [(8,), (16, 4)],
        "dropout": Range(0.0, 0.5),
        "batch_size": Range(4, 64),
    }


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["learning_rate"], "must be a setting and its values"),
        (["learning_rat=1"], "unknown setting learning_rat.*learning_rate"),
        (["dropout=0.1,2"], r"vary dropout=0\.1,2: '2': must be a number of at least 0 and below 1"),
        (["dropout=0.5..0.1"], "the lower one first"),
        (["cell=rnn..gru"], "must be two numbers"),
        (["seed=1", "seed=2"], "varied twice"),
    ],
)
def test_what_varies_and_means_nothing_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        axes(texts)


def test_what_changes_the_text_cannot_vary_whatever_reading_it_has_been_given() -> None:
    of_reading = {name for name in Settings.model_fields if hasattr(Settings().reading, name)}
    assert {"column", "encoding", "glob", "normalize", "on_bad_byte", "unit"} <= of_reading
    for name in [*of_reading, "pieces", "val_frac", "val_file", "test_frac", "test_file"]:
        with pytest.raises(ConfigError, match="losses on different texts cannot be ranked"):
            axes([f"{name}=1,2"])


def test_a_grid_has_all_combinations_and_a_draw_some_of_them_never_twice() -> None:
    varied = axes(["seed=1,2,3", "cell=rnn,gru"])
    grid = trials(varied, None, 0)
    assert len(grid) == 6 and grid[0] == {"seed": 1, "cell": "rnn"}
    drawn = trials(varied, 4, 0)
    assert len(drawn) == 4 and all(one in grid for one in drawn) and drawn == trials(varied, 4, 0)
    assert sorted(map(str, trials(varied, 100, 0))) == sorted(map(str, grid))
    with pytest.raises(ConfigError, match="1,000 are the most"):
        trials(axes(["seed=" + ",".join(map(str, range(1001)))]), None, 0)


def test_numbers_of_a_range_are_drawn_evenly_in_their_logarithm() -> None:
    varied = axes(["learning_rate=0.0001..0.01", "batch_size=2..200", "dropout=0..0.5"])
    drawn = trials(varied, 400, 1)
    rates = [one["learning_rate"] for one in drawn]
    assert 160 < sum(rate < 0.001 for rate in rates) < 240 and min(rates) >= 0.0001 and max(rates) <= 0.01
    assert all(type(one["batch_size"]) is int for one in drawn)
    assert 160 < sum(one["dropout"] < 0.25 for one in drawn) < 240
    with pytest.raises(ConfigError, match=r"\(draw\)"):
        trials(varied, None, 1)


def test_trainings_are_ranked_and_one_that_diverges_is_a_row(text: str) -> None:
    grid = trials(axes(["learning_rate=0.001,0.03,1e11"]), None, 0)
    sgd = SMALL.replace(optimizer="sgd", grad_clip=0.0)
    made = Sweep(Path("s"), [text], sgd, grid)
    made.run()
    assert [(trial, state) for trial, _, state, _ in ranked(made)] == [
        (1, "finished"),
        (0, "finished"),
        (2, "diverged"),
    ]
    history = train(text, "alone", **{**dict(sgd), "learning_rate": 0.03}).history
    assert made.outcomes[0].validation == min(row["validation"] for row in history if "validation" in row)
    assert made.outcomes[2].problem and "learning_rate" in made.outcomes[2].problem


def test_halving_goes_on_with_the_better_half_for_twice_as_long(text: str) -> None:
    made = Sweep(Path("s"), [text], SMALL, trials(axes(["learning_rate=1e-4,1e-3,1e-2"]), None, 0), halve=True)
    made.run()
    assert [(o.trial, o.round, o.steps) for o in made.outcomes] == [(2, 2, 40), (1, 1, 20), (0, 0, 10)]
    assert set(made.first_losses()) == {0, 1, 2}
    train(text, "alone", **{**dict(SMALL), "learning_rate": 1e-2, "max_steps": 10})
    resume("alone", max_steps=20)
    history = resume("alone", max_steps=40).history
    assert made.outcomes[0].validation == min(row["validation"] for row in history if "validation" in row)
    before = {path: path.stat().st_mtime_ns for path in Path("s").rglob("*")}
    again = Sweep(Path("s"), [text], SMALL, made.trials, halve=True)
    again.run()
    assert ranked(again) == ranked(made)
    assert {path: time_ for path, time_ in before.items() if path.suffix == ".npz"} == {
        path: path.stat().st_mtime_ns for path in Path("s").rglob("*.npz")
    }


def killed_in_its_second_training(*arguments: str) -> None:
    """Runs the command in the directory s, and kills it when its second training has begun."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    call = [sys.executable, "-m", "charrnn", "sweep", *arguments, "--out", "s"]
    sweep = subprocess.Popen(call, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not Path("s/02/last.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    sweep.kill()
    sweep.wait()


def test_a_sweep_that_is_killed_goes_on_to_the_same_table(text: str) -> None:
    length = ["--max-steps", "400", *FLAGS, "--eval-every", "50"]
    arguments = [text, "--vary", "seed=1,2", "--halve", "--jobs", "1", "--json", *length]
    killed_in_its_second_training(*arguments)
    gone_on, whole = (json.loads(command("sweep", *arguments, "--out", out).out) for out in ("s", "t"))

    def table(content: Any) -> list[object]:
        return [{k: v for k, v in row.items() if k not in ("run", "seconds")} for row in content["trainings"]]

    assert table(gone_on) == table(whole)
    assert [row["rounds"] for row in whole["trainings"]] == [2, 1]


def test_the_trainings_of_a_sweep_that_is_killed_end_with_it(text: str) -> None:
    killed_in_its_second_training(text, "--vary", "seed=1,2", "--jobs", "2", "--max-steps", "1000000", *FLAGS)
    deadline = time.monotonic() + 5
    while any(Run(Path(name)).is_locked() for name in ("s/01", "s/02")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_a_training_whose_process_is_killed_is_a_row_and_goes_on_in_the_next_call(text: str) -> None:
    def kill_the_other(_: Outcome) -> None:
        for process in multiprocessing.active_children():
            process.kill()

    grid = trials(axes(["max_steps=10,1500"]), None, 0)
    made = Sweep(Path("s"), [text], SMALL, grid)
    made.run(kill_the_other, Processes(2))
    assert [(t, state) for t, _, state, _ in ranked(made)] == [(0, "finished"), (1, "failed")]
    assert "-9" in str(made.outcomes[1].problem)
    again = Sweep(Path("s"), [text], SMALL, grid)
    again.run()
    assert {o.trial: o.steps for o in again.outcomes} == {0: 10, 1: 1500}


def test_a_sweep_that_ends_early_ends_its_trainings_and_does_not_wait_for_them(text: str) -> None:
    limits = ({"max_steps": 1}, {"max_minutes": 0.5})
    settings = [{**dict(SMALL), "max_steps": None, "checkpoint_every": 10, **limit} for limit in limits]
    both = [Trial(i, Path(f"{i}"), [text], one, limits[i]) for i, one in enumerate(settings)]
    outcomes = Processes(2).outcomes(both)
    assert next(outcomes)[0].number == 0
    deadline = time.monotonic() + 20
    while not Path("1/last.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    outcomes.close()  # type: ignore[attr-defined]
    assert summary(Path("1")).state == "stopped"


def test_a_training_waits_for_an_earlier_process_to_leave_its_run_but_not_for_ever(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Trial(0, Path("r"), [text], dict(SMALL.replace(max_steps=2)), {"max_steps": 2})
    held = Run(Path("r"))
    held.begin()
    with monkeypatch.context() as patch:
        patch.setattr(trial, "RELEASE", 0.0)
        assert trial.outcome(one, 1) == {"state": "failed", "problem": "r: another training is at work there"}
    monkeypatch.setattr(time, "sleep", lambda seconds: held.unlock())
    told = trial.outcome(one, 1)
    assert isinstance(told, dict) and told["state"] == "finished"


def test_what_every_training_would_meet_ends_the_sweep(text: str) -> None:
    Path("short.txt").write_text("too short")
    with pytest.raises(CorpusError, match=r"short\.txt"):
        Sweep(Path("s"), ["short.txt"], SMALL, [{"seed": 1}]).run()
    with pytest.raises(CorpusError, match="nowhere"):
        Sweep(Path("u"), ["nowhere"], SMALL, [{"seed": 1}, {"seed": 2}]).run()
    assert not Path("u").exists()
    for words, corpus, settings, values in (
        ("val_frac", text, SMALL.replace(val_frac=0.0), {}),
        ("standard input", "-", SMALL, {}),
        ("tau", text, SMALL, {"truncation": "fixed"}),
    ):
        with pytest.raises(ConfigError, match=words):
            Sweep(Path("t"), [corpus], settings, [values])


def test_a_directory_of_other_things_or_another_sweep_is_left_alone(text: str) -> None:
    settings = SMALL.replace(max_steps=1)
    Sweep(Path("s"), [text], settings, [{"seed": 1}, {"seed": 2}]).run()
    for others in ([{"seed": 3}, {"seed": 4}], [{"seed": 1}]):
        with pytest.raises(ConfigError, match="s holds another sweep"):
            Sweep(Path("s"), [text], settings, others)
    with pytest.raises(ConfigError, match="holds other files"):
        Sweep(Path(), [text], SMALL, [{"seed": 1}])


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].update(validation="low"),
        lambda rows: rows[0].update(trial=7),
        lambda rows: rows[0].update(state="\x1b[31m"),  # which the table would give to the terminal
        lambda rows: rows[0].update(state=None),
        lambda rows: rows.append(3),
    ],
)
def test_a_sweep_whose_file_is_damaged_says_so(text: str, change: Any) -> None:
    plan = Sweep(Path("s"), [text], SMALL, [{"seed": 1}])._plan
    path = Path("s/sweep.json")
    path.parent.mkdir()
    rows = [asdict(Outcome(0, 0, "finished", 1.5, 3, 4, 0.5))]
    path.write_text(json.dumps({**plan, "outcomes": rows}))
    assert len(Sweep(Path("s"), [text], SMALL, [{"seed": 1}]).outcomes) == 1
    change(rows)
    path.write_text(json.dumps({**plan, "outcomes": rows}))
    with pytest.raises(CheckpointError, match=r"sweep\.json: damaged"):
        Sweep(Path("s"), [text], SMALL, [{"seed": 1}])


def test_the_command_prints_the_table_and_the_losses_by_setting(text: str) -> None:
    done = command("sweep", text, "--vary", "learning_rate=0.001,0.01", "--max-steps", "20", *FLAGS)
    assert done.code == 0, done.err
    table, bars = done.out.split("\n\n")
    assert table.splitlines()[0].split()[:2] == ["run", "learning_rate"]
    assert table.splitlines()[1].startswith("02") and "next: charrnn sample --ckpt runs/text-sweep/02" in done.err
    head, *values = bars.splitlines()
    assert head == "learning_rate  lowest loss; the longest bar is the best" and "█" in values[1]
    refused = command("sweep", text, "--vary", "hidden=8", "--hidden", "16")
    assert refused.code == 2 and "--hidden does not go with --vary hidden" in refused.err
    plan = Path("runs/text-sweep/sweep.json")
    told = json.loads(plan.read_text())
    problem = "step 12: the loss is nan; " + "a long story, " * 20 + "the end"
    told["outcomes"][0] |= {"state": "diverged", "problem": problem}
    plan.write_text(json.dumps(told))
    again = command("sweep", text, "--vary", "learning_rate=0.001,0.01", "--max-steps", "20", *FLAGS)
    assert again.code == 0 and f": {problem}\n" in again.out
    listed = command("runs")
    assert listed.code == 0
    assert listed.out == "runs/text-sweep: 2 runs, which charrnn runs runs/text-sweep lists\n"
    assert json.loads(command("runs", "--json").out) == {"runs": [], "sweeps": {"runs/text-sweep": 2}}
    long = f"runs/{'a-long-name-' * 10}sweep"
    Path("runs/text-sweep").rename(long)
    assert command("runs").out == f"{long}: 2 runs, which charrnn runs {long} lists\n"


def test_the_lowest_loss_of_each_value_has_a_bar_of_what_it_is_below_the_worst() -> None:
    assert lines("dropout", [("0.1", 2.0), ("0.1", 1.5), ("0.2", 1.0), ("0.3", 1.25)]) == [
        "dropout  lowest loss; the longest bar is the best",
        "    0.1  1.5000",
        f"    0.2  1.0000  {'█' * 40}",
        f"    0.3  1.2500  {'█' * 20}",
    ]
