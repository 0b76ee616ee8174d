"""`charrnn explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from charrnn.cli.options import check_utf8
from charrnn.training.settings import parse


def explain(
    text: Annotated[str, typer.Argument(help="2 to 12 characters.", metavar="TEXT", show_default=False)] = "hello",
    hidden: Annotated[str, typer.Option(help="Width of each layer, at most 8.", metavar="WIDTHS")] = "3",
    cell: Annotated[str, typer.Option(help="Recurrent cell.", metavar="NAME")] = "rnn",
    activation: Annotated[str, typer.Option(help="tanh, relu, sigmoid or identity.", metavar="NAME")] = "tanh",
    truncation: Annotated[str, typer.Option(help="full, fixed or random.", metavar="NAME")] = "full",
    tau: Annotated[int | None, typer.Option(min=1, help="Steps that an error travels.", metavar="INTEGER")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the weights.", metavar="INTEGER")] = 1,
    write: Annotated[
        Path | None, typer.Option(help="Write a page into this .html file instead of printing.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show every number of the forward and the backward pass of one small network on a few characters.

    The symbols are those of the document; each row says how it is computed from those before it.
    """
    check_utf8("TEXT", text)
    widths = parse("hidden", hidden, "--hidden")
    parse("cell", cell, "--cell")
    parse("activation", activation, "--activation")
    parse("truncation", truncation, "--truncation")

    from charrnn import blas

    blas.configure()

    from charrnn.errors import ConfigError
    from charrnn.network.truncation import truncation as made
    from charrnn.report.explain import lines, page
    from charrnn.storage.durable import atomic_write_bytes
    from charrnn.verify.explain import explain as walk

    if write is not None and write.suffix != ".html":
        raise ConfigError(f"--write {write}: the name must end in .html")
    tau = 2 if tau is None and truncation != "full" else tau
    cuts = None if truncation == "full" and tau is None else made(truncation, max(len(text) - 1, 1), tau=tau)
    explanation = walk(text, widths, cell, activation, cuts, seed)
    if as_json:
        print(json.dumps(_plain(explanation), allow_nan=False))
    if write is not None:
        title = f"Backpropagation through time on {text!r}, number by number"
        atomic_write_bytes(write, page(explanation, title).encode())
    if not as_json and write is None:
        print("\n".join(lines(explanation)))


def _plain(explanation: Any) -> dict[str, Any]:
    def plain(stage: Any) -> dict[str, Any]:
        return {
            "title": stage.title,
            "quantities": [
                {"symbol": q.symbol, "formula": q.formula, "rows": list(q.rows), "value": q.value.tolist()}
                for q in stage.quantities
            ],
        }

    return {
        "text": explanation.text,
        "symbols": explanation.symbols,
        "cell": explanation.cell,
        "weights": plain(explanation.weights),
        "forward": [plain(stage) for stage in explanation.forward],
        "backward": [plain(stage) for stage in explanation.backward],
        "gradients": plain(explanation.gradient),
        "nats_per_char": explanation.loss,
        "difference_from_program": explanation.error,
        "rate": explanation.rate,
        "nats_per_char_after_one_step": explanation.after,
    }
