"""Competitors that take turns: one after another, round by round, so that all of them meet the same noise."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from charrnn.bench.competitors import COMPETITORS, Shape
from charrnn.errors import CheckFailed

GATED: list[tuple[tuple[int, ...], int, int]] = [((128,), 32, 50), ((256, 256), 32, 50), ((512, 512), 64, 100)]
SHAPES = [
    Shape((128,), 32, 50),
    Shape((128, 128), 32, 50),
    Shape((256, 256), 32, 50),
    Shape((512, 512), 32, 50),
    Shape((512, 512), 64, 100),
    Shape((512, 512, 512), 128, 64),
    Shape((100,), 1, 25),
    *(Shape(h, n, T, cell=cell) for cell in ("gru", "lstm") for h, n, T in GATED),
    Shape((128,), 1, 500, mode="sample"),
    Shape((256, 256), 1, 500, mode="sample"),
    Shape((512, 512, 512), 1, 200, mode="sample"),
]
ROUNDS = 6
TURN = 0.5  # seconds that the counted part of a turn should last
# Uncounted seconds at the start of a turn. After a pause the caches are cold and the threads asleep, for a tenth of a
# second often on one core; and threads of the competitor before may still spin on the other.
WARM = 0.3


@dataclass
class Result:
    """Seconds of every step of every competitor on one shape."""

    shape: Shape
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds[name])

    def spread(self, name: str) -> float:
        """Distance of the quartiles as a share of the median."""
        low, _, high = statistics.quantiles(self.seconds[name], n=4)
        return (high - low) / self.median(name)

    @property
    def characters_per_second(self) -> float:
        """The product's."""
        return self.shape.n * self.shape.T / self.median("charrnn")

    def times(self, prefix: str) -> float | None:
        """How many times as fast as the faster of the peers whose name begins with `prefix` the product is."""
        peers = [
            self.median(name) for name in self.seconds if name.startswith(prefix) and name not in ("charrnn", "limit")
        ]
        return min(peers) / self.median("charrnn") if peers else None

    @property
    def possible(self) -> float | None:
        """What `times("PyTorch")` would be if the product did nothing but matrix products at the machine's rate."""
        share, times = self.limit_share, self.times("PyTorch")
        return times / share if share and times else None

    @property
    def limit_share(self) -> float | None:
        """Share of the machine's own rate of matrix products that the training step reaches."""
        if "limit" not in self.seconds or self.shape.mode != "train":
            return None
        rate = 2 * 2048**3 / self.median("limit")
        return self.shape.multiplications / self.median("charrnn") / rate

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "hidden": list(self.shape.hidden),
            "batch_size": self.shape.n,
            "seq_length": self.shape.T,
            "mode": self.shape.mode,
            "characters_per_second": self.characters_per_second,
            "limit_share": self.limit_share,
            "times_pytorch": self.times("PyTorch"),
            "times_jax": self.times("JAX"),
            "median_seconds": {name: self.median(name) for name in self.seconds},
            "spread": {name: self.spread(name) for name in self.seconds},
        }


def installed(name: str) -> bool:
    """Whether a competitor can take part here."""
    module = {"PyTorch": "torch", "JAX": "jax"}.get(name.split(",")[0])
    return module is None or importlib.util.find_spec(module) is not None


def race(shape: Shape, names: Iterable[str] = tuple(COMPETITORS), rounds: int = ROUNDS) -> Result:
    """All installed competitors on one shape. CheckFailed with its last line if one of them breaks,
    MemoryError if that says so."""
    chosen = [
        name
        for name in names
        if installed(name) and not (shape.mode == "sample" and name in ("JAX", "limit", "PyTorch, all cores"))
    ]
    command = [sys.executable, "-m", "charrnn.bench.competitors"]
    processes = {
        name: subprocess.Popen(
            [*command, name, shape.dumps()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in chosen
    }

    def turn(name: str, steps: int) -> list[float]:
        process = processes[name]
        assert process.stdin and process.stdout and process.stderr
        try:
            print(steps, file=process.stdin, flush=True)
            return [float(x) for x in json.loads(process.stdout.readline())]
        except (BrokenPipeError, ValueError):
            process.kill()  # if it still ran, its stderr would never end
            last = process.stderr.read().strip().splitlines()[-1:] or ["no message"]
            if "MemoryError" in last[0]:
                raise MemoryError(last[0].partition(": ")[2]) from None
            raise CheckFailed(f"{name} on {shape.label}: {last[0]}") from None

    result = Result(shape, {name: [] for name in chosen})
    try:
        warm, steps = {}, {}
        for name in chosen:
            turn(name, 3)  # compile, allocate, wake the threads
            step = statistics.median(turn(name, 3))
            warm[name], steps[name] = 1 + int(WARM / step), max(2, min(500, int(TURN / step)))
        for _ in range(rounds):
            for name in chosen:
                result.seconds[name] += turn(name, warm[name] + steps[name])[warm[name] :]
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()
    return result
