"""Experiments that anyone can run again: what the truncations do, measured through the product's own code."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Result:
    """A table of what was measured, in words and figures."""

    heads: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def markdown(self) -> str:
        """As a Markdown table."""
        lines = ["| " + " | ".join(self.heads) + " |", "|" + "---|" * len(self.heads)]
        return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in self.rows)]) + "\n"
