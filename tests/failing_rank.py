"""`charrnn` in which a step of one rank raises; started by mpiexec.

mpiexec -n RANKS python failing_rank.py RANK STEP train …
"""

from __future__ import annotations

import sys
from typing import Any

from mpi4py import MPI


def fail(at: int) -> None:
    """The computation of shards raises in its call of this number."""
    from charrnn.engine.mpi import Member

    step, calls = Member.step, iter(range(1, sys.maxsize))

    def failing(member: Member, job: Any) -> Any:
        if next(calls) == at:
            raise ArithmeticError("as if")
        return step(member, job)

    Member.step = failing  # type: ignore[method-assign]


if __name__ == "__main__":
    rank, at, *sys.argv[1:] = sys.argv[1:]
    from charrnn.__main__ import main

    if MPI.COMM_WORLD.Get_rank() == int(rank):
        fail(int(at))
    main()
