"""Sweeps on a dask cluster of processes of this machine: what workers, sweeps and schedulers that are killed leave."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from calls import charrnn as command

from charrnn.errors import ConfigError, CorpusError, WorkerError
from charrnn.experiments import cluster as clusters
from charrnn.experiments.cluster import Cluster
from charrnn.experiments.sweep import Outcome, Sweep
from charrnn.training.run import Run
from charrnn.training.settings import Settings

ROOT = Path(__file__).parents[1]
TEXT = "the cat sat on the mat; a dog sat on the log.\n" * 40
SMALL = Settings(hidden=(8,), seq_length=10, batch_size=4, eval_every=10, max_steps=40)
LONG = SMALL.replace(max_steps=1_000_000, checkpoint_every=10)
FLAGS = ["--seq-length", "10", "--batch-size", "4", "--eval-every", "10", "--hidden", "8"]

INSTALLED = importlib.util.find_spec("distributed") is not None
needs_dask = pytest.mark.skipif(
    not INSTALLED and os.environ.get("CHARRNN_REQUIRE_DASK") != "1", reason="dask.distributed is not installed"
)
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")  # of dask's own


class Dask:
    """A scheduler, and workers of one thread each, with a nanny that starts them again or without."""

    def __init__(self, place: Path, stack: ExitStack) -> None:
        self.file, self._place, self._stack = place / "scheduler.json", place, stack
        self.scheduler = self._start("scheduler", "--port", "0", "--host", "127.0.0.1")
        wait_for(lambda: self.file.exists() and self.file.read_text().rstrip().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]

    def worker(self, *options: str) -> subprocess.Popen[bytes]:
        return self._start("worker", "--nthreads", "1", "--local-directory", str(self._place), *options)

    def _start(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        call = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--scheduler-file", str(self.file), *options]
        with (self._place / "log").open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(
                [*call, "--no-dashboard"], env=environment, stdout=log, stderr=log, cwd=self._place
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return process


def wait_for(true: Callable[[], Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.02)


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return "text.txt"


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dask]:
    with ExitStack() as stack:
        yield Dask(tmp_path_factory.mktemp("dask"), stack)


def table(made: Sweep) -> list[object]:
    return [(o.trial, o.state, o.validation, o.steps, o.parameters, o.problem) for o in made.outcomes]


@needs_dask
def test_a_sweep_one_of_whose_two_workers_is_killed_has_all_outcomes_of_the_local_one(text: str, dask: Dask) -> None:
    dask.worker()
    doomed = dask.worker("--no-nanny")
    came: list[Outcome] = []

    def kill(outcome: Outcome) -> None:
        came.append(outcome)
        if len(came) == 4:
            doomed.kill()

    seeds = [{"seed": seed} for seed in range(1, 11)]
    there, here = (Sweep(Path(name), [text], SMALL, seeds) for name in ("there", "here"))
    there.run(kill, Cluster(dask.address, jobs=2))
    here.run()
    assert doomed.wait() == -signal.SIGKILL and len(came) == 10
    assert table(there) == table(here) and {o.state for o in there.outcomes} == {"finished"}
    assert {path.name for path in Path("there").iterdir()} == {path.name for path in Path("here").iterdir()}


@needs_dask
def test_a_training_whose_worker_is_killed_goes_on_from_its_checkpoint_on_another(text: str, dask: Dask) -> None:
    first = dask.worker("--no-nanny")
    settings = SMALL.replace(max_steps=1500, eval_every=100, checkpoint_every=20)
    call = [sys.executable, "-m", "charrnn", "sweep", text, "--vary", "seed=1", "--out", "s", "--json", *FLAGS]
    call += ["--max-steps", "1500", "--eval-every", "100", "--checkpoint-every", "20", "--scheduler", dask.address]
    with subprocess.Popen(call, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE) as sweep:
        wait_for(Path("s/01/last.npz").exists)
        first.kill()
        wait_for(lambda: not Run(Path("s/01")).is_locked())
        assert all(row["step"] < 1500 for row in Run(Path("s/01")).metrics())  # its training has ended with it
        begun = Path("s/01/manifest.json").stat()
        dask.worker()
        out, _ = sweep.communicate(timeout=60)
    (row,) = json.loads(out)["trainings"]
    alone = Sweep(Path("alone"), [text], settings, [{"seed": 1}])
    alone.run()
    assert (row["state"], row["steps"], row["validation_nats"]) == ("finished", 1500, alone.outcomes[0].validation)
    after = Path("s/01/manifest.json").stat()
    assert (begun.st_ino, begun.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)  # no second beginning


@needs_dask
def test_a_training_whose_workers_die_again_and_again_is_a_row_and_goes_on_in_the_next_call(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    trials = [{"max_steps": 10}, {"max_steps": 1500}]
    with ExitStack() as stack:
        dask = Dask(tmp_path, stack)
        doomed = dask.worker("--no-nanny")
        made = Sweep(Path("s"), [text], SMALL, trials)

        def kill(_: Outcome) -> None:
            wait_for(Path("s/02").exists)
            doomed.kill()

        made.run(kill, Cluster(dask.address))
    assert [(o.trial, o.state) for o in made.outcomes] == [(0, "finished"), (1, "failed")]
    assert str(made.outcomes[1].problem).startswith("1 workers died of it, one after another, the last one at tcp://")
    again = Sweep(Path("s"), [text], SMALL, trials)
    again.run()
    assert {o.trial: o.steps for o in again.outcomes} == {0: 10, 1: 1500}


@needs_dask
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_trainings_of_a_sweep_that_ends_early_end_with_it_and_go_on_with_the_next(
    text: str, dask: Dask, number: int
) -> None:
    dask.worker()
    call = [sys.executable, "-m", "charrnn", "sweep", text, "--vary", "seed=1", "--out", "s", *FLAGS]
    call += ["--max-steps", "1000000", "--checkpoint-every", "10", "--scheduler", dask.address]
    pipe = subprocess.PIPE
    sweep = subprocess.Popen(call, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=pipe, stdout=pipe, text=True)
    wait_for(Path("s/01/last.npz").exists)
    sweep.send_signal(number)
    _, said = sweep.communicate(timeout=30)
    if number == signal.SIGINT:
        assert sweep.returncode == 130 and said.splitlines()[1] == "stopped; the same command goes on", said
    wait_for(lambda: not Run(Path("s/01")).is_locked(), 10)
    again = Sweep(Path("s"), [text], LONG, [{"seed": 1}])  # the same sweep
    assert again.outcomes == []


@needs_dask
def test_a_worker_that_does_not_see_the_directory_is_one_line(
    text: str, dask: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask.worker()
    monkeypatch.setattr(clusters, "atomic_write_bytes", lambda path, data: None)  # as on a disk of one's own
    with pytest.raises(ConfigError, match=r"^worker tcp://\S+ does not see \S+/s: the machines of a sweep need a dir"):
        Sweep(Path("s"), [text], SMALL, [{"seed": 1}]).run(pool=Cluster(dask.address))
    assert not Path("s").exists()


@needs_dask
def test_what_every_training_would_meet_names_the_worker_that_met_it(text: str, dask: Dask) -> None:
    dask.worker()
    Path("short.txt").write_text("too short")
    with pytest.raises(CorpusError, match=r"short\.txt.* \(on the worker tcp://"):
        Sweep(Path("s"), ["short.txt"], SMALL, [{"seed": 1}]).run(pool=Cluster(dask.address))


@needs_dask
def test_a_worker_with_another_charrnn_is_one_line(text: str, dask: Dask, monkeypatch: pytest.MonkeyPatch) -> None:
    dask.worker()
    monkeypatch.setattr(clusters, "__version__", "9.9")
    with pytest.raises(ConfigError, match=r"has charrnn [\d.]+, the sweep has 9\.9; install the same"):
        Sweep(Path("s"), [text], SMALL, [{"seed": 1}]).run(pool=Cluster(dask.address))


@needs_dask
def test_a_scheduler_that_is_killed_or_has_no_workers_ends_the_sweep_with_one_line(
    text: str, dask: Dask, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Sweep(Path("s"), [text], SMALL, [{"seed": 1}, {"seed": 2, "max_steps": 1_000_000}])
    with monkeypatch.context() as patch, pytest.raises(WorkerError, match="has no workers; start some"):
        patch.setattr(clusters, "WITHOUT_WORKERS", 0.5)
        made.run(pool=Cluster(dask.address))
    dask.worker("--no-nanny")
    with pytest.raises(WorkerError, match="has gone; the same command goes on"):
        made.run(lambda outcome: dask.scheduler.kill(), pool=Cluster(dask.address))
    assert [o.trial for o in Sweep(Path("s"), [text], SMALL, made.trials).outcomes] == [0]


@needs_dask
def test_a_scheduler_that_cannot_be_reached_is_one_line_in_bounded_time(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "REACH", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        before = time.monotonic()
        for address in (f"tcp://127.0.0.1:{deaf.getsockname()[1]}", "tcp://127.0.0.1:1"):
            done = command("sweep", text, "--vary", "seed=1", "--max-steps", "1", "--scheduler", address, *FLAGS)
            line = done.err.splitlines()[-1]
            assert done.code == 5 and line.startswith(f"error: --scheduler {address}: cannot be reached ("), done.err
            assert len(done.err.splitlines()) == 2
        assert time.monotonic() - before < 20
    assert not Path("runs/text-sweep").exists()
    done = command("sweep", text, "--vary", "seed=1", "--max-steps", "1", "--scheduler", "nonsense://x", *FLAGS)
    assert done.code == 2 and "name it as tcp://host:8786" in done.err.splitlines()[-1], done.err


@needs_dask
def test_a_scheduler_of_tls_without_certificates_is_one_line_and_no_traceback_at_the_end(text: str) -> None:
    call = [sys.executable, "-m", "charrnn", "sweep", text, "--vary", "seed=1", "--scheduler", "tls://127.0.0.1:1"]
    for certificate, reason in (("", "no certificates are configured"), ("none.pem", "No such file or directory")):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if certificate:
            names = {"CA_FILE": certificate, "CLIENT__CERT": certificate, "CLIENT__KEY": certificate}
            environment |= {f"DASK_DISTRIBUTED__COMM__TLS__{name}": value for name, value in names.items()}
        done = subprocess.run(call, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("error: --scheduler tls://127.0.0.1:1: ") and reason in done.stderr
    assert not Path("runs").exists()


def test_without_the_extra_one_line_names_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = command("sweep", text, "--vary", "seed=1", "--scheduler", "tcp://localhost:1", *FLAGS)
    needs = "a sweep on a cluster needs the package distributed"
    assert (done.code, done.out, done.err) == (2, "", f"error: {needs}; pip install 'charrnn-bptt[dask]'\n")
    assert not Path("runs").exists()
