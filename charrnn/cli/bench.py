"""`charrnn bench`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.errors import ConfigError
from charrnn.extras import install
from charrnn.training.settings import parse

if TYPE_CHECKING:
    from charrnn.bench.competitors import Shape


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
    ranks: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4096,
            help="Say what up to so many ranks of MPI would bring: a model, from parts that are measured here.",
            metavar="INTEGER",
        ),
    ] = None,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=1e6, help="With --ranks: of a network link, in GB/s (default 1.25).", metavar="NUMBER"
        ),
    ] = None,
    latency: Annotated[
        float | None,
        typer.Option(
            min=0, max=1e9, help="With --ranks: of a message, in microseconds (default 50).", metavar="NUMBER"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the speed of training for a shape of your own, or against peers."""
    from charrnn.bench.competitors import COMPETITORS, Shape
    from charrnn.bench.machine import machine
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
    if ranks is not None:
        if peers:
            raise ConfigError("--ranks is a model of charrnn alone; leave it out, or leave out --peers")
        link = (1.25 if bandwidth is None else bandwidth, 50.0 if latency is None else latency)
        _scaling(shape, ranks, *link, as_json)
        return
    if bandwidth is not None or latency is not None:
        raise ConfigError(
            "--bandwidth and --latency need --ranks, whose messages they are of; leave them out, or add it"
        )
    if peers:
        if given and write is not None:
            raise ConfigError("--write is for the standard shapes; leave it out, or leave out the shape")
        if len(set(widths)) > 1:
            raise ConfigError(
                f"--hidden {hidden}: nn.RNN, among the peers, has one width for all layers; give equal ones"
            )
        from tqdm import tqdm

        from charrnn.report.speed import measured, tables

        missing = sorted({name.split(",")[0] for name in COMPETITORS if not installed(name)})
        if missing:
            typer.echo(f"left out: {', '.join(missing)}; {install('bench')} brings them", err=True)
        shapes = [shape] if given else [replace(one, threads=threads) for one in SHAPES]
        results = [race(one) for one in tqdm(shapes, unit="shape", disable=None, leave=False)]
        if as_json:
            print(json.dumps({"machine": machine(), "shapes": [result.as_dict() for result in results]}))
        else:
            from rich.console import Console

            for table in tables(results):
                Console(highlight=False).print(table)
        if write is not None:
            from charrnn.storage.durable import atomic_write_bytes

            before = write.read_text("utf-8") if write.exists() else ""
            atomic_write_bytes(write, measured(results, machine(), before).encode())
        return

    from charrnn.bench.breakdown import breakdown

    if sys.stderr.isatty():
        print("measuring for some ten seconds", file=sys.stderr)
    result = race(shape, ("charrnn", "limit"))
    parts = breakdown(shape)
    if as_json:
        print(json.dumps({"machine": machine(), **result.as_dict(), "seconds_by_kind": parts}))
        return
    print(f"{result.characters_per_second:,.0f} characters a second, {result.median('charrnn') * 1e3:.2f} ms an update")
    print(f"{result.limit_share:.0%} of the machine's rate of matrix products (2048³ through the same BLAS)")
    total = sum(parts.values())
    print(f"where the time of one worker goes, {total * 1e3:.2f} ms an update:")
    for kind, seconds in parts.items():
        print(f"{kind:<30}{seconds * 1e3:>10.3f} ms {seconds / total:>6.0%}")


def _scaling(shape: Shape, ranks: int, bandwidth: float, latency: float, as_json: bool) -> None:
    """Prints the model of several ranks."""
    from charrnn.bench.machine import machine
    from charrnn.bench.scaling import ASSUMED, measured, scaling

    parts = measured(shape, ranks)
    points = scaling(parts, ranks, bandwidth * 1e9, latency / 1e6)
    if as_json:
        link = {"bandwidth": bandwidth * 1e9, "latency": latency / 1e6}
        model = {"parts": asdict(parts), "assumed": link, "updates": [point.as_dict() for point in points]}
        print(json.dumps({"machine": machine(), **model}))
        return
    print(f"measured here, on one core: {parts.shard * 1e3:.2f} ms for one of {parts.shards} shards,")
    print(f"{parts.update * 1e3:.2f} ms to update the weights, {parts.addition * 1e3:.3f} ms to add two gradients")
    print(
        f"assumed: links of {bandwidth:g} GB/s, {latency:g} µs a message; a gradient is {parts.gradient_bytes:,} bytes"
    )
    print(f"{'ranks':>5}{'ms an update':>15}{'of it sending':>16}{'times as fast':>16}{'characters/s':>15}")
    for point in points:
        print(
            f"{point.ranks:>5}{point.seconds * 1e3:>15.2f}{point.sending / point.seconds:>16.0%}"
            f"{points[0].seconds / point.seconds:>16.2f}{shape.n * shape.T / point.seconds:>15,.0f}"
        )
    print("a model, not a measurement; it takes for granted:")
    for line in ASSUMED:
        print(f"- {line}")
