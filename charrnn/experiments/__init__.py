"""Experiments that anyone can run again: what the truncations do, measured through the product's own code."""

from __future__ import annotations

from dataclasses import dataclass, field

from charrnn.report.markdown import table


@dataclass
class Result:
    """A table of what was measured, in words and figures."""

    heads: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """As a Markdown table."""
        return table(self.heads, self.rows)
