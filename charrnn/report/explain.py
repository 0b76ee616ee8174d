"""Both passes of a small network, quantity by quantity, for a terminal and as a page."""

from __future__ import annotations

import html
from collections.abc import Iterator

import numpy as np

from charrnn.verify.explain import Explanation, Quantity, Stage

NUMBER = 8  # columns of one number
SYMBOL, FORMULA = 8, 30  # columns of what stands before the numbers


def lines(made: Explanation, width: int = 80) -> Iterator[str]:
    """The lines of a terminal of so many columns."""
    T = len(made.text) - 1
    yield f"{made.text!r}: {T} prediction{'s' if T > 1 else ''}; the symbols, in this order:"
    yield _listed(made.symbols)
    yield ""
    yield from made.cell.splitlines()
    for title, stages in _parts(made):
        yield ""
        yield title
        for stage in stages:
            if stage.title:
                yield ""
                yield f"  {stage.title}"
            for quantity in stage.quantities:
                yield from _quantity_lines(quantity, width)
    yield ""
    yield from _ends(made)


def page(made: Explanation, title: str) -> str:
    """The same as one HTML page that needs nothing else."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p>The symbols are {html.escape(_listed(made.symbols))}, in this order.",
        f"<pre>{html.escape(made.cell)}</pre>",
    ]
    for heading, stages in _parts(made):
        parts.append(f"<h2>{html.escape(heading)}</h2>")
        for stage in stages:
            if stage.title:
                parts.append(f"<h3>{html.escape(stage.title)}</h3>")
            parts.append('<div class="wide"><table>')
            parts += map(_row, stage.quantities)
            parts.append("</table></div>")
    parts += [f"<p>{html.escape(line)}" for line in _ends(made)]
    return "\n".join([*parts, "</html>", ""])


_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 2.5rem } h3 { margin-bottom: .3rem; font-weight: 600 }
.wide, pre { overflow-x: auto }
table { border-collapse: collapse } th, td { padding: .15rem .8rem .15rem 0; vertical-align: top; text-align: left }
th { font-weight: 600; white-space: nowrap } .formula { white-space: nowrap }
td td { text-align: right; font-variant-numeric: tabular-nums; padding: 0 0 0 .8rem; min-width: 3.6rem }
td th { text-align: right; min-width: 1.2rem }
tr + tr > td, tr + tr > th { border-top: 1px solid color-mix(in srgb, currentColor 12%, transparent) }
td tr + tr > * { border: 0 }
"""


def _parts(made: Explanation) -> list[tuple[str, tuple[Stage, ...]]]:
    return [
        ("Weights", (Stage("", made.weights.quantities),)),
        ("Forward", made.forward),
        ("Backward, from the last step to the first", made.backward),
        ("Gradients", (Stage("", made.gradient.quantities),)),
    ]


def _ends(made: Explanation) -> list[str]:
    return [
        f"The loss is the mean of the L_t: {made.loss:.4f} nats a character.",
        f"Largest difference from the gradient of the program's backward pass: {made.error:.0e}",
        f"One step of gradient descent, W ← W − {made.rate:g} dW, takes the loss to {made.after:.4f} nats.",
    ]


def _listed(symbols: str) -> str:
    return ", ".join(map(repr, symbols))


def _figure(value: float) -> str:
    return f"{value:{NUMBER}.4f}".replace("-", "−")


def _labelled(quantity: Quantity) -> list[tuple[str, list[str]]]:
    """The rows of a value, each with what it stands for."""
    rows = np.atleast_2d(quantity.value)
    if quantity.symbol.startswith("X"):  # one-hot
        return [("", [f"{number:{NUMBER}.0f}" for number in row]) for row in rows.tolist()]
    names = quantity.rows if len(quantity.rows) == len(rows) else ("",) * len(rows)
    return [(name, [_figure(number) for number in row]) for name, row in zip(names, rows.tolist(), strict=True)]


def _quantity_lines(quantity: Quantity, width: int) -> Iterator[str]:
    head = f"    {quantity.symbol:<{SYMBOL}}{quantity.formula}"
    rows, place = _labelled(quantity), 4 + SYMBOL + FORMULA
    label = max(len(name) for name, _ in rows)
    each = max(1, (width - place - label) // NUMBER)
    fits = len(head) < place and all(len(figures) <= each for _, figures in rows)
    if not fits:
        yield head
        head, place = "", 8
        each = max(1, (width - place - label) // NUMBER)
    for name, figures in rows:
        for start in range(0, len(figures), each):
            numbers = "".join(figures[start : start + each])
            yield f"{head:<{place}}{name if not start else '':>{label}}{numbers}".rstrip()
            head = ""


def _row(quantity: Quantity) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{figure.strip()}</td>' for figure in figures)}</tr>"
        for name, figures in _labelled(quantity)
    )
    return (
        f'<tr><th>{html.escape(quantity.symbol)}</th><td class="formula">{html.escape(quantity.formula)}</td>'
        f"<td><table>{rows}</table></td></tr>"
    )
