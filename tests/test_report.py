"""Tables and pictures say what they are given, and fit a terminal of 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from charrnn.report import markdown
from charrnn.report.gradient import checks_table, equations_table
from charrnn.report.lags import table
from charrnn.verify.equations import Equation
from charrnn.verify.gradcheck import Check
from charrnn.verify.inspection import LayerReport


def shown(made: object) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=80, highlight=False).print(made)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    return lines


def test_a_markdown_table_has_a_head_a_rule_and_a_line_for_each_row() -> None:
    assert markdown.table(["a", "b"], [["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |\n"


def test_a_block_replaces_the_one_of_its_name_and_no_other() -> None:
    text = markdown.with_block(markdown.with_block("Prose.\n", "one", "old"), "two", "kept")
    again = markdown.with_block(text, "one", r"new \1")
    assert again == text.replace("old", r"new \1") and again.startswith("Prose.\n<!-- one -->\n\nnew")


def test_a_check_that_fails_is_marked_and_each_method_has_its_column() -> None:
    checks = [
        Check("W_xh1", "full", 8, "complex-step", 1e-15),
        Check("W_xh1", "full", 8, "central", 1e-3),
        Check("W_xh1", "sliding", 3, "complex-step", 2e-15),
    ]
    lines = shown(checks_table(checks, {"complex-step": 1e-10, "central": 1e-6, "enumeration": 1e-10}))
    (full,) = (line for line in lines if " full " in line)
    assert "1.0e-15" in full and "1.0e-03 FAILED" in full
    assert any("sliding τ=3" in line and "2.0e-15" in line and "FAILED" not in line for line in lines)
    assert "enumeration" not in "".join(lines)


def test_an_equation_whose_shapes_do_not_fit_says_so() -> None:
    lines = shown(
        equations_table([Equation("2.1", "(5)", None, 3e-16, "twice"), Equation("2.1", "(6)", 1e-16, 0.0, "h")])
    )
    assert any("shapes do not fit" in line and "3.0e-16" in line for line in lines)
    assert any("(6)" in line and "1.0e-16" in line for line in lines)


def test_a_layer_that_never_forgets_within_the_lags_has_more_memory_than_they() -> None:
    reports = [LayerReport(1, 8, 0.9, 1.1, 0.25, [1.0, 0.5], None), LayerReport(2, 4, 0.9, 1.1, 0.5, [1.0, 0.001], 1)]
    lines = shown(table(reports, 100))
    assert any("25.0%" in line and "more" in line for line in lines) and any("50.0%" in line for line in lines)
