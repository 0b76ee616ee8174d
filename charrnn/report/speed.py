"""The race against peers, as tables for a terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from rich.table import Table

from charrnn.report import markdown

TITLES = {"train": "training", "sample": "sampling one stream"}


class RacedShape(Protocol):
    """What was raced: `mode` is train or sample."""

    @property
    def mode(self) -> str: ...

    @property
    def label(self) -> str: ...


class Raced(Protocol):
    """What a race of one shape found."""

    @property
    def shape(self) -> RacedShape: ...

    @property
    def characters_per_second(self) -> float: ...

    @property
    def limit_share(self) -> float | None: ...

    @property
    def possible(self) -> float | None: ...

    def spread(self, name: str) -> float: ...

    def times(self, prefix: str) -> float | None: ...


def ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def columns_of(results: Sequence[Raced], mode: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of one table, without columns that would be empty."""
    chosen = [result for result in results if result.shape.mode == mode]
    columns = {
        "hidden; n; T" if mode == "train" else "hidden": [
            result.shape.label if mode == "train" else result.shape.label.split(";")[0] for result in chosen
        ],
        "k chars/s": [f"{result.characters_per_second / 1e3:.1f}" for result in chosen],
        "spread": [f"{result.spread('charrnn'):.0%}" for result in chosen],
        "× PyTorch": [ratio(result.times("PyTorch")) for result in chosen],
        "× JAX": [ratio(result.times("JAX")) for result in chosen],
        "× best": [ratio(result.times("")) for result in chosen] if mode == "train" else [],
        "share of limit": ["" if result.limit_share is None else f"{result.limit_share:.0%}" for result in chosen],
        "PyTorch at limit": [ratio(result.possible) for result in chosen],
    }
    columns = {head: cells for head, cells in columns.items() if any(cells)}
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def tables(results: Sequence[Raced]) -> Iterator[Table]:
    """A table for training and one for sampling, where they were raced."""
    for mode, title in TITLES.items():
        heads, rows = columns_of(results, mode)
        if not rows:
            continue
        table = Table(title=title)
        for head in heads:
            table.add_column(head, justify="right")
        for row in rows:
            table.add_row(*row)
        yield table


def measured(results: Sequence[Raced], machine: Mapping[str, str], text: str) -> str:
    """`text` with what stands from its heading `## Measured` on replaced by the results."""
    before = (text or "# Benchmarks\n\n").split("## Measured", 1)[0]
    parts = ["## Measured\n\n`make bench`; " + ", ".join(f"{k} {v}" for k, v in machine.items()) + ".\n"]
    for mode, title in TITLES.items():
        heads, rows = columns_of(results, mode)
        if rows:
            parts.append(f"### {title.capitalize()}\n\n" + markdown.table(heads, rows))
    return before + "\n".join(parts)
