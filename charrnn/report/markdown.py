"""Tables in Markdown, and files that hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, with a line break at its end."""
    lines = [heads, *rows]
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(heads), *body]) + "\n"


def with_block(text: str, name: str, block: str) -> str:
    """`text` with the part between the marks of `name` replaced by `block`; added at the end where there is none."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    marked = f"{begin}\n{block}\n{end}"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    return re.sub(pattern, lambda _: marked, text, flags=re.S) if begin in text else text + marked
