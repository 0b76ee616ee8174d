"""The code and the commands that the documentation shows run as they stand there."""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest
from calls import charrnn as command

import charrnn
from charrnn.cli.commands import COMMANDS, load
from charrnn.training.settings import FIELDS  # whose help lists what is registered when it is imported

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
TEXT = "The cat sat on the mat; the dog sat on the log.\n" * 40
PLAY = "ROMEO:\nTo be, or not to be, that is the box.\n\nJULIET:\nWhy, stay and quickly leave me.\n\n" * 60
SHORT = ["--threads", "1", "--max-steps"]  # what a training is cut to, with a number
SMALL = ["--hidden", "8,8"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)


def text_of(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def snippets(path: str) -> list[str]:
    return [code for language, code in FENCED.findall(text_of(path)) if language == "python"]


def shown(path: str) -> set[str]:
    """Every command that a page names, in a block or in a line."""
    text = FENCED.sub("", text_of(path))
    blocks = re.findall(r"^ {4}(?:\$ )?(charrnn [a-z].*)$", text, re.M)
    return {*blocks, *(" ".join(line.split()) for line in re.findall(r"`(charrnn [a-z][^`]*)`", text))}


def run(path: str) -> list[str]:
    """Does what a page shows, in its order: the commands after a $, and the code. What each has printed."""
    printed, own = [], {"__name__": "snippet"}
    for line, code in re.findall(r"^    \$ (charrnn [^\n]*)$|^```python\n(.*?)^```$", text_of(path), re.S | re.M):
        if line.startswith("charrnn import net.pt"):  # needs PyTorch: tests/test_formats.py
            continue
        if line:
            words = shlex.split(line)[1:]
            if words[0] == "train":  # of a flag that is given twice, the last counts
                given = {"--resume", "--init-from"} & set(words)  # the network is there
                words += [*SHORT, "30"] if given else [*SHORT, "20", *SMALL]
            called = command(*words)
            assert called.code == 0, (line, called.err)
            printed.append(called.out + called.err)
        else:
            printed.append(done(code.replace("zeros(256)", "zeros(8)"), own))
    return printed


def done(code: str, own: dict[str, Any]) -> str:
    """What a piece of code has printed, which trains for a moment only."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(re.sub(r"max_steps=\d+", "max_steps=20, threads=1", code), own)
    return out.getvalue()


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


@pytest.mark.parametrize("name", ["commands.md", "python.md"])
def test_the_reference_is_what_commands_and_docstrings_say_now(name: str) -> None:
    made, written = runpy.run_path(str(ROOT / "docs/reference.py"))["page"](name), text_of(f"docs/{name}")
    assert made == written, "make reference"
    if name == "commands.md":
        assert all(f"\n## charrnn {command}\n" in written for command in COMMANDS)
        assert all(f"`--{key.replace('_', '-')}" in written for key in FIELDS)
    else:
        assert all(f"\n### {public}\n" in written for public in charrnn.__all__)
        methods = [method for method in vars(charrnn.Model) if not method.startswith("_")]
        public = [method for method in methods if method not in charrnn.Model.__dataclass_fields__]
        assert len(public) > 10 and all(f"\n#### Model.{method}" in written for method in public)


@pytest.mark.parametrize("path", PAGES)
def test_every_command_that_a_page_names_is_accepted_with_its_flags(path: str) -> None:
    for line in shown(path):
        name, *words = shlex.split(line, comments=True)[1:]
        assert name in COMMANDS, line
        if words and words != ["--help"]:  # more than the name of the command
            load(name).make_context(name, words)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the README's few lines do not close the text
@pytest.mark.parametrize(
    ("path", "least"), [("README.md", 10), ("docs/tutorial.md", 11), ("docs/python.md", 5), ("docs/faq.md", 6)]
)
def test_the_commands_and_the_code_of_a_page_run_in_their_order(
    path: str, least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/tinyshakespeare.txt").write_text(PLAY)
    Path("corpus.txt").write_text(TEXT)
    Path("names.txt").write_text("ada\ngrace\nalan\nkurt\n" * 40)
    Path("book.txt").write_text(PLAY)
    Path("small.txt").write_text(PLAY[:1500] + "à\n" * 20)
    runs = {"README.md": [("corpus.txt", "runs/other-run")], "docs/faq.md": [("book.txt", "runs/book")]}
    for text, out in runs.get(path, []):
        assert command("train", text, "--out", out, *SHORT, "20", *SMALL).code == 0
    printed = run(path)
    assert len(printed) >= least and all(printed)
    assert path != "README.md" or "█" in "".join(printed)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_cells_of_a_notebook_run_in_their_order(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads(path.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    own: dict[str, Any] = {"__name__": "notebook"}
    for cell in cells:
        printed = done("".join(cell["source"]).replace("[:200_000]", "[:20_000]"), own)
        assert bool(printed) == bool(cell["outputs"])  # what is stored is small, and of this very cell
    assert len(cells) > 3 and path.stat().st_size < 10_000


def test_make_torture_runs_every_file_whose_tests_have_a_long_form() -> None:
    scaled = {
        path.name
        for path in (ROOT / "tests").glob("test_*.py")
        if re.search(r"^from scale import (?!SEED$)", path.read_text("utf-8"), re.M)
    }
    recipe = re.search(r"^torture:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.M)
    assert recipe and len(scaled) >= 6 and scaled <= set(re.findall(r"tests/(test_\w+\.py)", recipe[1]))


def test_every_test_that_the_page_on_reliability_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", text_of("docs/reliability.md")))
    there = {name for path in (ROOT / "tests").glob("*.py") for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert len(named) > 25 and named <= there


def test_every_page_is_in_the_navigation() -> None:
    navigation = runpy.run_path(str(ROOT / "docs/conf.py"))["navigation"](text_of("docs/index.md"))
    listed = re.findall(r"^.* <(.*)>$", navigation, re.M)
    own = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    assert set(listed) == own | {"/README", "/CHANGELOG", "/CONTRIBUTING"} and len(listed) == len(set(listed))
    assert all(f"](notebooks/{path.name})" in text_of("docs/index.md") for path in NOTEBOOKS)


def anchors(path: Path) -> set[str]:
    """What can stand after a # in a link to a page: its headings, as GitHub and the site write them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, "CHANGELOG.md", *(f"docs/notebooks/{path.name}" for path in NOTEBOOKS)])
def test_every_link_between_pages_leads_somewhere(path: str) -> None:
    text = re.sub(r"`[^`]*`", "", FENCED.sub("", text_of(path)))
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        page = (ROOT / path).parent / name if name else ROOT / path
        assert page.exists() and (not anchor or anchor in anchors(page)), target


@pytest.mark.filterwarnings("ignore")  # those are of Sphinx and of what it uses
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_the_network(tmp_path: Path) -> None:
    build = pytest.importorskip("sphinx.cmd.build", reason="Sphinx is not installed").build_main
    assert build(["-q", "-W", "--keep-going", "-c", str(ROOT / "docs"), str(ROOT), str(tmp_path)]) == 0
    pages = [path.read_text("utf-8") for path in tmp_path.rglob("*.html")]
    styles = [path.read_text("utf-8") for path in (tmp_path / "_static").rglob("*.css")]
    assert len(pages) > 15 and "<math " in (tmp_path / "docs/mathematics.html").read_text("utf-8")
    loaded = r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"(?:https?:)?//"
    assert not any(re.search(loaded, page) for page in pages)
    assert not any(re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style) for style in styles)


def test_the_readme_names_every_recipe() -> None:
    readme = text_of("README.md")
    assert all(f"`{path.stem}`" in readme for path in (ROOT / "configs").glob("*.yaml"))
