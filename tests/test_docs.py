"""The code that the documentation shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import charrnn

ROOT = Path(__file__).parents[1]
TEXT = "The cat sat on the mat; the dog sat on the log.\n" * 40


def snippets(path: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / path).read_text("utf-8"), re.S)


@pytest.fixture
def registries() -> Any:
    """Put back afterwards what the snippets add."""
    kinds = (charrnn.CELLS, charrnn.OPTIMIZERS, charrnn.SCHEDULES, charrnn.TRUNCATIONS)
    before = [list(kind) for kind in kinds]
    yield
    for kind, names in zip(kinds, before, strict=True):
        for name in set(kind) - set(names):
            del kind[name]


@pytest.mark.usefixtures("registries")
def test_what_the_architecture_page_adds_is_checked_and_trains(tmp_path: Path) -> None:
    from charrnn.network.truncation import truncation
    from charrnn.verify.gradcheck import gradcheck, small_problem

    own: dict[str, Any] = {"__name__": "snippet"}
    for code in snippets("docs/architecture.md"):
        exec(code, own)
    checks = [check for check in gradcheck(small_problem((4, 3), T=6, cell="scaled"), truncation("full", 6))]
    assert {"gamma_h1", "gamma_h2"} <= {check.parameter for check in checks} and all(check.passed for check in checks)
    (tmp_path / "corpus.txt").write_text(TEXT)
    result = charrnn.train(
        tmp_path / "corpus.txt",
        out=tmp_path / "run",
        cell="scaled",
        optimizer="sign",
        schedule="line",
        truncation="every_third",
        learning_rate=0.01,
        **dict(hidden=8, max_steps=30, batch_size=4, seq_length=12, threads=1),
    )
    assert (result.model.parameters["gamma_h1"] != 1).any()


def test_the_readme_trains_scores_samples_and_shows_surprise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt").write_text(TEXT)
    code = next(code for code in snippets("README.md") if "charrnn.train" in code)
    code = code.replace("max_steps=500", "max_steps=20, threads=1")
    exec(code, {"__name__": "snippet"})
    shown = capsys.readouterr().out
    assert "█" in shown and len(shown.splitlines()) > 10


def test_every_test_that_the_page_on_reliability_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text("utf-8")))
    there = {name for path in (ROOT / "tests").glob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert len(named) > 25 and named <= there


def test_the_readme_names_every_recipe() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert all(f"`{path.stem}`" in readme for path in (ROOT / "configs").glob("*.yaml"))
