"""The command line before a command runs: names, help, flags."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from calls import charrnn

from charrnn.cli.commands import COMMANDS, load
from charrnn.training.settings import FIELDS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_holds_the_first_sentence_of_each(name: str) -> None:
    module, sentence, _ = COMMANDS[name]
    words = " ".join((inspect.getdoc(getattr(import_module(f"charrnn.cli.{module}"), module)) or "").split())
    assert re.split(r"(?<=\.) ", words)[0] == sentence


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_needs_neither_numpy_nor_pydantic_nor_any_command(argument: str) -> None:
    program = (
        "import sys\n"
        "sys.argv[1:] = [%r]\n"
        "from charrnn.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'numpy', 'pydantic', 'yaml', 'charrnn.training', 'charrnn.cli.train', 'charrnn.cli.sample'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", program % argument], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_lists_every_command_with_its_sentence() -> None:
    words = " ".join(charrnn("--help").out.split())
    assert all(f"{name} {sentence}" in words for name, (_, sentence, _) in COMMANDS.items())
    assert charrnn().out == charrnn("-h").out == charrnn("--help").out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_own_help(name: str) -> None:
    for option in ("-h", "--help"):
        done = charrnn(name, option)
        assert (done.code, done.err) == (0, "") and done.out.startswith(f"Usage: charrnn {name} ")


def test_a_misspelt_command_is_told_the_near_name() -> None:
    done = charrnn("smaple")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: No such command 'smaple'. Did you mean 'sample'?; charrnn --help lists what there is\n"


def test_every_setting_has_its_flag_with_help_in_the_section_of_its_panel() -> None:
    flags = {option for parameter in load("train").params for option in parameter.opts}
    assert {f"--{name.replace('_', '-')}" for name in FIELDS} <= flags
    section, places = "", {}
    for line in charrnn("train", "--help").out.splitlines():
        if re.fullmatch(r"\w.*:", line):
            section = line[:-1]
        elif match := re.match(r"  (--[a-z-]+) ", line):
            places[match[1]] = section
    for name, field in FIELDS.items():
        assert places[f"--{name.replace('_', '-')}"] == field.json_schema_extra["panel"]  # type: ignore[index,call-overload]
        assert field.description
    assert places["--config"] == "Options"


def test_a_wrong_flag_is_named_as_it_is_typed() -> None:
    done = charrnn("train", "x", "--seq-length", "0")
    assert (done.code, done.err) == (2, "error: --seq-length '0': must be a whole number of at least 1\n")
    done = charrnn("train", "x", "--max-steps", "9" * 400)
    assert done.code == 2 and re.fullmatch(r"error: --max-steps '9+… \(402 characters\): must be [^\n]+\n", done.err)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_of_a_help_is_accepted_by_its_command_and_fits_the_help(name: str) -> None:
    shown = charrnn(name, "--help").out
    for line, meaning in COMMANDS[name].examples:
        program, command, *arguments = shlex.split(line)
        assert (program, command) == ("charrnn", name)
        load(name).make_context(name, arguments)
        assert line in shown and meaning.split()[0] in shown
    assert COMMANDS[name].examples and max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    "words, completed",
    [("charrnn sa", "sample"), ("charrnn sample --top", "--top-k\n--top-p"), ("charrnn sample --ckpt bo", "book")],
)
def test_a_shell_completes_commands_flags_and_the_names_of_runs(tmp_path: Path, words: str, completed: str) -> None:
    for name in ("book", "poems"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "last.npz").touch()
    asked = {"_CHARRNN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [sys.executable, "-c", "from charrnn.cli.main import main; main()"]
    environment = {**os.environ, **asked, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == (completed, "")


@pytest.mark.parametrize(
    "command, typed, meant",
    [
        ("train", "--lr", "--learning-rate"),
        ("train", "--bs", "--batch-size"),
        ("train", "--rate", "--learning-rate"),
        ("train", "--max", "--max-steps or --max-minutes"),
        ("train", "--num_layers", "--hidden"),
        ("sample", "--temp", "--temperature"),
        ("sample", "--tokens", "--length"),
    ],
)
def test_an_unknown_flag_is_answered_with_the_one_that_is_meant(command: str, typed: str, meant: str) -> None:
    answer = charrnn(command, typed, "3")
    assert answer.code == 2 and answer.err.startswith(f"error: No such option: {typed} (did you mean {meant}?)")


def test_an_unknown_flag_that_resembles_none_is_answered_with_none() -> None:
    answer = charrnn("train", "--xyzzy", "3")
    assert answer.code == 2 and answer.err.startswith("error: No such option: --xyzzy; ")
