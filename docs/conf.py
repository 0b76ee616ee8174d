"""The site that `make docs` builds of these pages, as they are, with README, CHANGELOG and CONTRIBUTING."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

project = "charrnn"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = ["SECURITY.md", "[!d]*/**"]  # the second so that .venv is not searched
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
smartquotes = False  # or -- of a flag becomes a dash
html_theme = "furo"
html_title = "charrnn"
html_static_path = html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False
html_math_renderer = "mathml"


def navigation(index: str) -> str:
    """The pages that docs/index.md lists, by its headings, for the side of every page."""
    parts = []
    for section in index.split("\n## ")[1:]:
        pages = re.findall(r"^- \[([^\]]+)\]\((.*)\.md\)", section, re.M)
        listed = [f"{title} <{name.replace('../', '/')}>" for title, name in pages]
        parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {section.splitlines()[0]}", *listed, "```"]))
    return "\n\n".join(parts)


def prepared(app: Any, name: str, source: list[str]) -> None:
    """The page as Sphinx reads it: the index with the navigation, and no links to directories."""
    here = (ROOT / name).parent

    def link(found: re.Match[str]) -> str:
        return found[1] if (here / found[2]).is_dir() else found[0]

    source[0] = re.sub(r"\[([^\]]+)\]\(([\w./-]+)\)", link, source[0])
    if name == root_doc:
        source[0] += "\n" + navigation(source[0])


def formula(writer: Any, node: Any) -> None:
    """A formula as MathML, which browsers show without a script."""
    from docutils import nodes
    from latex2mathml.converter import convert

    block = isinstance(node, nodes.math_block)
    written = convert(node.astext(), display="block" if block else "inline")
    tag = "div" if block else "span"
    writer.body.append(f'<{tag} class="math">{written}</{tag}>')
    raise nodes.SkipNode


def forwarded(app: Any, error: Exception | None) -> None:
    """The front page."""
    if error is None:
        page = f'<!doctype html><title>{project}</title><meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
        Path(app.outdir, "index.html").write_text(page, "utf-8")


def setup(app: Any) -> None:
    """What Sphinx calls."""
    app.connect("source-read", prepared)
    app.connect("build-finished", forwarded)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
