"""Parts of HTML that pages are made of. What is foreign is escaped here; what is called HTML is put in as it is."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Callable, Sequence
from importlib.resources import files

from charrnn.errors import shown
from charrnn.report.surprise import drawn
from charrnn.training.findings import Findings

Runs = Sequence[tuple[str, Findings]]  # with the name that tells each from the others


def template(name: str) -> str:
    """A file of the folder template/."""
    return files("charrnn.report").joinpath("template", name).read_text("utf-8")


def source(text: str) -> str:
    """The text of a script or style element, as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def text(value: object, limit: int = 80) -> str:
    """Foreign text for HTML: at most so long, escaped, and without characters that do not print."""
    return html.escape(shown(value, limit))


def written(text: str) -> str:
    """A foreign text of any length for HTML: its lines as they are, other characters that do not print as escapes."""
    return "".join("\n" if c == "\n" else html.escape(drawn(c)) for c in text)


def count(value: int | None) -> str:
    """A number with commas; nothing if it is not known."""
    return "" if value is None else f"{value:,}"


def grid(blocks: Sequence[str]) -> str:
    """HTML side by side, as far as there is room."""
    return f'<div class="grid">{"".join(blocks)}</div>'


def blocks(runs: Runs, content: Callable[[str, Findings], str]) -> str:
    """A block for each run, below its name where there are several."""
    several = len(runs) > 1
    return grid(
        [
            f'<div class="block">{f"<h3>{text(name)}</h3>" if several else ""}{content(name, one)}</div>'
            for name, one in runs
        ]
    )


def left_out(one: Findings, what: str) -> str:
    """Why a part of this name is not there."""
    return f'<p class="notice">Left out: {html.escape(one.left_out.get(what, "there is nothing to show"))}.</p>'


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], label: str, kind: str = "") -> str:
    """A table whose first column heads the rows. Cells are HTML."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table class="{kind}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def numbers(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "The numbers") -> str:
    """A table that opens on request; its cells are escaped."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<details><summary>{html.escape(caption)}</summary><div class="scroll" role="region" tabindex="0" '
        f'aria-label="{html.escape(title)}"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>'
    )
