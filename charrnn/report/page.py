"""What came of one or several trainings, as one HTML page that loads nothing and can be sent as it is.

Texts and names may come from anyone. They reach the page escaped, and what does not print is shown as an escape. A
content security policy allows the script and the style sheet by their SHA-256, and nothing else.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from charrnn import __version__
from charrnn.errors import shown
from charrnn.report import behaviour, curves
from charrnn.report.charts import marks
from charrnn.report.markup import Runs, count, source, table, template, text
from charrnn.training.findings import Findings
from charrnn.training.run import MADE_WITH
from charrnn.training.settings import FIELDS


def page(found: Sequence[Findings]) -> str:
    """The whole page."""
    runs = list(zip(_names([shown(one.name) for one in found]), found, strict=True))
    style, script = template("report.css"), template("report.js")
    sections: list[tuple[str, str, Callable[[Runs], str]]] = [
        ("loss", "Loss", curves.loss),
        ("beside", "Beside other models", behaviour.beside),
        ("samples", "What it writes", behaviour.samples),
        ("surprise", "What surprises it", behaviour.passages),
        ("units", "Hidden units that follow the text", behaviour.units),
        ("lags", "How far back the gradient reaches", behaviour.lags),
        ("course", "Rate, gradient and speed", curves.course),
        ("settings", "Settings, text and machine", _settings),
    ]
    policy = (
        f"default-src 'none'; script-src {source(script)}; style-src {source(style)}; base-uri 'none'; "
        "form-action 'none'"
    )
    title = f"What came of {', '.join(name for name, _ in runs)}"
    links = "".join(f'<li><a href="#{key}">{heading}</a></li>' for key, heading, _ in sections)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="charrnn {__version__}">',
        f"<title>{text(title)}</title><style>{style}</style></head><body>{marks()}",
        f"<header><h1>{text(title)}</h1>{_verdicts(runs)}",
        f'<nav aria-label="Parts"><ul>{links}</ul></nav></header><main>',
        f'<section aria-label="The runs">{_summary(runs)}</section>',
        *(f'<section id="{key}"><h2>{heading}</h2>{content(runs)}</section>' for key, heading, content in sections),
        f"</main><footer>Written by charrnn {__version__}. Everything is in this file; it loads nothing.</footer>",
        f"<script>{script}</script></body></html>\n",
    ]
    return "\n".join(parts)


def _names(names: Sequence[str]) -> list[str]:
    """The names, with a number where one stands more than once."""
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, 1)]


def _verdicts(runs: Runs) -> str:
    said = [(name, sentence) for name, one in runs for sentence in one.verdict]
    several = len(runs) > 1
    return "".join(
        f'<p class="lead">{f"{text(name)}: " if several else ""}{text(sentence, 400)}</p>' for name, sentence in said
    )


def _summary(runs: Runs) -> str:
    facts: list[tuple[str, Callable[[Findings], str]]] = [
        ("network", _network),
        ("weights", lambda one: count(one.summary.parameters)),
        ("steps", lambda one: count(one.summary.steps)),
        ("epochs", lambda one: next((f"{row['epoch']:.2f}" for row in reversed(one.rows) if "epoch" in row), "")),
        ("best validation, nats per symbol", lambda one: f"{one.best[0]:.4f}" if one.best else "none"),
        ("best validation, bits per code point", _bits),
        ("best at step", lambda one: f"{one.best[1]:,}" if one.best else ""),
        ("time of training", lambda one: "" if one.seconds is None else _duration(one.seconds)),
        ("state", lambda one: one.summary.state),
    ]
    rows = [[name, *(html.escape(value(one)) for _, one in runs)] for name, value in facts]
    return table(["run", *(text(name) for name, _ in runs)], rows, "The runs", "facts")


def _bits(one: Findings) -> str:
    if one.best is None or one.per_code_point is None:
        return ""
    return f"{one.best[0] * one.per_code_point / math.log(2):.4f}"


def _network(one: Findings) -> str:
    cell, phi = one.summary.cell, one.settings.get("activation")
    if cell is None:
        return ""
    return shown(f"{cell} {', '.join(map(str, one.summary.hidden))}{f', φ {phi}' if cell == 'rnn' else ''}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.{int(seconds < 10)}f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _settings(runs: Runs) -> str:
    names = [name for name, _ in runs]
    rows = [[key, *(_value(one.settings.get(key), "left out") for _, one in runs)] for key in FIELDS]
    differ = [row for row in rows if len(set(row[1:])) > 1]
    heads = ["", *map(text, names)]
    parts = []
    if len(runs) > 1:
        parts.append("<h3>Settings that differ</h3>")
        parts.append(table(heads, differ, "Settings that differ", "facts") if differ else "<p>None.</p>")
    parts.append(f"<details><summary>All settings</summary>{table(heads, rows, 'All settings', 'facts')}</details>")
    facts: list[tuple[str, Callable[[Findings], object]]] = [
        (
            "text",
            lambda one: ", ".join(one.texts[:5]) + (f" and {len(one.texts) - 5} more" if len(one.texts) > 5 else ""),
        ),
        ("characters", lambda one: count(one.manifest.characters)),
        ("different symbols", lambda one: count(one.symbols)),
        ("SHA-256 of the text", lambda one: one.manifest.sha256),
        *((name, _made_with(name)) for name in MADE_WITH),
        ("BLAS", _blas),
    ]
    about = [[name, *(_value(fact(one)) for _, one in runs)] for name, fact in facts]
    return "".join(parts) + "<h3>Text and machine</h3>" + table(heads, about, "Text and machine", "facts")


def _blas(one: Findings) -> str:
    told = {key: shown(value) for key, value in one.manifest.blas.items() if value is not None}
    library = " ".join(told.pop(key) for key in ("name", "version") if key in told)
    return ", ".join([library, *(f"{shown(key)} {value}" for key, value in told.items())])


def _made_with(name: str) -> Callable[[Findings], object]:
    return lambda one: one.manifest.made_with.get(name, "")


def _value(value: object, missing: str = "") -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return html.escape(", ".join(shown(one) for one in value))
    return missing if value is None else text(value, 120)
