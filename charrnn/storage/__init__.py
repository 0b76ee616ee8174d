"""Files: durable writes, archives of arrays, checkpoints, encoded texts. Nothing else in the package writes a file."""

CHECKPOINTS = BEST, LAST = "best.npz", "last.npz"  # the checkpoints of a run
