"""The gradient check and the document's equations, as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from charrnn.verify.equations import Equation
from charrnn.verify.gradcheck import Check


def checks_table(checks: Sequence[Check], tolerance: Mapping[str, float]) -> Table:
    """A row for each parameter under each truncation, a column for each method."""
    table = Table(caption="largest relative error of each gradient; tolerance in the heading")
    table.add_column("parameter")
    table.add_column("truncation")
    methods = [method for method in tolerance if any(check.method == method for check in checks)]
    for method in methods:
        table.add_column(f"{method}\n< {tolerance[method]:.0e}", justify="right")
    cells: dict[tuple[str, str], dict[str, Check]] = {}
    for check in checks:
        name = check.policy if check.policy == "full" else f"{check.policy} τ={check.tau}"
        cells.setdefault((name, check.parameter), {})[check.method] = check
    before = None
    for (policy, parameter), row in cells.items():
        if before not in (None, policy):
            table.add_section()
        before = policy
        table.add_row(
            parameter, policy, *(_figure(row[method], tolerance[method]) if method in row else "" for method in methods)
        )
    return table


def _figure(check: Check, usual: float) -> str:
    """The error; its tolerance where that is not the usual one; and whether it failed."""
    own = f" (< {check.tolerance:.0e})" if check.tolerance != usual else ""
    return f"{check.max_relative_error:.1e}{own}{'' if check.passed else ' [bold red]FAILED[/]'}"


def equations_table(rows: Sequence[Equation]) -> Table:
    """A row for each equation: its error as printed, mended where it is wrong, and that of the program."""
    table = Table(
        title="the equations of Mathematics of Backpropagation Through Time (J. Vera, 2025)",
        caption="relative error against complex-step differences, now; shapes: they do not fit",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for name in ("section", "equation", "as printed", "mended", "program", "note"):
        table.add_column(name, justify="right" if name in ("as printed", "mended", "program") else "left")
    for row in rows:
        printed = "shapes" if row.printed_error is None else f"{row.printed_error:.1e}"
        mended = "" if row.mended_error is None else f"{row.mended_error:.1e}"
        table.add_row(row.section, row.equation, printed, mended, f"{row.program_error:.1e}", row.note)
    return table
