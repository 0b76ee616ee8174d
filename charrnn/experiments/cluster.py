"""The trainings of a sweep by the workers of a dask cluster, which may be on many machines.

All see the directory of the sweep and the text by the same paths. A training whose worker is killed is given to another
one, which goes on with its run. dask itself carries no more than settings and outcomes.
"""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from uuid import uuid4

from charrnn import __version__
from charrnn.errors import CharrnnError, ConfigError, WorkerError, shown
from charrnn.experiments.trial import Trial, Values, ended
from charrnn.extras import DISTRIBUTION, needed
from charrnn.storage.durable import atomic_write_bytes

REACH = 10.0  # seconds to reach the scheduler
WITHOUT_WORKERS = 30.0  # seconds that no worker may be there
PAUSE = 0.1  # seconds between two looks at a training


class Cluster:
    """The workers of the scheduler at `address`, as in tcp://host:8786: a training for each of their threads, or `jobs`
    at a time. See `Pool`.

    ConfigError if the package that speaks with them is not installed, or for what is no address. The scheduler is
    reached when there is work.
    """

    def __init__(self, address: str, jobs: int | None = None) -> None:
        self._dask = needed("distributed", "dask", "a sweep on a cluster")
        self._address, self._jobs = address, jobs
        try:
            self._dask.comm.get_address_host_port(address, strict=True)
        except ValueError as error:
            raise ConfigError(f"scheduler {shown(address)}: {_line(error)}; name it as tcp://host:8786") from error
        if address.startswith(("tls:", "wss:")):
            self._check_certificates()

    def __str__(self) -> str:
        most = "" if self._jobs is None else f", {self._jobs} at a time"
        return f"on the cluster of {shown(self._address)}{most}"

    def outcomes(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Values]]:
        """See `Pool`. WorkerError if the scheduler cannot be reached or has gone, or no worker is there."""
        if not trials:
            return
        seen = trials[0].directory.parent.resolve() / f".{uuid4().hex}.tmp"  # by which workers know the directory
        waiting = [replace(trial, directory=trial.directory.resolve()) for trial in trials]
        client = self._connected()
        done: Queue[Any] = Queue()
        busy: dict[Any, Trial] = {}
        try:
            atomic_write_bytes(seen, b"")
            there = time.monotonic()
            while waiting or busy:
                while waiting and (self._jobs is None or len(busy) < self._jobs):
                    trial = waiting.pop(0)
                    key = f"charrnn-{uuid4().hex}"
                    future = client.submit(_on_worker, trial, seen, key, __version__, key=key, pure=False)
                    busy[future] = trial
                    future.add_done_callback(done.put)
                try:
                    future = done.get(timeout=1)
                except Empty:
                    if client.nthreads():
                        there = time.monotonic()
                    elif time.monotonic() - there > WITHOUT_WORKERS:
                        raise WorkerError(
                            f"the scheduler {shown(self._address)} has no workers; start some (dask worker "
                            f"{shown(self._address)}), and the same command goes on"
                        ) from None
                    continue
                yield busy.pop(future), self._told(future)
        finally:
            with suppress(Exception):  # the scheduler may have gone
                client.cancel(list(busy))
            with suppress(Exception):
                client.close()
            seen.unlink(missing_ok=True)

    def _check_certificates(self) -> None:
        """ConfigError without them: a client of dask that fails for want of them ends with a traceback, much later."""
        try:
            found = self._dask.Security().get_connection_args("client")["ssl_context"]
            reason = None if found else "no certificates are configured"
        except OSError as error:
            reason = _line(error)
        if reason:
            raise ConfigError(
                f"scheduler {shown(self._address)}: {reason}; name them in the configuration of dask "
                "(distributed.comm.tls)"
            )

    def _connected(self) -> Any:
        # What is wrong is raised here, in one line.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        answer: Queue[Any] = Queue()

        def connect() -> None:
            try:
                answer.put(self._dask.Client(self._address, timeout=REACH, set_as_default=False, name="charrnn-sweep"))
            except Exception as error:
                answer.put(error)

        # dask waits for ever where something listens that does not answer.
        threading.Thread(target=connect, daemon=True).start()
        try:
            client = answer.get(timeout=2 * REACH)
        except Empty:
            client = TimeoutError("it does not answer as a scheduler does")
        if not isinstance(client, Exception):
            return client
        where = f"scheduler {shown(self._address)}"
        if isinstance(client, OSError):
            raise WorkerError(f"{where}: cannot be reached ({_line(client)}); check that it runs") from client
        raise ConfigError(f"{where}: {_line(client)}") from client

    def _told(self, future: Any) -> Values:
        """What came of a training; raises what every other one would meet as well."""
        try:
            told = future.result()  # where the worker that had it has been killed since, of another that does it again
        except self._dask.CancelledError as error:
            raise WorkerError(f"the scheduler {shown(self._address)} has gone; the same command goes on") from error
        except self._dask.scheduler.KilledWorker as error:
            return {
                "state": "failed",
                "problem": f"{error.allowed_failures + 1} workers died of it, one after another, the last one at "
                f"{error.last_worker.address}",
            }
        except Exception as error:
            raise ConfigError(
                f"the cluster of {shown(self._address)} cannot train ({_line(error)}); install {DISTRIBUTION} "
                f"{__version__} for its scheduler and workers"
            ) from error
        if isinstance(told, CharrnnError):
            raise told
        return dict(told)


def _line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return shown(lines[0] if lines else type(error).__name__, 300)


def _on_worker(trial: Trial, seen: Path, key: str, version: str) -> Values | CharrnnError:
    """Has a process do the training, on the worker of dask that calls this; it ends when dask no longer wants its
    outcome, and with the worker."""
    from distributed import get_worker

    worker = get_worker()
    where = f"worker {worker.address}"
    if version != __version__:
        return ConfigError(f"{where} has charrnn {__version__}, the sweep has {version}; install the same")
    if not seen.exists():
        return ConfigError(
            f"{where} does not see {seen.parent}: the machines of a sweep need a directory that all of them share"
        )

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        closing = worker.status.name in ("closing", "closed", "failed")
        return task is not None and task.state != "cancelled" and not closing

    program = [sys.executable, "-c", "from charrnn.experiments.trial import serve; serve()"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(pickle.dumps((trial, trial.settings["threads"] or 1)))
            process.stdin.flush()
        while process.poll() is None:
            if not wanted():
                process.kill()
            time.sleep(PAUSE)
        answer = process.stdout.read()
    told: Values | CharrnnError = pickle.loads(answer) if answer else ended(process.returncode)
    return type(told)(f"{told} (on the {where})") if isinstance(told, CharrnnError) else told
