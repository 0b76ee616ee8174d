"""`charrnn gradcheck`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from charrnn.errors import CheckFailed
from charrnn.training.config import TrainConfig


def gradcheck(
    hidden: Annotated[str, typer.Option(help="Width of each layer.")] = "5,4",
    activation: Annotated[str, typer.Option(help="tanh, relu, sigmoid or identity.")] = "tanh",
    tau: Annotated[int | None, typer.Option(help="Check fixed truncation in blocks of tau steps.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare every gradient with complex-step and central differences."""
    from charrnn.cli.train import _hidden
    from charrnn.inference.gradcheck import TOLERANCE
    from charrnn.inference.gradcheck import gradcheck as run

    truncation = "full" if tau is None else "fixed"
    config = TrainConfig(hidden=_hidden(hidden), activation=activation, truncation=truncation, tau=tau)
    checks = run(config.hidden, config.activation, config.tau)
    passed = all(check.passed for check in checks)
    if as_json:
        rows = [check.__dict__ for check in checks]
        print(json.dumps({"passed": passed, "tolerance": TOLERANCE, "checks": rows}))
    else:
        for check in checks:
            verdict = "" if check.passed else "  FAILED"
            print(f"{check.parameter:<10}{check.policy:<7}{check.method:<14}{check.max_relative_error:.1e}{verdict}")
    if not passed:
        raise CheckFailed("a gradient differs from its numerical value by more than the tolerance")
