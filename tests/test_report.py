"""Tables and pictures say what they are given, and fit a terminal of 80 columns."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from xml.etree import ElementTree

from rich.console import Console

from charrnn.report import markdown, speed
from charrnn.report.gradient import checks_table, equations_table
from charrnn.report.lags import svg, table
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
        Check("W_xh1", "full", 8, "complex-step", 1e-15, 1e-10),
        Check("W_xh1", "full", 8, "central", 1e-3, 1e-6),
        Check("W_xh1", "sliding", 3, "complex-step", 2e-15, 1e-10),
    ]
    lines = shown(checks_table(checks, {"complex-step": 1e-10, "central": 1e-6, "enumeration": 1e-10}))
    (full,) = (line for line in lines if " full " in line)
    assert "1.0e-15" in full and "1.0e-03 FAILED" in full
    assert any("sliding τ=3" in line and "2.0e-15" in line and "FAILED" not in line for line in lines)
    assert "enumeration" not in "".join(lines)


def test_an_equation_whose_shapes_do_not_fit_says_so() -> None:
    lines = shown(
        equations_table(
            [Equation("2.1", "(5)", None, 2e-16, 3e-16, "twice"), Equation("2.1", "(6)", 1e-16, None, 0.0, "h")]
        )
    )
    assert any(" shapes " in line and "3.0e-16" in line for line in lines)
    assert any("(6)" in line and "1.0e-16" in line for line in lines)


def test_a_layer_that_never_forgets_within_the_lags_reaches_further_than_they() -> None:
    reports = [LayerReport(1, 8, 0.9, 1.1, 0.25, [1.0, 0.5], None), LayerReport(2, 4, 0.9, 1.1, 0.5, [1.0, 0.001], 1)]
    lines = shown(table(reports, 100))
    assert any("25.0%" in line and "more" in line for line in lines) and any("50.0%" in line for line in lines)


# What the tables look like, without spaces at the ends of lines.
CHECKS = [
    "┏━━━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━━━━━━┓",
    "┃           ┃            ┃ complex-step ┃",
    "┃ parameter ┃ truncation ┃      < 1e-10 ┃",
    "┡━━━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━━━━━━┩",
    "│ b1        │ full       │      1.0e-15 │",
    "├───────────┼────────────┼──────────────┤",
    "│ b1        │ fixed τ=3  │      2.0e-15 │",
    "└───────────┴────────────┴──────────────┘",
    "largest relative error of each gradient;",
    "        tolerance in the heading",
]
EQUATIONS = [
    "the equations of Mathematics of Backpropagation Through Time",
    "                      (J. Vera, 2025)",
    "",
    " section   equation   as printed    mended   program   note",
    " ──────────────────────────────────────────────────────────",
    " 2.1       (6)           1.0e+00   2.0e-16   3.0e-16   h",
    "",
    "   relative error against complex-step differences, now;",
    "                  shapes: they do not fit",
]
LAGS = [
    "┏━━━━━━━┳━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━┓",
    "┃ layer ┃ units ┃ spectral radius ┃ largest singular value ┃ saturated ┃ reach ┃",
    "┡━━━━━━━╇━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━┩",
    "│     1 │     8 │           0.900 │                  1.100 │     25.0% │     1 │",
    "└───────┴───────┴─────────────────┴────────────────────────┴───────────┴───────┘",
    " reach: characters back until the gradient is below 1 % of that at lag 0, of 30",
]
ALONE_TABLE = [
    "                       training",
    "┏━━━━━━━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━━━━━━┓",
    "┃ hidden; n; T ┃ k chars/s ┃ spread ┃ share of limit ┃",
    "┡━━━━━━━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━━━━━━┩",
    "│      4; 1; 9 │       1.2 │     3% │             2% │",
    "└──────────────┴───────────┴────────┴────────────────┘",
]
SAMPLED_TABLE = [
    "            sampling one stream",
    "┏━━━━━━━━┳━━━━━━━━━━━┳━━━━━━━━┳━━━━━━━━━━━┓",
    "┃ hidden ┃ k chars/s ┃ spread ┃ × PyTorch ┃",
    "┡━━━━━━━━╇━━━━━━━━━━━╇━━━━━━━━╇━━━━━━━━━━━┩",
    "│     16 │      48.8 │     3% │      5.00 │",
    "└────────┴───────────┴────────┴───────────┘",
]


def stripped(made: object) -> list[str]:
    return [line.rstrip() for line in shown(made)]


def test_a_gradient_table_heads_each_method_with_its_tolerance_and_parts_the_truncations() -> None:
    checks = [
        Check("b1", "full", 8, "complex-step", 1e-15, 1e-10),
        Check("b1", "fixed", 3, "complex-step", 2e-15, 1e-10),
    ]
    assert stripped(checks_table(checks, {"complex-step": 1e-10})) == CHECKS


def test_an_equation_table_has_the_error_as_printed_before_that_of_the_program() -> None:
    assert stripped(equations_table([Equation("2.1", "(6)", 1.0, 2e-16, 3e-16, "h")])) == EQUATIONS


def test_a_lag_table_has_each_figure_of_a_layer_under_its_heading() -> None:
    assert stripped(table([LayerReport(1, 8, 0.9, 1.1, 0.25, [1.0, 0.001], 1)], 30)) == LAGS


@dataclass
class Shape:
    mode: str
    label: str


@dataclass
class Race:
    shape: Shape
    characters_per_second: float
    limit_share: float | None = None
    possible: float | None = None
    peers: dict[str, float] = field(default_factory=dict)

    def spread(self, name: str) -> float:
        return {"charrnn": 0.03}[name]

    def times(self, prefix: str) -> float | None:
        return self.peers.get(prefix)


TRAINED = Race(Shape("train", "8; 2; 5"), 390_200, 0.35, 4.35, {"PyTorch": 1.5, "JAX": 2.25, "": 1.25})
ALONE = Race(Shape("train", "4; 1; 9"), 1_200, 0.02)
SAMPLED = Race(Shape("sample", "16; 1; 500"), 48_800, peers={"PyTorch": 5.0, "": 5.0})


def test_a_race_has_a_column_for_each_peer_that_ran_and_an_empty_cell_where_it_did_not() -> None:
    heads, rows = speed.columns_of([TRAINED, SAMPLED, ALONE], "train")
    assert heads == [
        "hidden; n; T", "k chars/s", "spread", "× PyTorch", "× JAX", "× best", "share of limit", "PyTorch at limit",
    ]  # fmt: skip
    assert rows == [
        ["8; 2; 5", "390.2", "3%", "1.50", "2.25", "1.25", "35%", "4.35"],
        ["4; 1; 9", "1.2", "3%", "", "", "", "2%", ""],
    ]
    assert speed.columns_of([ALONE], "train")[0] == ["hidden; n; T", "k chars/s", "spread", "share of limit"]
    assert speed.columns_of([TRAINED], "sample") == ([], [])


def test_training_and_sampling_have_a_table_each_where_they_were_raced() -> None:
    assert [stripped(one) for one in speed.tables([ALONE, SAMPLED])] == [ALONE_TABLE, SAMPLED_TABLE]
    assert [one.title for one in speed.tables([SAMPLED])] == ["sampling one stream"]


def test_measured_results_replace_the_former_ones_and_keep_the_prose() -> None:
    results = "## Measured\n\n`make bench`; cores 2, date today.\n\n### Sampling one stream\n\n"
    results += "| hidden | k chars/s | spread | × PyTorch |\n|---|---|---|---|\n| 16 | 48.8 | 3% | 5.00 |\n"
    machine = {"cores": "2", "date": "today"}
    assert speed.measured([SAMPLED], machine, "# Mine\n\n## Measured\n\nold\n") == "# Mine\n\n" + results
    assert speed.measured([SAMPLED], machine, "") == "# Benchmarks\n\n" + results


def test_a_curve_that_leaves_the_scale_is_cut_off_there_and_not_drawn_as_a_plateau() -> None:
    drawn = svg([LayerReport(1, 8, 0.9, 1.1, 0.25, [1.0, 1e-3, 1e-9, 1e-9], 1)], "t")
    points = drawn.partition('points="')[2].partition('"')[0].split()
    heights = [float(point.split(",")[1]) for point in points]
    box = ElementTree.fromstring(drawn).find(".//{*}clipPath[@id='scale']/{*}rect")
    assert box is not None
    bottom = int(box.attrib["y"]) + int(box.attrib["height"])
    assert heights[2] > bottom > heights[1]
    assert '<polyline clip-path="url(#scale)"' in drawn
