"""`charrnn gradcheck`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.cli.options import chosen, one_checkpoint
from charrnn.errors import CheckFailed, ConfigError
from charrnn.training.settings import parse

T = 8


def gradcheck(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="Run or checkpoint whose network is checked, instead of a small one.",
            metavar="RUN",
            show_default=False,
        ),
    ] = None,
    hidden: Annotated[str, typer.Option(help="Width of each layer of the small network.", metavar="WIDTHS")] = "5,4",
    cell: Annotated[str, typer.Option(help="Recurrent cell of the small network.", metavar="NAME")] = "rnn",
    activation: Annotated[str, typer.Option(help="tanh, relu, sigmoid or identity.", metavar="NAME")] = "tanh",
    truncation: Annotated[
        str | None,
        typer.Option(help="full, fixed, sliding or random; left out, all four.", metavar="NAME", show_default=False),
    ] = None,
    tau: Annotated[int | None, typer.Option(min=1, help="Steps that an error travels.", metavar="INTEGER")] = None,
    ckpt: Annotated[
        Path | None,
        typer.Option(help="The same, as a flag; 400 weights of each array are checked.", metavar="RUN"),
    ] = None,
    equations: Annotated[
        bool, typer.Option("--equations", help="Check the document's equations one by one, as printed and as computed.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and batch.", metavar="INTEGER")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare every gradient with complex-step and central differences, under every truncation."""
    widths = parse("hidden", hidden, "--hidden")
    parse("cell", cell, "--cell")
    parse("activation", activation, "--activation")
    names = ["full", "fixed", "sliding", "random"]
    if truncation is not None:
        names = [parse("truncation", truncation, "--truncation")]
    elif tau is not None:
        names = names[1:]
    if truncation == "full" and tau is not None:
        raise ConfigError("--tau: full truncation takes none; leave it out, or choose another --truncation")

    from charrnn import blas

    blas.configure()

    if equations and (run or ckpt):
        raise ConfigError("--equations: they are checked on a network of their own; leave the run out")
    if equations:
        _equations(seed, as_json)
        return

    from tqdm import tqdm

    from charrnn.model import load
    from charrnn.network.truncation import truncation as made
    from charrnn.verify.gradcheck import TOLERANCE, problem_of, small_problem
    from charrnn.verify.gradcheck import gradcheck as check

    ckpt = one_checkpoint(run, ckpt)
    problem = (
        problem_of(load(chosen(ckpt)).parameters, T, seed=seed)
        if ckpt
        else small_problem(widths, activation, T, seed=seed, cell=cell)
    )
    checks: list[Any] = []
    methods = 2 * len(list(problem.parameters)) * len(names)
    with tqdm(total=methods, desc="checking", unit="array", disable=None, delay=1.0, leave=False) as bar:
        for name in names:
            for one in check(problem, made(name, T, tau=None if name == "full" else tau or 3), seed):
                checks.append(one)
                bar.update()
    passed = all(check.passed for check in checks)
    if as_json:
        rows = [asdict(check) for check in checks]
        print(json.dumps({"passed": passed, "tolerance": TOLERANCE, "checks": rows}))
    else:
        from charrnn.report.gradient import checks_table

        _show(checks_table(checks, TOLERANCE))
        if passed:
            print(f"all {len(checks)} comparisons agree")
    if not passed:
        raise CheckFailed("a gradient differs from its numerical value by more than the tolerance; see the table")


def _equations(seed: int, as_json: bool) -> None:
    from charrnn.verify.equations import equations

    rows = equations(seed)
    if as_json:
        print(json.dumps({"equations": [asdict(row) for row in rows]}, allow_nan=False))
        return
    from charrnn.report.gradient import equations_table

    _show(equations_table(rows))


def _show(table: Any) -> None:
    from rich.console import Console

    Console(highlight=False).print(table)
