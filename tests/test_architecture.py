"""Imports run one way, downwards: each room may import those of the floors below it, and none beside or above it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The rooms of the package, floor by floor from the ground; the order of docs/architecture.md.
ORDER = [
    ["errors"],
    ["registry", "blas", "arguments", "extras", "interrupts"],
    ["storage"],
    ["text", "network"],
    ["engine", "inference", "verify"],
    ["model"],
    ["training"],
    ["report", "formats"],
    ["experiments", "bench"],
    ["cli"],
    ["__main__"],
]
# The package itself says where its public names are, and imports them when they are asked for.
EVERYTHING = {room for floor in ORDER for room in floor}
MAY_IMPORT = {
    room: {below for floor in ORDER[:i] for below in floor} for i, rooms in enumerate(ORDER) for room in rooms
}
MAY_IMPORT |= {"__init__": EVERYTHING, "network": {"errors", "registry", "blas", "arguments", "extras"}}


def import_statements(tree: ast.AST, *, deferred: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """All import statements; without `deferred` only those that run when the module is loaded."""
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not deferred and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif (
            not deferred
            and isinstance(node, ast.If)
            and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        ):
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def imported_names(statement: ast.Import | ast.ImportFrom, package: list[str]) -> list[str]:
    """The absolute dotted names that a statement in a module of `package` may load."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = package[: len(package) + 1 - statement.level] if statement.level else []
    source = ".".join([*base, *([statement.module] if statement.module else [])])
    return [f"{source}.{alias.name}" for alias in statement.names]


def violations(root: Path) -> list[str]:
    """Each forbidden import under root/charrnn as `path:line: what is wrong`."""
    found = []
    for path in sorted((root / "charrnn").rglob("*.py")):
        relative = path.relative_to(root)
        room = relative.with_suffix("").parts[1]
        where = relative.as_posix()
        if room not in MAY_IMPORT:
            found.append(f"{where}:1: {room} is not a room of the package")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        package = list(relative.parent.parts)
        for statement in import_statements(tree, deferred=True):
            for name in imported_names(statement, package):
                top, _, rest = name.partition(".")
                target = rest.partition(".")[0]
                # Everyone may ask for the version.
                if top != "charrnn" or target in ("", "__version__", room):
                    continue
                if target not in MAY_IMPORT[room]:
                    found.append(f"{where}:{statement.lineno}: {room} must not import {target}")
        if room == "cli":
            for statement in import_statements(tree, deferred=False):
                names = imported_names(statement, package)
                if any(name.partition(".")[0] == "numpy" for name in names):
                    found.append(f"{where}:{statement.lineno}: numpy at the top slows down --help")
    return found


def test_no_import_runs_back_up() -> None:
    found = violations(ROOT)
    assert not found, "\n".join(found)


def test_the_command_line_loads_without_numpy() -> None:
    program = "import sys, charrnn.cli.main; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("errors.py", "import charrnn.text", "1: errors must not import text"),
        ("inference/scoring.py", "import charrnn.verify", "1: inference must not import verify"),
        ("model.py", "import charrnn.training.loop", "1: model must not import training"),
        ("text/corpus.py", "from charrnn.network import loss", "1: text must not import network"),
        ("network/loss.py", "import charrnn.text.batches", "1: network must not import text"),
        ("network/loss.py", "from charrnn import text", "1: network must not import text"),
        ("network/loss.py", "from .. import inference", "1: network must not import inference"),
        ("network/__init__.py", "from ..cli import main", "1: network must not import cli"),
        ("inference/sampling.py", "from ..training.settings import Settings", "1: inference must"),
        (
            "training/loop.py",
            "def f():\n    import charrnn.cli.main",
            "2: training must not import",
        ),
        (
            "text/corpus.py",
            "if TYPE_CHECKING:\n    from charrnn.training import loop",
            "2: text must not import training",
        ),
        ("cli/eval.py", "import numpy as np", "1: numpy at the top"),
        ("cli/eval.py", "try:\n    from numpy import linalg\nexcept ImportError: ...", "2: numpy"),
        ("models/gru.py", "", "1: models is not a room"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, path: str, source: str, complaint: str) -> None:
    module = tmp_path / "charrnn" / path
    module.parent.mkdir(parents=True)
    module.write_text(source, encoding="utf-8")
    (found,) = violations(tmp_path)
    assert found.startswith(f"charrnn/{path}:{complaint}")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("__main__.py", "from charrnn.cli.main import main"),
        ("network/loss.py", "import numpy as np\nfrom . import stack\nfrom ..errors import X"),
        ("training/loop.py", "from charrnn import __version__, errors, inference, text"),
        ("cli/train.py", "import charrnn.training.loop\ndef f():\n    import numpy"),
        ("cli/train.py", "if TYPE_CHECKING:\n    import numpy"),
    ],
)
def test_an_import_downwards_is_allowed(tmp_path: Path, path: str, source: str) -> None:
    module = tmp_path / "charrnn" / path
    module.parent.mkdir(parents=True)
    module.write_text(source, encoding="utf-8")
    assert violations(tmp_path) == []


def test_no_room_but_storage_writes_files() -> None:
    writes = {"write_text", "write_bytes", "fdopen", "savez", "save_text"}
    found = []
    for path in sorted((ROOT / "charrnn").rglob("*.py")):
        if "storage" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            modes = [a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant)]
            # Standard streams that were closed are replaced by os.devnull.
            to_nowhere = "devnull" in ast.unparse(node)
            opens = name == "open" and any(mode in ("w", "wb", "a", "ab", "x", "xb", "r+", "r+b") for mode in modes)
            if (name in writes or opens) and not to_nowhere:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:60]}")
    assert not found, "\n".join(found)


def test_no_flag_is_named_outside_the_command_line() -> None:
    found = []
    for path in sorted((ROOT / "charrnn").rglob("*.py")):
        if "cli" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.search(r"(^|[ `])--[a-z]", node.value)
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value[:60]}")
    assert not found, "\n".join(found)
