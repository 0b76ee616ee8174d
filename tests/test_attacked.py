"""What an attack on the whole tool found, each by its claim."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn as command

import charrnn
from charrnn.errors import ConfigError, CorpusError, DivergedError
from charrnn.experiments.sweep import axes
from charrnn.network.parameters import Architecture, initial
from charrnn.training.settings import FIELDS
from charrnn.verify.explain import explain

TEXT = "the cat sat on the mat; a dog sat on the log.\n" * 20
SMALL: dict[str, Any] = dict(hidden=(4,), seq_length=10, batch_size=4, max_steps=4, threads=1)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return tmp_path


def model() -> charrnn.Model:
    return charrnn.Model(initial(Architecture(3, (4,)), np.random.default_rng(0)), "abc")


@pytest.mark.parametrize("key", ["unit", "normalize", "pieces", "val_frac", "val_file", "encoding"])
def test_trainings_on_different_texts_are_not_ranked(key: str) -> None:
    assert key in FIELDS
    with pytest.raises(ConfigError, match="losses on different texts cannot be ranked"):
        axes([f"{key}=a,b"])


def test_a_sweep_does_not_move_into_a_run(here: Path) -> None:
    charrnn.train("text.txt", out="R", **SMALL)
    before = sorted(path.name for path in Path("R").iterdir())
    done = command("sweep", "text.txt", "--vary", "hidden=3,4", "--max-steps", "2", "--out", "R")
    assert done.code == 2 and "R is a run; choose another directory" in done.err
    assert sorted(path.name for path in Path("R").iterdir()) == before


def test_an_interrupt_that_python_has_wrapped_is_an_interrupt() -> None:
    code = """
import sys
from charrnn.cli import main as line
class Descriptor:
    def __set_name__(self, owner, name):
        raise KeyboardInterrupt
def interrupted(*_, **__):
    class Made:
        descriptor = Descriptor()
line.app = interrupted
sys.argv = ["charrnn", "runs"]
line.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_a_request_to_save_before_a_training_has_begun_does_not_end_it() -> None:
    code = """
import os, signal, sys
sys.argv = ["charrnn", "--version"]
import charrnn.cli
class Late:
    def find_spec(self, name, path=None, target=None):
        if name == "charrnn.cli.main":
            os.kill(os.getpid(), signal.SIGUSR1)
sys.meta_path.insert(0, Late())
from charrnn.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, charrnn.__version__) and hasattr(signal, "SIGUSR1")


def test_a_text_of_one_symbol_has_a_gradient_of_zero_and_no_warning() -> None:
    made = explain("aaa")
    assert (made.error, made.loss, made.after) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.grown(None),
        lambda m: m.grown(1.5),
        lambda m: m.pieces(1, known=float),
        lambda m: charrnn.Model(None, "abc"),
        lambda m: charrnn.Model(m.parameters, "abc", None),
    ],
)
def test_a_wrong_argument_is_named_and_no_accident(call: Any) -> None:
    with pytest.raises((ConfigError, ValueError)):
        call(model())


def test_a_listener_that_is_no_function_is_refused_before_anything_is_made(here: Path) -> None:
    with pytest.raises(ConfigError, match="on_event"):
        charrnn.train("text.txt", on_event=True, **SMALL)  # type: ignore[arg-type]
    assert not Path("runs").exists()


def test_weights_that_are_not_finite_have_no_gradient() -> None:
    broken = model()
    broken.parameters["b_h1"][0] = np.nan
    with pytest.raises(DivergedError, match="not finite"):
        broken.gradient("abcab")


def test_an_empty_text_is_named_also_where_it_would_be_cut_into_pieces(here: Path) -> None:
    Path("empty.txt").write_text("")
    for flags in ([], ["--pieces", "lines"]):
        done = command("train", "empty.txt", *flags)
        assert done.code == 3 and done.err.startswith("error: empty.txt: the text is empty")
    Path("newlines.txt").write_text("\n" * 500)
    assert "the text holds none" in command("train", "newlines.txt", "--pieces", "lines").err


def test_a_text_that_has_been_moved_is_told_with_what_to_do(here: Path) -> None:
    charrnn.train("text.txt", out="runs/a", **SMALL)
    Path("text.txt").rename("moved.txt")
    with pytest.raises(CorpusError, match="is gone; restore it, or name it where it is now"):
        charrnn.resume("a", max_steps=6)
    assert charrnn.resume("a", "moved.txt", max_steps=6).steps == 6
    refused = command("train", "--resume", "a", "--unknown", "grow")
    assert refused.code == 2 and "--unknown does not go with --resume" in refused.err


def test_a_directory_that_has_the_name_of_a_recipe_does_not_hide_it(here: Path) -> None:
    Path("quick").mkdir()
    assert command("train", "text.txt", "--config", "quick", "--print-config").code == 0
