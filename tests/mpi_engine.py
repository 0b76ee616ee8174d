"""The engine of several ranks beside that of one process, on every kind of batch; started by mpiexec.

    mpiexec -n RANKS python mpi_engine.py

prints one line of JSON from rank 0: how many batches gave the same bits, how many did not, and by how much the
sums that the MPI library orders differ from those of the tree.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from engines import filled, network, outcome, same_bits
from mpi4py import MPI
from test_engine import CELLS, kinds_of_batches

from charrnn.engine.local import LocalEngine
from charrnn.engine.mpi import Link, MpiEngine, dismiss, serve


def compared(comm: Any) -> dict[str, Any]:
    """On rank 0."""
    same, others, difference, link = 0, [], 0.0, Link(comm)
    for cell in CELLS:
        for shards in (3, 5):
            local = filled(LocalEngine(network(cell), np.float64, shards))
            ours: dict[Any, Any] = {}
            for fast in (False, True):  # the other ranks hold one network at a time
                made = filled(MpiEngine(link, network(cell), np.float64, shards, fast))
                for n in (8, 1):  # of one sequence most ranks have nothing
                    for kind, batch in kinds_of_batches(n, cell).items():
                        theirs = outcome(made, batch)
                        if not fast:
                            ours[n, kind] = outcome(local, batch)
                            if same_bits(ours[n, kind], theirs):
                                same += 1
                            else:
                                others.append((cell, shards, n, kind))
                        else:
                            dW = ours[n, kind][1]
                            difference = max(difference, float(np.abs(theirs[1] - dW).max() / np.abs(dW).max()))
    return {"ranks": comm.Get_size(), "same": same, "others": others, "fast": difference}


if __name__ == "__main__":
    comm = MPI.COMM_WORLD
    if comm.Get_rank():
        serve(comm)
    else:
        print(json.dumps(compared(comm)))
        dismiss(comm)
