"""The ranks of an MPI launch, as by `mpiexec -n 4 charrnn train`: rank 0 runs the command, the others compute for it.

Only rank 0 reads the command line, reads and writes files, and prints. To import this must not import NumPy: the
settings, which rank 0 sends to the others first, choose the BLAS.
"""

from __future__ import annotations

import atexit
import os
import platform
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from charrnn import __version__
from charrnn.errors import ConfigError, WorkerError
from charrnn.extras import install

if TYPE_CHECKING:
    from charrnn.engine import Maker
    from charrnn.engine.mpi import Link, MpiEngine
    from charrnn.training.settings import Settings

# Where launchers say how many ranks there are, and which one this is. SLURM says the first only of what srun starts.
LAUNCHERS = {
    "PMI_SIZE": "PMI_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_SIZE": "MV2_COMM_WORLD_RANK",
    "SLURM_STEP_NUM_TASKS": "SLURM_PROCID",
}
# Where they number the ranks of each machine.
ON_MACHINE = ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID")
PAUSE = 0.01  # seconds between two looks for the settings, which come when rank 0 has read its command line


@dataclass(frozen=True)
class Launch:
    """What the environment says: the variable, the number of ranks, and which one this process is."""

    variable: str
    size: int
    rank: int


class Ranks:
    """Rank 0 of a launch, to which the others are joined. At the end of the process they are let go; if that is in the
    middle of a step, MPI ends all, with the exit code `code`."""

    def __init__(self, comm: Any) -> None:
        self.code = 1  # of an error that nobody has caught
        self._comm = comm
        self._link: Link | None = None
        self._engine: MpiEngine | None = None
        self._told = False  # whether the others have the settings
        atexit.register(self._leave)

    def maker(self, settings: Settings, fast: bool) -> Maker:
        """What makes the engine of a trainer; with `fast` the MPI library chooses the order in which gradients are
        added. The others choose their BLAS by the settings, as this process has done."""
        self._tell(settings.plain())
        return partial(self._make, fast)

    @property
    def notices(self) -> list[str]:
        """What the user should know of the ranks, in lines."""
        return self._engine.notices if self._engine is not None else []

    def _make(self, fast: bool, architecture: Any, dtype: Any, shards: int, _workers: int) -> MpiEngine:
        from charrnn.engine.mpi import Link, MpiEngine

        self._link = Link(self._comm)
        self._engine = MpiEngine(self._link, architecture, dtype, shards, fast)
        return self._engine

    def _tell(self, settings: dict[str, Any] | None) -> None:
        for rank in range(1, self._comm.Get_size()):
            self._comm.send(settings, rank)
        self._told = True

    def _leave(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        if self._link is not None and self._link.unfinished:
            self._comm.Abort(self.code)
        if not self._told:
            self._tell(None)
            return
        try:
            from charrnn.engine.mpi import dismiss
        except ImportError:  # as where NumPy cannot be loaded: the others, which have loaded theirs, would wait
            self._comm.Abort(self.code)
        else:
            dismiss(self._comm)


_ranks: Ranks | None = None


def ranks() -> Ranks | None:
    """The ranks that `join` has joined."""
    return _ranks


def launch() -> Launch | None:
    """The MPI launch of several ranks that this process is of, if it is of one."""
    for variable, of_rank in LAUNCHERS.items():
        size, rank = os.environ.get(variable, ""), os.environ.get(of_rank, "")
        if size.isdecimal() and rank.isdecimal() and int(size) > 1:
            return Launch(variable, int(size), int(rank))
    return None


def join(arguments: list[str]) -> None:
    """Before the command line is read: joins the ranks of a training, if there are several.

    A rank that is not rank 0 serves in here, and leaves by SystemExit. ConfigError if they cannot be joined.
    """
    global _ranks
    launched = launch() if arguments[:1] in (["train"], ["sweep"]) else None
    if launched is None:
        return
    if launched.rank:
        sys.stdout = sys.stderr = nowhere = open(os.devnull, "w")  # noqa: SIM115  rank 0 alone speaks, and for all
        atexit.register(nowhere.close)
    where = f"{launched.size} ranks of MPI ({launched.variable})"
    if arguments[0] == "sweep":
        raise ConfigError(f"{where}: a sweep is not shared among ranks; start it without them")
    with _ended_by_signals():
        try:
            with warnings.catch_warnings():  # of a launcher of another library, which is told below
                warnings.simplefilter("ignore", RuntimeWarning)
                from mpi4py import MPI
        except (ImportError, RuntimeError) as error:  # the latter where there is mpi4py, but no MPI library
            raise _unjoined(launched, where, error) from error
        comm = MPI.COMM_WORLD
        if (comm.Get_size(), comm.Get_rank()) != (launched.size, launched.rank):
            library = MPI.Get_library_version().splitlines()[0].partition(",")[0].strip("\0 ")
            raise ConfigError(
                f"{where}: mpi4py knows of {comm.Get_size()}; its MPI library ({' '.join(library.split())}) is not "
                "that of the launcher: use the mpiexec of that library, or build mpi4py with the launcher's"
            )
        said = comm.allgather((arguments, __version__))
    if launched.rank:
        for kind in ("SIGINT", "SIGTERM", "SIGUSR1"):  # rank 0 handles them for all
            if hasattr(signal, kind):
                signal.signal(getattr(signal, kind), signal.SIG_IGN)
    for rank, (theirs, version) in enumerate(said):
        if theirs != said[0][0]:
            raise ConfigError(
                f"{where}: rank {rank} has another command line than rank 0, and all ranks train one network together; "
                f"start other trainings apart, or without {launched.variable}"
            )
        if version != said[0][1]:
            raise ConfigError(f"{where}: rank {rank} has charrnn {version}, rank 0 has {said[0][1]}; install the same")
    if launched.rank:
        try:
            _serve(comm)
        except BaseException as error:  # before `serve`, which tells rank 0 of its own
            line = f"error: rank {launched.rank} on {MPI.Get_processor_name()}: {type(error).__name__}: {error}"
            print(line, file=sys.__stderr__, flush=True)
            comm.Abort(WorkerError.exit_code)
        sys.exit(0)
    _ranks = Ranks(comm)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signals end the process at once: no handler of Python runs while MPI waits for the other ranks."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unjoined(launched: Launch, where: str, error: Exception) -> ConfigError:
    """The error of a rank that has no MPI.

    Rank 0, if it has MPI, waits for this one in MPI_Init, and launchers end the others only where a rank ends by a
    signal. So the first rank of another machine says the line for that machine, and ends in this way.
    """
    if isinstance(error, ImportError):
        line = f"{where}: they need the package mpi4py; {install('mpi')}"
    else:
        line = f"{where}: mpi4py does not work here ({str(error).splitlines()[0]}); install an MPI library"
    if launched.rank and "0" in map(os.environ.get, ON_MACHINE):
        print(f"error: rank {launched.rank} on {platform.node()}: {line}", file=sys.__stderr__, flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    return ConfigError(line)


def _serve(comm: Any) -> None:
    while not comm.Iprobe(0):
        time.sleep(PAUSE)
    settings = comm.recv(source=0)
    if settings is None:
        return
    from charrnn.training.cores import choose_workers
    from charrnn.training.settings import Settings

    choose_workers(Settings.from_plain(settings))

    from charrnn.engine.mpi import serve

    serve(comm)
