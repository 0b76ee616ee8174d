"""Several ranks of MPI: the bits of one process, one voice, one end.

What needs mpi4py and mpiexec is skipped where one is missing; with CHARRNN_REQUIRE_MPI=1 it fails.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from calls import charrnn
from killed import bits

from charrnn.cli.ranks import LAUNCHERS

TESTS = Path(__file__).parent
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
MISSING = importlib.util.find_spec("mpi4py") is None or MPIEXEC is None
needs_mpi = pytest.mark.skipif(
    MISSING and os.environ.get("CHARRNN_REQUIRE_MPI") != "1", reason="mpi4py or mpiexec is not installed"
)
CHARRNN = ("-m", "charrnn")
SMALL = """
hidden: 8,6
seq_length: 10
batch_size: 9
shards: 5
eval_every: 25
checkpoint_every: 7
max_steps: 60
threads: 1
dropout: 0.2
"""
# So that Open MPI starts more ranks than there are cores, and as root, as in a container.
OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def started(ranks: int, *arguments: object, program: tuple[object, ...] = CHARRNN) -> subprocess.Popen[str]:
    """Python with these arguments, by so many ranks; without mpiexec if there is one."""
    launcher = [str(MPIEXEC), "-n", str(ranks)] if ranks > 1 else []
    path = os.pathsep.join((str(TESTS.parent), str(TESTS)))
    return subprocess.Popen(
        [*launcher, sys.executable, "-W", "error", *map(str, (*program, *arguments))],
        env={**os.environ, **OPEN_MPI, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def two_ranks(first: list[str], second: list[str]) -> subprocess.Popen[str]:
    """A launch of which each rank runs a command of its own."""
    return subprocess.Popen(
        [str(MPIEXEC), "-n", "1", *first, ":", "-n", "1", *second],
        env={**os.environ, **OPEN_MPI, "PYTHONPATH": str(TESTS.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str, str]:
    """Its exit code, and what it wrote; TimeoutExpired, with all of it killed, if it hangs."""
    with process:
        try:
            out, said = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, out, said


def own(said: str) -> list[str]:
    """The lines of charrnn's errors, without those that mpiexec adds."""
    return [line for line in said.splitlines() if line.startswith(("error: ", "Traceback"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a text and a file of settings."""
    directory = tmp_path_factory.mktemp("mpi")
    (directory / "text").write_text("the cat sat on the mat.\n" * 60)
    (directory / "config.yaml").write_text(SMALL)
    return directory


def begin(place: Path, out: str, *more: str) -> list[str]:
    return ["train", str(place / "text"), "--config", str(place / "config.yaml"), "--out", str(place / out), *more]


@pytest.fixture(scope="module")
def whole(place: Path) -> Any:
    """The bits of a run of each cell by one process."""
    known: dict[str, object] = {}

    def of(cell: str) -> object:
        if cell not in known:
            code, _, said = ended(started(1, *begin(place, cell, "--cell", cell)))
            assert code == 0, said
            known[cell] = bits(place / cell)
        return known[cell]

    return of


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_any_number_of_ranks_gives_the_bits_of_one_process_on_every_kind_of_batch(ranks: int) -> None:
    code, out, said = ended(started(ranks, program=(TESTS / "mpi_engine.py",)))
    assert code == 0, said
    found = json.loads(out)
    assert found["ranks"] == ranks and not found["others"] and found["same"] > 100
    assert 0 <= found["fast"] < 1e-14


@needs_mpi
@pytest.mark.parametrize("cell, ranks", [("rnn", 2), ("rnn", 4), ("rnn", 8), ("gru", 4), ("lstm", 2), ("lstm", 4)])
def test_a_run_of_several_ranks_has_the_bits_of_one_process(place: Path, whole: Any, cell: str, ranks: int) -> None:
    run = f"{cell}{ranks}"
    code, out, said = ended(started(ranks, *begin(place, run, "--cell", cell)))
    assert (code, out) == (0, ""), said
    assert bits(place / run) == whole(cell)
    kept = json.loads((place / run / "manifest.json").read_text())["blas"]
    assert (kept["ranks"], kept["workers"], kept["fast_reduce"]) == (ranks, ranks, False)
    idle = "; 3 of them nothing, unless shards, and so batch_size, are at least 8" if ranks == 8 else ""
    assert f"note      {ranks} ranks on 1 machine compute a batch of 5 shards{idle}\n" in said


@needs_mpi
def test_a_run_of_worker_processes_has_the_bits_of_ranks(place: Path, whole: Any) -> None:
    code, _, said = ended(started(1, *begin(place, "workers", "--threads", "3")))
    assert code == 0, said
    assert bits(place / "workers") == whole("rnn")


LONG = ("--max-steps", "900", "--eval-every", "300", "--checkpoint-every", "100")


@pytest.fixture(scope="module")
def long(place: Path) -> object:
    """The bits of a long run by one process."""
    code, _, said = ended(started(1, *begin(place, "long", *LONG)))
    assert code == 0, said
    return bits(place / "long")


def evaluated(process: subprocess.Popen[str]) -> str:
    """What is said until the next evaluation has been told, after which there are 300 updates more, or the end."""
    said = ""
    assert process.stderr
    for line in process.stderr:
        said += line
        if line.startswith("step "):
            break
    return said


def resumed(run: Path, ranks: int) -> object:
    """The bits of a run that so many ranks have brought to its end."""
    code, _, said = ended(started(ranks, "train", "--resume", str(run)))
    assert code == 0, said
    return bits(run)


def pid_of(rank: int, token: str) -> int:
    """The process of a rank of what `started` has started with this argument."""
    mine = [f"{name}={rank}".encode() for name in LAUNCHERS.values()]
    for directory in Path("/proc").iterdir():
        try:
            arguments = (directory / "cmdline").read_bytes().split(b"\0")
            environment = (directory / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_python = arguments[0].endswith(Path(sys.executable).name.encode())
        if is_python and token.encode() in arguments and any(variable in environment for variable in mine):
            return int(directory.name)
    raise AssertionError(f"there is no rank {rank}")


@needs_mpi
@pytest.mark.parametrize("kind, ranks, then", [(signal.SIGINT, 3, 1), (signal.SIGTERM, 2, 4)])
def test_a_signal_saves_and_stops_all_and_another_number_of_ranks_goes_on(
    place: Path, long: object, kind: signal.Signals, ranks: int, then: int
) -> None:
    run = f"signal{kind}from{ranks}"
    process = started(ranks, *begin(place, run, *LONG))
    said = evaluated(process)
    process.send_signal(kind)  # mpiexec hands it on to all ranks
    code, out, rest = ended(process)
    out = "\n".join(line for line in out.splitlines() if not line.startswith("[mpiexec@"))  # MPICH says what it does
    assert (code, out) == (128 + kind, ""), said + rest
    assert rest.count(f"saved; go on with: charrnn train --resume {place / run}\n") == 1 and not own(rest)
    step = json.loads((place / run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert step < 900
    assert resumed(place / run, then) == long


@needs_mpi
@pytest.mark.parametrize("victim", [0, 2])
def test_a_rank_that_is_killed_ends_the_run_which_goes_on_from_its_last_checkpoint(
    place: Path, long: object, victim: int
) -> None:
    run = place / f"killed{victim}"
    process = started(3, *begin(place, run.name, *LONG))
    evaluated(process)
    os.kill(pid_of(victim, str(run)), signal.SIGKILL)
    code, _, said = ended(process)
    assert code != 0, said
    assert resumed(run, 2) == long


@needs_mpi
@pytest.mark.parametrize("rank", [1, 3])
def test_an_exception_on_a_rank_ends_all_with_one_line_and_the_state_saved(
    place: Path, long: object, rank: int
) -> None:
    run = place / f"failing{rank}"
    process = started(4, rank, 440, *begin(place, run.name, *LONG), program=(TESTS / "failing_rank.py",))
    code, out, said = ended(process)
    assert (code, out) == (5, "")
    (line,) = own(said)
    assert line.startswith(f"error: rank {rank} on ") and line.endswith(
        f": ArithmeticError: as if; saved, go on with: charrnn train --resume {run}"
    )
    step = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert 400 <= step < 440
    assert resumed(run, 1) == long


@needs_mpi
def test_an_exception_on_rank_0_ends_all_with_its_traceback(place: Path) -> None:
    process = started(3, 0, 20, *begin(place, "failing0"), program=(TESTS / "failing_rank.py",))
    code, out, said = ended(process)
    assert (code, out) == (1, "") and own(said) == ["Traceback (most recent call last):"]
    assert "\nArithmeticError: as if\n" in said


@needs_mpi
def test_only_rank_0_writes(place: Path) -> None:
    code, out, said = ended(started(3, *begin(place, "voice", "--json")))
    assert code == 0, said
    assert json.loads(out)["steps"] == 60 and out.count("\n") == 1
    assert max(Counter(line for line in said.splitlines() if line.startswith(("text ", "step ", "next"))).values()) == 1
    assert sorted(path.name for path in (place / "voice").iterdir()) == sorted(
        ["best.npz", "config.yaml", "last.npz", "manifest.json", "metrics.jsonl"]
    )


@needs_mpi
@pytest.mark.parametrize(
    "arguments, code, first",
    [
        (("train", "--help"), 0, "Usage: charrnn train "),
        (("train", "no-such-file"), 3, "error: "),
        (("train", "text", "--hidden", "0"), 2, "error: --hidden"),
        (("train",), 2, "error: name a text"),
        (("sweep", "text", "--vary", "hidden=8,9"), 2, "error: 3 ranks of MPI ("),
    ],
    ids=str,
)
def test_what_ends_before_the_training_ends_all_ranks_and_is_said_once(
    arguments: tuple[str, ...], code: int, first: str
) -> None:
    found, out, said = ended(started(3, *arguments))
    assert found == code and (out + said).count(first) == 1
    assert (out if code == 0 else said).startswith(first)


@needs_mpi
def test_ranks_with_different_command_lines_do_not_train(place: Path) -> None:
    command = [sys.executable, "-m", "charrnn"]
    code, _, said = ended(two_ranks([*command, *begin(place, "apart1")], [*command, *begin(place, "apart2")]))
    assert code == 2
    (line,) = own(said)
    assert "rank 1 has another command line" in line
    assert not (place / "apart1").exists() and not (place / "apart2").exists()


@needs_mpi
def test_ranks_of_different_versions_do_not_train(place: Path) -> None:
    arguments = begin(place, "versions")
    other = "import charrnn; charrnn.__version__ = '0.0'; from charrnn.__main__ import main; main()"
    command = [sys.executable, "-m", "charrnn", *arguments]
    code, _, said = ended(two_ranks(command, [sys.executable, "-c", other, *arguments]))
    assert code == 2
    (line,) = own(said)
    assert "rank 1 has charrnn 0.0, rank 0 has " in line and not (place / "versions").exists()


@needs_mpi
def test_another_machine_without_mpi4py_says_so_and_ends_the_launch(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "charrnn", *begin(place, "lacking")]
    (tmp_path / "mpi4py.py").write_text("raise ImportError\n")
    path = f"PYTHONPATH={tmp_path}{os.pathsep}{TESTS.parent}"
    other = ["env", "MPI_LOCALRANKID=0", path, *command]  # the first rank of its machine
    code, _, said = ended(two_ranks(command, other), 20)
    (line,) = own(said)
    assert code != 0 and line.startswith("error: rank 1 on ") and line.endswith("pip install 'charrnn-bptt[mpi]'")
    assert not (place / "lacking").exists()


@needs_mpi
def test_rank_0_without_numpy_lets_the_others_go(place: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "charrnn", *begin(place, "bare")]
    (tmp_path / "numpy.py").write_text("raise ImportError('as if')\n")
    path = f"PYTHONPATH={tmp_path}{os.pathsep}{TESTS.parent}"
    code, _, said = ended(two_ranks(["env", path, *command], command), 20)
    assert code == 1 and said.count("ImportError: as if") == 1


@needs_mpi
def test_a_signal_ends_a_rank_that_waits_for_the_others(place: Path) -> None:
    command = [sys.executable, "-m", "charrnn", *begin(place, "waiting")]
    process = two_ranks(command, ["sleep", "50"])
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.suppress(AssertionError, OSError):
            rank = pid_of(0, str(place / "waiting"))
            if "libmpi" in Path(f"/proc/{rank}/maps").read_text():
                break
        time.sleep(0.1)
    time.sleep(0.5)  # until it is in MPI_Init
    os.kill(rank, signal.SIGTERM)
    code, _, _ = ended(process, 20)
    assert code != 0


@needs_mpi
def test_a_sum_in_the_order_of_the_library_is_told_and_noted(place: Path) -> None:
    code, _, said = ended(started(3, *begin(place, "fast", "--fast-reduce")))
    assert code == 0 and "note      gradients are added in an order of the MPI library's" in said
    assert json.loads((place / "fast" / "manifest.json").read_text())["blas"]["fast_reduce"] is True


@needs_mpi
@pytest.mark.parametrize("variable", ["MV2_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_a_launcher_of_another_mpi_library_is_told(place: Path, variable: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "charrnn", *begin(place, "alone")],
        env={**os.environ, variable: "3", LAUNCHERS[variable]: "0", "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"error: 3 ranks of MPI ({variable}): mpi4py knows of 1; its MPI library (")
    assert not (place / "alone").exists()


@pytest.mark.parametrize("variable", LAUNCHERS)
@pytest.mark.parametrize("rank", [0, 1])
def test_without_mpi4py_a_launch_of_several_ranks_is_one_line_that_names_the_extra(
    place: Path, monkeypatch: pytest.MonkeyPatch, variable: str, rank: int
) -> None:
    monkeypatch.setenv(variable, "4")
    monkeypatch.setenv(LAUNCHERS[variable], str(rank))
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    done = charrnn(*begin(place, "without"))
    line = f"error: 4 ranks of MPI ({variable}): they need the package mpi4py; pip install 'charrnn-bptt[mpi]'\n"
    assert (done.code, done.out, done.err) == (2, "", line if rank == 0 else "")
    assert not (place / "without").exists()


@pytest.mark.parametrize("size, rank", [("1", "0"), ("x", "0"), ("4", "")])
def test_one_rank_alone_is_no_launch(place: Path, monkeypatch: pytest.MonkeyPatch, size: str, rank: str) -> None:
    monkeypatch.setenv("PMI_SIZE", size)
    monkeypatch.setenv("PMI_RANK", rank)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert charrnn(*begin(place, f"one{size}{rank}"), "--dry-run").code == 0


def test_the_option_for_ranks_is_refused_without_them(place: Path) -> None:
    done = charrnn(*begin(place, "none", "--fast-reduce"))
    assert done.code == 2 and done.err.startswith("error: --fast-reduce: there are no ranks of MPI")


@pytest.mark.parametrize("shards, ranks", [(1, 1), (1, 3), (4, 3), (8, 3), (8, 8), (5, 2)])
def test_shards_are_dealt_once_to_neighbours_as_equally_as_can_be(shards: int, ranks: int) -> None:
    from charrnn.engine.mpi import dealt

    parts = dealt(shards, ranks)
    assert list(chain(*parts)) == list(range(shards)) and len(parts) == ranks and len(parts[0])
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_ranks_without_work_and_ranks_of_another_blas_are_told() -> None:
    from charrnn.engine.mpi import Told, notices

    blas: dict[str, object] = {"name": "openblas", "version": "1", "kernel": "Zen"}
    same = [Told("a", blas, 0), Told("b", blas, 0), Told("b", blas, 0)]
    assert notices(same, 3, False) == ["3 ranks on 2 machines compute a batch of 3 shards"]
    other = [*same, Told("c", {**blas, "kernel": "Haswell"}, 0)]
    line, differs = notices(other, 3, False)
    assert line.startswith("4 ranks on 3 machines compute a batch of 3 shards; 1 of them nothing, ")
    assert "(openblas 1, kernel Zen; openblas 1, kernel Haswell)" in differs
