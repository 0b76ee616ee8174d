"""Fuzzes the readers of a run and of a sweep: manifest.json, metrics.jsonl and sweep.json; harness.py says how.

The first byte of an input says which file the rest is, beside a good checkpoint, or that it is the outcomes of a sweep.
What is read of the metrics goes on into the curves of a page, and what is read of a sweep into its table.
"""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import atheris
import harness

with atheris.instrument_imports(include=["charrnn", "json"]):
    from charrnn.cli import runs as runs_command
    from charrnn.cli import sweep as sweep_command
    from charrnn.errors import CharrnnError
    from charrnn.experiments.sweep import Sweep
    from charrnn.report import curves, page
    from charrnn.training.findings import Findings
    from charrnn.training.run import Manifest, Run
    from charrnn.training.runs import summary
    from charrnn.training.settings import Settings

import forge
import hostile_checkpoints

PLACE = harness.directory()
RUN, SWEEP = PLACE / "run", PLACE / "sweep"
RUN.mkdir()
SWEEP.mkdir()
for name in ("best.npz", "last.npz"):
    (RUN / name).write_bytes(forge.signed(*hostile_checkpoints.good()))
(RUN / "config.yaml").write_text(Settings(hidden=(2, 4)).as_yaml())
TRIALS: list[dict[str, Any]] = [{"seed": 1}, {"seed": 2}, {"seed": 3}]
FILES = {"manifest": RUN / "manifest.json", "metrics": RUN / "metrics.jsonl", "sweep": SWEEP / "sweep.json"}
KINDS = [*FILES, "outcomes"]
OUTCOME = {
    "trial": 0,
    "round": 0,
    "state": "finished",
    "validation": 1.5,
    "steps": 100,
    "parameters": 57,
    "seconds": 2.5,
    "problem": None,
}
MANIFEST = {
    "charrnn": "0.1.0",
    "python": "3.11.2",
    "corpus": ["/a/text.txt"],
    "sha256": "0" * 64,
    "characters": 10,
    "unknown": "error",
    "others": {"val_file": None},
    "blas": {"library": "OpenBLAS"},
}
ROWS: list[dict[str, Any]] = [
    {"step": 10, "epoch": 0.5, "train": 2.5, "validation": 2.4, "learning_rate": 0.003, "gradient_norm": 1.5},
    {"step": 20, "train": 2.0, "seconds": 1.5, "characters_per_second": 1e5, "gradient_norms": [1.0, 0.5, 0.25]},
    {"step": 30, "validation": 2.1, "sample": "the cat\n", "rollback": 1, "after": 33, "learning_rate": 0.0015},
    {"step": 40, "diverged": True},
]


def made_sweep() -> Sweep:
    """The sweep whose file is read."""
    settings = Settings(hidden=(8,), threads=1)
    return Sweep(SWEEP, ["/a/text.txt"], settings, TRIALS, halve=True)


PLAN = json.dumps(made_sweep()._plan).encode()


def shown(text: str) -> None:
    """AssertionError where something is in it that a terminal obeys."""
    assert all(c.isprintable() or c == "\n" for c in text), repr(text)


def one_input(raw: bytes) -> None:
    """Reads the file that the input makes."""
    kind, content = KINDS[raw[0] % len(KINDS) if raw else 0], raw[1:]
    if kind == "outcomes":
        kind, content = "sweep", PLAN[:-1] + b', "outcomes": ' + content + b"}"
    for other, path in FILES.items():
        if other != kind:
            path.unlink(missing_ok=True)
    FILES[kind].write_bytes(content)
    out = io.StringIO()
    if kind == "sweep":
        with harness.refused(CharrnnError), contextlib.redirect_stdout(out):
            made = made_sweep()
            made.first_losses()
            json.dumps(sweep_command._plain(made), allow_nan=False)
            if made.outcomes:
                sweep_command._print(made)
        shown(out.getvalue())
        return
    run = Run(RUN)
    manifest = Manifest([], "", "error", {}, None)
    if kind == "manifest":
        with harness.refused(CharrnnError):
            manifest = run.manifest()
            run.note_corpus(["/b"])
            assert run.manifest().corpus == ["/b"]
    summed = summary(RUN)
    json.dumps(runs_command._plain(summed), allow_nan=False)
    rows = run.metrics()
    found = Findings("run", summed, manifest, {}, rows, [])
    losses = {row["step"]: row["validation"] for row in rows if "validation" in row}
    if losses:
        found.best = min(losses.values()), min(losses)
    parts = [curves.loss, curves.course] if kind == "metrics" else [page._settings, page._summary]
    shown("".join(part([("run", found)]) for part in parts))
    if kind == "metrics":
        run.rewind_metrics(25)
        assert all(row["step"] <= 25 for row in run.metrics())


def seeds() -> dict[str, bytes]:
    """Good files, and their parts."""
    lines = [json.dumps(row).encode() + b"\n" for row in ROWS]
    outcomes = [OUTCOME, {**OUTCOME, "trial": 1, "state": "failed", "validation": None, "problem": "not enough memory"}]
    contents = {
        "manifest": [json.dumps(MANIFEST).encode(), json.dumps({"corpus": []}).encode()],
        "metrics": [b"".join(lines), *lines, b"".join(lines)[:-5]],
        "sweep": [PLAN[:-1] + b', "outcomes": []}'],
        "outcomes": [json.dumps(outcomes[:k]).encode() for k in range(3)],
    }
    return {
        f"{kind}{i}": bytes([KINDS.index(kind)]) + content
        for kind, several in contents.items()
        for i, content in enumerate(several)
    }


if __name__ == "__main__":
    harness.main(one_input, seeds, harness.mutate_json)
