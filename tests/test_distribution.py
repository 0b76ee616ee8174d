"""Wheel and sdist: what they hold, and that anyone who builds them gets the same bits; the name they are known by."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from charrnn import __version__
from charrnn.extras import DISTRIBUTION, install

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAME = f"{DISTRIBUTION.replace('-', '_')}-{__version__}"
SDIST, WHEEL = f"{NAME}.tar.gz", f"{NAME}-py3-none-any.whl"


def built(source: Path, into: Path) -> Path:
    """The directory with both archives, built in a process of its own as `python -m build` does."""
    program = "import sys, hatchling.build as b; b.build_sdist(sys.argv[1]); b.build_wheel(sys.argv[1])"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run([sys.executable, "-c", program, str(into)], cwd=source, env=environment, check=True)
    return into


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(ROOT, tmp_path_factory.mktemp("first"))


def files(folder: str) -> set[str]:
    """The files in a folder of the repository, links followed, but for what Python leaves there."""
    found = (Path(where) / name for where, _, names in os.walk(ROOT / folder, followlinks=True) for name in names)
    return {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}


def test_both_archives_are_built_and_no_other(archives: Path) -> None:
    assert {path.name for path in archives.iterdir()} == {SDIST, WHEEL}


def test_the_sdist_gives_both_archives_again_bit_for_bit_whatever_times_and_modes_its_files_have(
    archives: Path, tmp_path: Path
) -> None:
    with tarfile.open(archives / SDIST) as archive:
        archive.extractall(tmp_path, filter="data")
    for path in (tmp_path / NAME).rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            os.utime(path, (1e9, 1e9))
    (tmp_path / "again").mkdir()
    again = built(tmp_path / NAME, tmp_path / "again")
    for name in (SDIST, WHEEL):
        assert (again / name).read_bytes() == (archives / name).read_bytes(), name


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(archives: Path) -> None:
    with zipfile.ZipFile(archives / WHEEL) as wheel:
        names = {name for name in wheel.namelist() if not name.startswith(f"{NAME}.dist-info/")}
        told = wheel.read(f"{NAME}.dist-info/METADATA").decode()
        commands = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
    assert names == files("charrnn")
    assert {"charrnn/py.typed", "charrnn/configs/quick.yaml", "charrnn/formats/template/page.html"} <= names
    assert f"\nName: {DISTRIBUTION}\nVersion: {__version__}\n" in told
    assert commands.split() == ["[console_scripts]", "charrnn", "=", "charrnn.__main__:main"]


def test_the_sdist_holds_the_tests_and_what_they_read(archives: Path) -> None:
    with tarfile.open(archives / SDIST) as archive:
        held = {member.name.removeprefix(f"{NAME}/"): member for member in archive.getmembers()}
    assert all(member.isfile() and not member.uid and not member.uname for member in held.values())
    scripts = {name for name in files("data") if name.endswith(".py")}
    whole = {name for folder in ("charrnn", "configs", "docs", "fuzz", "tests") for name in files(folder)} | scripts
    assert whole <= set(held)
    assert {"Makefile", "README.md", "CHANGELOG.md", "LICENSE", "constraints.txt", "pyproject.toml"} <= set(held)
    assert not any(name.startswith(("runs/", "dist/", "build/", ".venv/", ".git/")) for name in held)


def test_advice_to_install_an_extra_names_the_distribution_and_an_extra_that_it_has() -> None:
    assert PROJECT["name"] == DISTRIBUTION and install("mpi") == "pip install 'charrnn-bptt[mpi]'"
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    written = re.findall(r"\b(charrnn[\w-]*)\[(\w+)\]", "".join(page.read_text("utf-8") for page in pages))
    assert written and {name for name, _ in written} == {DISTRIBUTION}
    code = "".join(path.read_text("utf-8") for path in (ROOT / "charrnn").rglob("*.py"))
    named = set(re.findall(r"\binstall\('(\w+)'\)", code)) | set(re.findall(r'\bneeded\("[\w.]+", "(\w+)"', code))
    assert {"bench", "grapheme", "mpi", "onnx", "torch"} <= named
    assert named | {extra for _, extra in written} <= set(PROJECT["optional-dependencies"])
