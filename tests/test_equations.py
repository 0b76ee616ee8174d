"""The document's equations: which of them hold, which do not, and that mending them by the errata makes them hold."""

from __future__ import annotations

import numpy as np
import pytest

from charrnn.verify.equations import by_weight, equations, printed_2_1, random_case

ERRATA = {("2.1", "(4)"), ("2.1", "(5)"), ("2.1", "(7)"), ("2.1", "(8)"), ("2.2", "–")}


@pytest.fixture(scope="module", params=[0, 1])
def rows(request: pytest.FixtureRequest):
    return equations(request.param)


def test_there_is_a_row_for_each_numbered_equation(rows) -> None:
    counts = {s: sum(row.section == s for row in rows) for s in ("1.1", "1.2", "2.1", "2.1.1", "2.2")}
    assert counts == {"1.1": 3, "1.2": 3, "2.1": 8, "2.1.1": 8, "2.2": 1}


def test_exactly_the_errata_fail_in_print(rows) -> None:
    wrong = {(r.section, r.equation) for r in rows if r.printed_error is None or r.printed_error > 1e-3}
    assert wrong == ERRATA
    assert all(r.printed_error < 1e-12 for r in rows if (r.section, r.equation) not in ERRATA)


def test_shapes_that_do_not_fit_are_found_by_evaluating_them(rows) -> None:
    shapes = {(r.section, r.equation) for r in rows if r.printed_error is None}
    assert shapes == {("2.1", "(5)"), ("2.1", "(8)"), ("2.2", "–")}


def test_the_program_is_right_everywhere(rows) -> None:
    assert all(r.program_error < 1e-12 for r in rows)


def test_every_erratum_mended_gives_the_exact_gradient_and_nothing_else_is_mended(rows) -> None:
    assert {(r.section, r.equation) for r in rows if r.mended_error is not None} == ERRATA
    assert all(r.mended_error < 1e-12 for r in rows if r.mended_error is not None)


def test_with_all_but_one_part_mended_the_error_stays() -> None:
    """The path of (7) through layer 2 at t − 1, and the transpose: each alone is enough to be wrong."""
    case = random_case()
    W, out = case.W, case.run(case.W)
    H1, H2 = [case.H_0[0], *out["H1"]], [case.H_0[1], *out["H2"]]
    dZ2, dZ1 = printed_2_1(case)["(3)"](), printed_2_1(case)["(6)"]()
    exact = by_weight(case, "W_xh1", lambda L: L[-1])
    back2 = (dZ2 @ W["W_h2h2"].T) * (1 - H2[1] ** 2)
    for back1 in (dZ1 @ W["W_h1h1"].T, dZ1 @ W["W_h1h1"] + back2 @ W["W_h1h2"].T):
        wrong = case.X[1].T @ dZ1 + case.X[0].T @ (back1 * (1 - H1[1] ** 2))
        assert np.abs(wrong - exact).max() > 0.01 * np.abs(exact).max()


def test_the_eigenvalue_rule_fails_for_a_matrix_that_is_not_normal() -> None:
    # Both eigenvalues are 0.9, and the product of ten still grows; for a normal matrix of the same ones it shrinks.
    powers = [
        np.linalg.norm(np.linalg.matrix_power(A, 10), 2) for A in (np.array([[0.9, 5], [0, 0.9]]), 0.9 * np.eye(2))
    ]
    assert powers[0] > 10 and powers[1] == pytest.approx(0.9**10)
