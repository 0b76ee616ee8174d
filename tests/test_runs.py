"""Runs are found by path, by name or as the newest good one; samples say what cannot be."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn as command
from hostile_checkpoints import ESCAPE, changed, metadata_with

import charrnn
from charrnn.errors import CheckpointError, ConfigError, DivergedError
from charrnn.registry import CELLS
from charrnn.training.run import Run
from charrnn.training.runs import find, newest, summaries, summary

TEXT = "the cat sat on the mat; a dog sat on the log.\n" * 40
SMALL: dict[str, Any] = dict(hidden=(8, 6), seq_length=10, batch_size=4, eval_every=20, max_steps=40, threads=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with text.txt and the run runs/text, of 40 steps."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "text.txt").write_text(TEXT)
    charrnn.train(directory / "text.txt", out=directory / "runs" / "text", **SMALL)
    return directory


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of `trained`, whose run was written at second 1,000."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    aged(tmp_path / "runs" / "text", 1000)
    return tmp_path


def aged(run: Path, second: int) -> None:
    """Dates the checkpoints of a run."""
    for path in run.glob("*.npz"):
        os.utime(path, (second, second))


def added(name: str, second: int) -> Path:
    """A copy of runs/text under another name, written at `second`."""
    run = Path("runs") / name
    shutil.copytree("runs/text", run)
    aged(run, second)
    return run


def test_what_a_terminal_obeys_does_not_come_out_of_the_settings_of_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    for name in ("best.npz", "last.npz"):
        content = changed(metadata_with(settings={"unit": ESCAPE, "pieces": ESCAPE}))
        (tmp_path / "runs" / "a" / name).write_bytes(content)
    done = command("runs", str(tmp_path / "runs"))
    assert (done.code, done.err) == (0, "") and done.out.replace("\n", "").isprintable() and "2,4" in done.out


def test_a_summary_says_what_the_run_holds(here: Path) -> None:
    run = summary(Path("runs/text"))
    rows = [json.loads(line) for line in Path("runs/text/metrics.jsonl").read_text().splitlines()]
    assert (run.state, run.cell, run.hidden, run.steps, run.written) == ("finished", "rnn", (8, 6), 40, 1000)
    assert run.validation == min(row["validation"] for row in rows if "validation" in row)
    d = len(set(TEXT))
    assert run.parameters == d * 8 + 8 * 8 + 8 + 8 * 6 + 6 * 6 + 6 + 6 * d + d


@pytest.mark.parametrize("limit", [{"max_steps": 20}, {"epochs": 0.5}, {"max_minutes": 1e-9}, {"patience": 1}])
def test_a_run_at_any_limit_of_its_own_is_finished(tmp_path: Path, limit: dict[str, Any]) -> None:
    (tmp_path / "t").write_text(TEXT)
    rate = {"learning_rate": 1e-12, "warmup_steps": 0} if "patience" in limit else {}
    charrnn.train(
        tmp_path / "t", out=tmp_path / "run", **{**SMALL, "max_steps": 10**6, "eval_every": 5, **rate, **limit}
    )
    assert summary(tmp_path / "run").state == "finished"


def test_the_states_of_a_run_are_told_apart(here: Path) -> None:
    for name, events in (("untrained", 1), ("stopped", 22)):
        left = iter(range(events))
        with pytest.raises(StopIteration):
            charrnn.train("text.txt", out=f"runs/{name}", on_event=lambda _, left=left: next(left), **SMALL)
    (added("damaged", 1) / "best.npz").write_bytes(b"PK")
    with pytest.raises(DivergedError):
        charrnn.train("text.txt", out="runs/diverged", optimizer="sgd", learning_rate=1e12, grad_clip=0, **SMALL)
    busy = Run(added("training", 1))
    busy.lock()
    try:
        states = {run.path.name: run.state for run in summaries()}
    finally:
        busy.unlock()
    names = ("damaged", "diverged", "stopped", "training", "untrained")
    assert states == {**{name: name for name in names}, "text": "finished"}
    assert summary(Path("runs/training")).state == "finished"  # it is at work no more


def test_a_run_that_diverged_and_is_resumed_has_diverged_no_more(here: Path) -> None:
    charrnn.train("text.txt", out="runs/a", **{**SMALL, "max_steps": 20})
    Run(Path("runs/a")).note_divergence(21)
    assert summary(Path("runs/a")).state == "diverged"
    charrnn.resume("a", max_steps=40)
    assert summary(Path("runs/a")).state == "finished"


def test_a_run_is_meant_by_directory_name_checkpoint_or_nothing(here: Path) -> None:
    expected = charrnn.load("runs/text").parameters.vector
    for what in (Path("runs/text"), "text", here / "runs" / "text", "runs/text/best.npz", None):
        np.testing.assert_array_equal(charrnn.load(what).parameters.vector, expected)
    Path("text").write_text("a text of the run's name")
    assert find("text") == Path("runs/text")
    Path("runs/broken.npz").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match=r"broken\.npz: it is not a zip file"):
        charrnn.load("runs/broken.npz")
    for wrong, words in (("txt", r"did you mean runs/text\?"), (".", "a directory without a checkpoint")):
        with pytest.raises(CheckpointError, match=words):
            find(wrong)


def test_the_newest_good_run_is_neither_diverged_nor_untrained_nor_damaged(here: Path) -> None:
    added("old", 10)
    Run(added("diverged", 2000)).note_divergence(41)
    (added("damaged", 2001) / "last.npz").write_bytes(b"PK")
    aged(Path("runs/damaged"), 2001)
    with pytest.raises(KeyboardInterrupt):
        charrnn.train("text.txt", out="runs/untrained", on_event=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    run, passed_over = newest()
    assert run.path == Path("runs/text")
    assert [other.state for other in passed_over] == ["untrained", "damaged", "diverged"]
    said = command("sample", "--length", "3").err
    loss = f"(validation {run.validation:.4f} nats)"
    assert said.startswith(f"using runs/text, the newest good run {loss}; newer: runs/untrained is untrained, ")
    shutil.rmtree("runs/untrained")
    shutil.rmtree("runs/damaged")
    shutil.rmtree("runs/diverged")
    assert command("sample", "--length", "3").err == f"using runs/text, the newest run {loss}\n"


def test_without_a_good_run_it_is_said_what_there_is(here: Path) -> None:
    Run(Path("runs/text")).note_divergence(41)
    done = command("sample")
    assert done.code == 3 and "runs/text is diverged" in done.err and "--ckpt" in done.err
    shutil.rmtree("runs")
    assert "runs: no run here" in command("sample").err
    with pytest.raises(CheckpointError, match="no run here; train one") as caught:
        charrnn.load()
    assert "--" not in str(caught.value)


def test_runs_lists_every_run_as_table_and_json(here: Path) -> None:
    added("[red]older", 10)
    table = command("runs").out.splitlines()
    assert [line.split()[0] for line in table] == ["name", "text", "[red]older"]
    row = table[1]
    assert "rnn 8,6" in row and row.rstrip().endswith("finished") and all(len(line) <= 80 for line in table)
    rows = json.loads(command("runs", "--json").out)["runs"]
    assert rows[0]["name"] == "text" and rows[0]["steps"] == 40 and rows[0]["age_seconds"] > 10**6
    assert rows[0]["validation_bits"] == pytest.approx(rows[0]["validation_nats"] / math.log(2))
    assert [r["name"] for r in json.loads(command("runs", "runs/text", "--json").out)["runs"]] == ["text"]
    assert command("runs", "nowhere").code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "text", "--length", "3"],
        ["sample", "--ckpt", "text", "--length", "3"],
        ["sample", "runs/text/last.npz", "--length", "3"],
        ["inspect", "text", "--lags", "3"],
        ["inspect", "runs/text", "--lags", "3"],
        ["inspect", "text.txt", "--ckpt", "text", "--lags", "3"],
        ["gradcheck", "text", "--truncation", "full"],
        ["gradcheck", "--ckpt", "runs/text", "--truncation", "full"],
        ["eval", "text.txt", "--ckpt", "text"],
        ["train", "--resume", "text"],
        ["train", "text.txt", "--init-from", "text", "--max-steps", "1", "--seq-length", "9"],
    ],
)
def test_every_command_takes_a_run_by_name(here: Path, arguments: list[str]) -> None:
    done = command(*arguments)
    assert done.code == 0, done.err
    assert "the newest" not in done.err


def test_inspect_takes_a_file_for_a_text_although_a_run_has_its_name(here: Path) -> None:
    Path("text").write_text("Z" + TEXT)
    assert "'Z' (U+005A)" in command("inspect", "text").err


def test_a_prompt_in_the_place_of_a_run_is_told_its_flag(here: Path) -> None:
    for words, advice in (
        (["ROMEO:"], "charrnn sample --prompt ROMEO:\n"),
        (["to", "be"], "charrnn sample --prompt 'to be'\n"),
        (["text.txt"], "charrnn sample --prompt-file text.txt\n"),
    ):
        done = command("sample", *words)
        assert done.code == 2 and done.err.endswith(advice)
    assert command("sample", "text", "--ckpt", "text").code == 2


def test_a_sample_ends_at_the_first_of_several_stops(here: Path) -> None:
    free = command("sample", "text", "--length", "200", "--seed", "1").out[:-1]

    def stopped(*stops: str) -> str:
        flags = [word for stop in stops for word in ("--stop", stop)]
        return command("sample", "text", "--length", "200", "--seed", "1", *flags).out[:-1]

    for places in ((30, 60), (60, 30), (10, 120)):
        stops = [free[place : place + 3] for place in places]
        ends = [free.index(stop) + len(stop) for stop in stops]
        assert stopped(*(stop.replace("\n", r"\n") for stop in stops)) == free[: min(ends)]
    model = charrnn.load("text")
    assert model.sample(200, seed=1, stop=["a", "t"]) == model.samples(1, 200, seed=1, stop=["a", "t"])[0]


def test_a_stop_has_escapes_for_what_a_shell_cannot_type_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t").write_text("a\tb\\n\n" * 100)
    charrnn.train("t", out="runs/t", **{**SMALL, "max_steps": 1})
    for flag, stop in ((r"\t", "\t"), (r"\n", "\n"), (r"\\n", "\\n"), (r"a\b", None)):
        done = command("sample", "t", "--length", "2000", "--seed", "1", "--temperature", "1", "--stop", flag)
        if stop is not None:
            assert done.out[:-1].endswith(stop) and done.out[:-1].count(stop) == 1
        else:
            assert done.code == 0


def test_a_stop_that_can_never_come_is_an_error(here: Path) -> None:
    done = command("sample", "text", "--stop", "Ω")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1) and "'Ω' (U+03A9)" in done.err
    for wrong in ("Ω", ["a", "aΩ"], "", [""]):
        with pytest.raises(ConfigError, match="stop"):
            charrnn.load("text").sample(5, stop=wrong)
        with pytest.raises(ConfigError, match="stop"):
            charrnn.load("text").samples(2, 5, stop=wrong)


def test_the_newline_of_echo_is_no_part_of_a_prompt(here: Path) -> None:
    def text(stdin: bytes) -> str:
        return command("sample", "text", "--greedy", "--length", "9", "--prompt-file", "-", stdin=stdin).out

    expected = command("sample", "text", "--greedy", "--length", "9", "--prompt", "the").out
    assert text(b"the") == text(b"the\n") == text(b"the\r\n") == expected
    assert text(b"the\n\n").startswith("the\n")


def test_a_prompt_with_line_ends_of_windows_is_read_by_a_model_that_knows_none(here: Path) -> None:
    Path("p").write_bytes(b"the cat\r\nthe")
    done = command("sample", "text", "--greedy", "--length", "9", "--prompt-file", "p")
    assert done.out == command("sample", "text", "--greedy", "--length", "9", "--prompt", "the cat\nthe").out


@pytest.mark.parametrize("flags", [["--greedy"], ["--top-k", "1"]])
def test_samples_that_would_be_the_same_text_are_printed_once_and_said_so(here: Path, flags: list[str]) -> None:
    once = command("sample", "text", "--length", "9", *flags)
    thrice = command("sample", "text", "--length", "9", "--num-samples", "3", *flags)
    assert thrice.out == once.out and once.err == ""
    assert thrice.err.count("\n") == 1 and "same text" in thrice.err


def test_samples_are_separated_by_one_empty_line_even_where_they_end_with_a_line(here: Path) -> None:
    flags = ["--length", "400", "--num-samples", "4", "--seed", "1", "--prompt", "the"]
    done = command("sample", "text", *flags, "--stop", r"\n")
    expected = charrnn.load("text").samples(4, 400, "the", seed=1, temperature=0.8, stop="\n")
    assert all(text.endswith("\n") for text in expected)
    assert done.out == "\n".join(f"the{text}" for text in expected)


@pytest.mark.parametrize("arguments", [["--prompt", "caf\udce9"], ["--stop", "\udce9"]])
def test_bytes_that_are_no_utf8_in_an_argument_are_one_line(here: Path, arguments: list[str]) -> None:
    done = command("sample", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1) and "byte 0xe9" in done.err


def test_a_run_of_a_few_updates_is_the_newest_only_if_there_is_no_other(here: Path) -> None:
    charrnn.train("text.txt", out="runs/trained", **{**SMALL, "max_steps": 100})
    charrnn.train("text.txt", out="runs/toy", **{**SMALL, "max_steps": 3})
    aged(Path("runs/trained"), 2000)
    aged(Path("runs/toy"), 2001)
    run, passed_over = newest()
    assert run.path == Path("runs/trained") and [other.path for other in passed_over] == [Path("runs/toy")]
    assert "newer: runs/toy made 3 updates\n" in command("sample", "--length", "3").err
    shutil.rmtree("runs/trained")
    assert newest() == (summary(Path("runs/toy")), [])


def test_a_run_with_a_cell_that_is_not_registered_here_is_passed_over_and_says_what_it_lacks(
    here: Path,
) -> None:
    good = newest()[0]
    CELLS["mine"] = CELLS["rnn"]
    charrnn.train("text.txt", out="runs/mine", **{**SMALL, "cell": "mine"})
    assert newest()[0].path == Path("runs/mine")
    del CELLS["mine"]
    run, passed_over = newest()
    assert run.path == good.path and [(other.path.name, other.state) for other in passed_over] == [("mine", "foreign")]
    with pytest.raises(CheckpointError, match=r"cell 'mine'.*import the module that registers it"):
        charrnn.load("mine")


def test_a_run_cannot_be_resumed_to_fewer_steps_than_it_has_made(here: Path) -> None:
    before = {path.name: path.read_bytes() for path in Path("runs/text").iterdir() if path.is_file()}
    done = command("train", "--resume", "text", "--max-steps", "30")
    assert (done.code, done.err) == (2, "error: --max-steps 30: the run has made 40 steps; give more\n")
    with pytest.raises(ConfigError, match=r"^epochs 0\.5: the run has made 0\.98 epochs; give more"):
        charrnn.resume("text", epochs=0.5)
    assert {path.name: path.read_bytes() for path in Path("runs/text").iterdir() if path.is_file()} == before


def test_a_longer_run_says_that_its_learning_rate_rises_and_an_unchanged_one_says_nothing(here: Path) -> None:
    charrnn.train("text.txt", out="runs/half", **{**SMALL, "max_steps": 20})
    said = command("train", "--resume", "half", "--max-steps", "80", "--no-yardsticks").err
    rates = [row["learning_rate"] for row in Run(Path("runs/half")).metrics()]
    assert "the schedule spans the run's new length: the learning rate is now" in said
    assert rates[1] > rates[0]
    assert "learning rate" not in command("train", "--resume", "half", "--no-yardsticks").err
    charrnn.train("text.txt", out="runs/flat", **{**SMALL, "max_steps": 20, "schedule": "constant"})
    assert "learning rate" not in command("train", "--resume", "flat", "--max-steps", "40", "--no-yardsticks").err


@pytest.mark.parametrize("given, said", [({"activation": "tanh"}, '"tanh"'), ({"hidden": (256, 256)}, "256,256")])
def test_a_setting_that_is_given_is_not_taken_for_left_out_because_it_is_the_default(
    here: Path, given: dict[str, Any], said: str
) -> None:
    charrnn.train("text.txt", out="runs/relu", **{**SMALL, "activation": "relu"})
    with pytest.raises(ConfigError, match=f"{next(iter(given))} {said}: the checkpoint .* has"):
        charrnn.train("text.txt", out="runs/new", init_from="relu", max_steps=1, seq_length=9, **given)
    taken = charrnn.train("text.txt", out="runs/new", init_from="relu", max_steps=1, seq_length=9)
    assert taken.model.architecture.activation == "relu"


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["train", "text"], 2, "text: a run, not a text; go on with it: charrnn train --resume text"),
        (["train", "runs/text"], 2, "a run, not a text; go on with it: charrnn train --resume runs/text"),
        (["train", "quick"], 2, "a recipe is given as --config quick"),
        (["train", "text.txt", "64"], 2, "several widths are one word, as in: --hidden 128,64"),
        (["eval", "text.txt", "text.txt"], 2, "name it, and the run with --ckpt"),
        (["sample", "shakespeare"], 2, "no run in runs/ here; for a text to go on from, type: charrnn sample --prompt"),
    ],
)
def test_a_word_in_the_wrong_place_is_told_where_it_belongs(
    here: Path, arguments: list[str], code: int, words: str
) -> None:
    done = command(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1) and words in done.err, done.err


def test_a_run_and_a_text_may_stand_side_by_side(here: Path) -> None:
    Path("other.txt").write_text("the dog sat on the mat.\n" * 5)
    for name in ("eval", "inspect"):
        flags = [] if name == "eval" else ["--lags", "3"]
        pair = command(name, "text", "other.txt", *flags)
        assert pair.code == 0 and pair.out == command(name, "other.txt", "--ckpt", "text", *flags).out


def test_the_temperature_0_is_greedy(here: Path) -> None:
    cold = command("sample", "text", "--temperature", "0", "--length", "30")
    assert cold.out == command("sample", "text", "--greedy", "--length", "30").out and cold.code == 0


def test_runs_takes_the_name_of_one(here: Path) -> None:
    assert command("runs", "text").out == command("runs", "runs/text").out
