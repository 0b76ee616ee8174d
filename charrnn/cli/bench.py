"""`charrnn bench`."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.errors import ConfigError
from charrnn.training.settings import parse

if TYPE_CHECKING:
    from charrnn.bench.race import Result


def bench(
    hidden: Annotated[str | None, typer.Option(help="Width of each layer (default 256,256).", metavar="WIDTHS")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Streams n (default 64).", metavar="INTEGER")] = None,
    seq_length: Annotated[int | None, typer.Option(min=1, help="Steps T (default 64).", metavar="INTEGER")] = None,
    symbols: Annotated[
        int | None, typer.Option(min=2, help="Symbols of the vocabulary (default 65).", metavar="INTEGER")
    ] = None,
    cell: Annotated[str | None, typer.Option(help="Recurrent cell (default rnn).", metavar="NAME")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Cores; left out, all that help.", metavar="INTEGER")
    ] = None,
    peers: Annotated[
        bool,
        typer.Option(
            "--peers",
            help="Race PyTorch and JAX, where installed: on the shape that is given, or on the standard shapes.",
        ),
    ] = False,
    write: Annotated[
        Path | None, typer.Option(help="With --peers: write the results into this Markdown file.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the speed of training for a shape of your own, or against peers."""
    from charrnn.bench.competitors import COMPETITORS, Shape
    from charrnn.bench.race import SHAPES, installed, race

    if write is not None and not peers:
        raise ConfigError("--write needs --peers: it writes their race; leave it out, or add --peers")
    given = any(value is not None for value in (hidden, batch_size, seq_length, symbols, cell))
    widths = parse("hidden", "256,256" if hidden is None else hidden, "--hidden")
    shape = Shape(
        widths,
        batch_size or 64,
        seq_length or 64,
        symbols or 65,
        threads=threads,
        cell=parse("cell", cell or "rnn", "--cell"),
    )
    if peers:
        if given and write is not None:
            raise ConfigError("--write is for the standard shapes; leave it out, or leave out the shape")
        if len(set(widths)) > 1:
            raise ConfigError(
                f"--hidden {hidden}: nn.RNN, among the peers, has one width for all layers; give equal ones"
            )
        from tqdm import tqdm

        missing = sorted({name.split(",")[0] for name in COMPETITORS if not installed(name)})
        if missing:
            typer.echo(f"left out: {', '.join(missing)}; pip install 'charrnn[bench]' brings them", err=True)
        shapes = [shape] if given else [replace(one, threads=threads) for one in SHAPES]
        results = [race(one) for one in tqdm(shapes, unit="shape", disable=None, leave=False)]
        if as_json:
            print(json.dumps({"machine": _machine(), "shapes": [_plain(result) for result in results]}))
        else:
            _table(results)
        if write is not None:
            from charrnn.storage.durable import atomic_write_bytes

            atomic_write_bytes(write, _markdown(results, write).encode())
        return

    from charrnn.bench.breakdown import breakdown

    if sys.stderr.isatty():
        print("measuring for some ten seconds", file=sys.stderr)
    result = race(shape, ("charrnn", "limit"))
    parts = breakdown(shape)
    if as_json:
        print(json.dumps({"machine": _machine(), **_plain(result), "seconds_by_kind": parts}))
        return
    print(f"{result.characters_per_second:,.0f} characters a second, {result.median('charrnn') * 1e3:.2f} ms an update")
    print(f"{result.limit_share:.0%} of the machine's rate of matrix products (2048³ through the same BLAS)")
    total = sum(parts.values())
    print(f"where the time of one worker goes, {total * 1e3:.2f} ms an update:")
    for kind, seconds in parts.items():
        print(f"{kind:<30}{seconds * 1e3:>10.3f} ms {seconds / total:>6.0%}")


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _rows(results: list[Result], mode: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of one table, without columns that would be empty."""
    chosen = [result for result in results if result.shape.mode == mode]
    columns = {
        "hidden; n; T" if mode == "train" else "hidden": [
            result.shape.label if mode == "train" else result.shape.label.split(";")[0] for result in chosen
        ],
        "k chars/s": [f"{result.characters_per_second / 1e3:.1f}" for result in chosen],
        "spread": [f"{result.spread('charrnn'):.0%}" for result in chosen],
        "× PyTorch": [_ratio(result.times("PyTorch")) for result in chosen],
        "× JAX": [_ratio(result.times("JAX")) for result in chosen],
        "× best": [_ratio(result.times("")) for result in chosen] if mode == "train" else [],
        "share of limit": ["" if result.limit_share is None else f"{result.limit_share:.0%}" for result in chosen],
        "PyTorch at limit": [_ratio(result.possible) for result in chosen],
    }
    columns = {head: cells for head, cells in columns.items() if any(cells)}
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _table(results: list[Result]) -> None:
    from rich.console import Console
    from rich.table import Table

    for mode, title in (("train", "training"), ("sample", "sampling one stream")):
        heads, rows = _rows(results, mode)
        if not rows:
            continue
        table = Table(title=title)
        for head in heads:
            table.add_column(head, justify="right")
        for row in rows:
            table.add_row(*row)
        Console(highlight=False).print(table)


def _plain(result: Result) -> dict[str, Any]:
    return {
        "hidden": list(result.shape.hidden),
        "batch_size": result.shape.n,
        "seq_length": result.shape.T,
        "mode": result.shape.mode,
        "characters_per_second": result.characters_per_second,
        "limit_share": result.limit_share,
        "times_pytorch": result.times("PyTorch"),
        "times_jax": result.times("JAX"),
        "median_seconds": {name: result.median(name) for name in result.seconds},
        "spread": {name: result.spread(name) for name in result.seconds},
    }


def _machine() -> dict[str, str]:
    """Processor, cores, versions and date."""
    from importlib.metadata import PackageNotFoundError, version

    from charrnn import blas

    blas.configure()  # as in the product's own process, where NumPy is not imported yet
    library = blas.describe()
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        model = f"{names['model name']} (family {names['cpu family']}, model {names['model']})"
    except (OSError, KeyError):
        pass
    found = {"processor": model, "cores": str(os.cpu_count()), "python": platform.python_version()}
    found["blas"] = f"{library['name']} {library['version']}, kernel {library['kernel'] or 'unknown'}"
    for package in ("numpy", "torch", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "date": date.today().isoformat()}


def _markdown(results: list[Result], path: Path) -> str:
    """The measured part of the file replaced, and what stands before its first heading `## Measured` kept."""
    text = path.read_text("utf-8") if path.exists() else "# Benchmarks\n\n"
    before = text.split("## Measured", 1)[0]
    lines = ["## Measured", "", "`make bench`; " + ", ".join(f"{k} {v}" for k, v in _machine().items()) + ".", ""]
    for mode, title in (("train", "Training"), ("sample", "Sampling one stream")):
        heads, rows = _rows(results, mode)
        if not rows:
            continue
        lines += [f"### {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(row) + " |" for row in rows] + [""]
    return before + "\n".join(lines)
