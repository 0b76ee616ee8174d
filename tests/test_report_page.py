"""What came of trainings as a page: what stands in it is what the runs hold, whoever they come from."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from calls import charrnn as call
from test_page import contrast

import charrnn
from charrnn.report.charts import COLOURS, MOST, Chart, Event, Line, decades, figure, ticks, written
from charrnn.report.markup import template
from charrnn.report.page import page
from charrnn.training.findings import findings
from charrnn.training.run import Run
from charrnn.verify.inspection import inspect

TEXT = "".join(f'{i}: "The {"cat" if i % 3 else "Dog"}" sat (on {i * i} mats), and {7 * i} more.\n' for i in range(120))
SMALL: dict[str, Any] = dict(hidden=(8, 6), seq_length=10, batch_size=4, eval_every=10, threads=1, val_frac=0.3)
VOID = {"meta", "use", "path", "rect", "line", "circle", "polyline"}


class Parsed(HTMLParser):
    """The page, of which every element must be closed: tables by the caption of their figure, and all ids and texts."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.caption, self.texts = "", ""
        self.feed(source)
        self.close()
        assert not self.open and len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        name = dict(attrs).get("aria-label") or ""
        if dict(attrs).get("role") == "region":
            self.caption = name
        if tag == "tr":
            self.tables.setdefault(self.caption, []).append([])
        if tag in ("td", "th"):
            self.tables[self.caption][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open or "style" in self.open:
            return
        self.texts += data
        if "table" in self.open and ("td" in self.open or "th" in self.open):
            self.tables[self.caption][-1][-1] += data

    def rows(self, caption: str) -> list[dict[str, str]]:
        """The rows of a table, by its heads."""
        head, *rows = self.tables[caption]
        return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with runs of several kinds."""
    directory = tmp_path_factory.mktemp("report")
    (directory / "book.txt").write_text(TEXT)
    book = directory / "book.txt"
    charrnn.train(book, directory / "gru", cell="gru", max_steps=60, **SMALL)
    charrnn.train(book, directory / "plain", max_steps=30, **{**SMALL, "val_frac": 0})
    charrnn.train(book, directory / "pieces", cell="lstm", pieces="lines", max_steps=20, **SMALL)
    charrnn.train(book, directory / "once", max_steps=10, **{**SMALL, "eval_every": 100})
    return directory


def made(*directories: Path) -> str:
    return page(findings([Run(directory) for directory in directories]))


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_tables_below_the_charts_hold_the_numbers_of_the_metrics(runs: Path) -> None:
    parsed, rows = Parsed(made(runs / "gru")), metrics(runs / "gru")
    by_step = {row["step"]: row for row in rows}
    table = parsed.rows("Loss by step: the numbers")
    assert [int(row["step"]) for row in table] == list(by_step)
    for row in table:
        kept = by_step[int(row["step"])]
        for name in ("train", "validation"):
            if name in kept:
                assert row[f"{name}, nats per character"] == f"{kept[name]:.4f}"
                assert row[f"{name}, bits per character"] == f"{kept[name] / math.log(2):.4f}"
            else:
                assert row[f"{name}, nats per character"] == ""
    timed = parsed.rows("Loss by time of training: the numbers")
    by_time = {f"{round(row['seconds'], 3):,.10g}": row["train"] for row in rows}
    assert {row["time of training, seconds"]: row["train, nats per character"] for row in timed} == {
        seconds: f"{train:.4f}" for seconds, train in by_time.items()
    }
    for caption, column, name, shown in (
        ("Learning rate", "gru, learning rate", "learning_rate", "{:.6g}"),
        ("Speed", "gru, characters per second", "characters_per_second", "{:,.0f}"),
        ("Gradient norm by layer", "all, before clipping, gradient norm", "gradient_norm", "{:.4g}"),
    ):
        for row in parsed.rows(f"{caption}: the numbers"):
            assert row[column] == shown.format(by_step[int(row["step"])][name])
    for row in parsed.rows("Gradient norm by layer: the numbers"):
        norms = by_step[int(row["step"])]["gradient_norms"]
        assert [row[f"{name}, gradient norm"] for name in ("layer 1", "layer 2", "output")] == [
            f"{norm:.4g}" for norm in norms
        ]


def test_the_network_stands_among_its_yardsticks_with_its_best_loss(runs: Path) -> None:
    parsed = Parsed(made(runs / "gru"))
    best = min(row["validation"] for row in metrics(runs / "gru") if "validation" in row)
    ranks = [(float(row[2]), row[0]) for row in parsed.tables["Yardsticks"][1:]]
    assert ranks == sorted(ranks, key=lambda row: -row[0])
    (own,) = (bits for bits, name in ranks if name.startswith("gru ("))
    assert own == pytest.approx(best / math.log(2), abs=5e-4)
    assert parsed.tables["Growth of n-gram models"][-1][:2] == ["gru", f"{best / math.log(2):.3f}"]
    facts = {name: value for name, value in parsed.tables["The runs"]}
    assert facts["best validation, nats per symbol"] == f"{best:.4f}" and facts["steps"] == "60"


def test_samples_surprise_units_and_lags_are_those_of_the_best_network(runs: Path) -> None:
    (found,) = findings([Run(runs / "gru")])
    parsed = Parsed(page([found]))
    model = charrnn.load(runs / "gru")
    for row in metrics(runs / "gru"):
        assert row.get("sample", "") in parsed.texts
    assert found.sample == model.sample(600, temperature=0.8, seed=1) and found.sample in parsed.texts
    passage = "".join(found.passage.symbols)
    bits = -model.score(passage).log_probabilities / math.log(2)
    table = parsed.rows("Surprise of each character")
    assert passage in TEXT and len(table) == len(passage) == 600
    assert [row["bits"] for row in table[1:]] == [f"{value:.2f}" for value in bits]
    assert all(unit.feature in parsed.texts for unit in found.units.found)
    assert found.lags == inspect(model.parameters, model.encode(TEXT), 100)
    norms = [row["layer 2, norm relative to lag 0"] for row in parsed.rows("Gradient by lag: the numbers")]
    assert norms == [f"{norm:.3g}" for norm in found.lags[1].norms]
    assert [row["reach"] for row in parsed.rows("Layers")] == [str(layer.memory or "over 100") for layer in found.lags]


def test_the_page_loads_nothing_allows_only_its_own_script_and_names_every_chart(runs: Path) -> None:
    source = made(runs / "gru", runs / "pieces")
    parsed = Parsed(source)
    (policy,) = (
        value for tag, name, value in parsed.attributes if tag == "meta" and name == "content" and "src" in value
    )
    for element, kind in (("script", "script"), ("style", "style")):
        content = source.split(f"<{element}>")[1].split(f"</{element}>")[0]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "http:" not in source and "https:" not in source
    for _, name, value in parsed.attributes:
        assert name not in ("style", "src", "onclick")
        if name in ("aria-labelledby", "aria-describedby"):
            assert value in parsed.ids
        if name == "href":
            assert value[1:] in parsed.ids
    charts = [value for tag, name, value in parsed.attributes if tag == "figure" and value == "chart"]
    named = [name for tag, name, _ in parsed.attributes if tag == "svg" and name.startswith("aria-") and "by" in name]
    assert len(charts) == 8 and len(named) == 2 * len(charts)


def test_letters_curves_and_grounds_have_the_contrast_of_wcag_aa() -> None:
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6});", block))
        for block in re.findall(r":root \{.*?\}", template("report.css"), re.S)
    )
    for colours in (light, {**light, **dark}):
        grounds = ("paper", "raised", "p1", "p2", "p3", "p4", "low", "high")
        assert min(contrast(colours["ink"], colours[ground]) for ground in grounds) >= 4.5
        assert min(contrast(colours["quiet"], colours[ground]) for ground in ("paper", "raised", "p1")) >= 4.5
        drawn = ("accent", "line", *(f"c{i}" for i in range(COLOURS)))
        assert min(contrast(colours[name], colours["paper"]) for name in drawn) >= 3


def test_several_runs_share_their_yardsticks_and_settings_that_differ_are_told(runs: Path) -> None:
    shutil.copytree(runs / "gru", runs / "again" / "gru", dirs_exist_ok=True)
    parsed = Parsed(made(runs / "gru", runs / "once", runs / "again" / "gru"))
    assert parsed.tables["The runs"][0] == ["run", "gru (1)", "once", "gru (3)"]
    assert {row[0] for row in parsed.tables["Settings that differ"][1:]} == {
        *("cell", "warmup_steps", "max_steps", "eval_every"),
    }
    assert ["tau", *["left out"] * 3] in parsed.tables["All settings"]
    networks = [row[0] for row in parsed.tables["Yardsticks"] if "weights)" in row[0]]
    assert sorted(networks) == sorted(set(networks)) and len(networks) == 3
    assert len(parsed.tables["Yardsticks"]) == 11


def test_a_run_without_validation_has_no_yardsticks_and_says_so(runs: Path) -> None:
    texts = Parsed(made(runs / "plain")).texts
    assert "Left out: the run has no validation loss." in texts
    assert "no validation loss; the training loss decided which network is best" in texts
    assert "The beginning of the training text" in texts


def test_the_gradient_by_lag_of_a_run_of_pieces_stops_where_a_piece_begins(runs: Path) -> None:
    (found,) = findings([Run(runs / "pieces")])
    told = json.loads(call("inspect", str(runs / "pieces"), "--json").out)["layers"]
    assert [vars(layer) for layer in found.lags] == told
    assert found.lags[0].norms[-1] == 0  # a piece has fewer characters


def test_a_run_of_pieces_shows_whole_ones_and_one_evaluation_is_a_point(runs: Path) -> None:
    (found,) = findings([Run(runs / "pieces")])
    passage = "".join(found.passage.symbols)
    assert passage.startswith("\n") and set(passage[1:].split("\n")[:-1]) <= set(TEXT.split("\n"))
    model = charrnn.load(runs / "pieces")
    scored = model.score_ids(model.encode(passage), keep=True).log_probabilities
    bits = [row["bits"] for row in Parsed(page([found])).rows("Surprise of each character")]
    assert bits[1:] == [f"{value:.2f}" for value in -scored / math.log(2)]
    assert len(Parsed(made(runs / "once")).rows("Loss by step: the numbers")) == 1


@pytest.mark.parametrize("unit", ["byte", "grapheme"])
def test_other_symbols_are_shown_one_by_one_and_losses_compared_by_code_point(
    runs: Path, tmp_path: Path, unit: str
) -> None:
    text = TEXT.replace("cat", "Käse\u0301 🇩🇪")
    (tmp_path / "t").write_text(text, encoding="utf-8", newline="")
    charrnn.train(tmp_path / "t", tmp_path / "run", max_steps=20, unit=unit, **SMALL)
    (found,) = findings([Run(tmp_path / "run")])
    parsed, tokenizer = Parsed(page([found])), charrnn.load(tmp_path / "run").tokenizer
    assert found.best and found.passage and found.beside and found.units
    shown = [tokenizer.names[i] for i in tokenizer.encode(text)]
    assert any(shown[i : i + 600] == found.passage.symbols for i in range(len(shown)))
    assert [row["character"] for row in parsed.rows("Surprise of each character")[:40]] == [
        {" ": "space", "\n": "⏎"}.get(name, name) for name in found.passage.symbols[:40]
    ]
    bits = found.best[0] / math.log(2) * found.beside.yardsticks.per_code_point
    facts = {name: value for name, value in parsed.tables["The runs"]}
    assert facts["best validation, bits per code point"] == f"{bits:.4f}" and "nats per symbol" in parsed.texts
    assert found.beside.yardsticks.per_code_point != 1
    assert any(row[0].startswith("run (") and row[2] == f"{bits:.3f}" for row in parsed.tables["Yardsticks"])
    assert "inside quotes" in parsed.texts


def test_divergence_and_rollbacks_are_told_where_they_happened(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "gru", tmp_path / "run")
    rows = [
        *metrics(runs / "gru")[:3],
        {"step": 30, "rollback": 1, "after": 34, "learning_rate": 0.0015},
        {"step": 41, "diverged": True},
    ]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    parsed = Parsed(made(tmp_path / "run"))
    assert parsed.texts.count("diverged after step 34, and went back to step 30 with half the rate, 0.0015.") == 5
    assert parsed.texts.count("diverged at step 41, and stopped.") == 5
    assert dict(parsed.tables["The runs"])["state"] == "diverged"


def test_a_run_that_never_got_far_says_what_happened(tmp_path: Path, runs: Path) -> None:
    with pytest.raises(charrnn.CharrnnError):
        charrnn.train(
            runs / "book.txt",
            tmp_path / "run",
            **{**SMALL, "activation": "relu", "grad_clip": 0, "optimizer": "sgd", "learning_rate": 1e8, "max_steps": 9},
        )
    texts = Parsed(made(tmp_path / "run")).texts
    assert "no step was recorded yet" in texts and "diverged at step" in texts and "The last network" in texts


@pytest.mark.parametrize("factor", [1e12, 1e30])
def test_a_network_whose_numbers_are_not_finite_is_no_traceback(tmp_path: Path, runs: Path, factor: float) -> None:
    charrnn.train(
        runs / "book.txt", tmp_path / "run", **{**SMALL, "activation": "relu", "max_steps": 10, "init": "orthogonal"}
    )
    model = charrnn.load(tmp_path / "run")
    model.parameters.vector[...] *= np.float32(factor)
    model.save(tmp_path / "run" / "best.npz")
    (found,) = findings([Run(tmp_path / "run")])
    parsed = Parsed(page([found]))
    assert set(found.left_out.values()) == {"the network gives numbers that are not finite"}
    assert len(found.left_out) >= 2 and "nan" not in parsed.texts and "Loss by step: the numbers" in parsed.tables


def test_what_is_foreign_is_escaped(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>&amp;"\x1b[31m\u202e'
    (tmp_path / "r").mkdir()
    text = tmp_path / '"><img src=x onerror=alert(1)>.txt'
    text.write_text(evil.replace("script", "SCRIPT") * 60 + "\n\x00")
    name = '<b onclick="x">&lt;'
    charrnn.train(text, tmp_path / "r" / name, max_steps=4, **SMALL)
    source = made(tmp_path / "r" / name, tmp_path / "r" / name)
    parsed = Parsed(source)
    assert "<img" not in source and "<b onclick" not in source and "<SCRIPT" not in source
    assert "\x1b" not in source and "\u202e" not in source and "\x00" not in source
    assert f"What came of {name} (1), {name} (2)" in parsed.texts and "\\u202e" in parsed.texts
    assert source.count("<script>") == 1
    assert "<td>&lt;</td>" in source and ">&amp;</span>" in source and "><<" not in source


def test_metrics_that_hold_nonsense_are_passed_over(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "gru", tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        for value in ('"<x>"', "true", "null", "[]", "{}", "1e999", "1" + "0" * 400):
            names = ("train", "validation", "learning_rate", "gradient_norm", "seconds", "rollback", "after")
            file.write('{"step": 60, ' + ", ".join(f'"{name}": {value}' for name in names) + "}\n")
            file.write(f'{{"step": 60, "gradient_norms": [{value}], "sample": {value}, "diverged": {value}}}\n')
    assert len(Parsed(made(tmp_path / "run")).rows("Loss by step: the numbers")) == len(metrics(runs / "gru"))


@pytest.mark.parametrize(
    "numbers", [(1e308, -1e308), (0, 1e308), (0, 5e-324), (5e-324, 5e-324), (1e99, -1e99), (1.0, 1.0 + 2**-52)]
)
def test_numbers_of_any_size_are_no_traceback(runs: Path, tmp_path: Path, numbers: tuple[float, float]) -> None:
    shutil.copytree(runs / "gru", tmp_path / "run")
    names = ("train", "validation", "learning_rate", "gradient_norm", "seconds", "characters_per_second")
    rows = [
        {"step": step, **dict.fromkeys(names, number), "gradient_norms": [number] * 3}
        for step, number in zip((1, 2**53), numbers, strict=True)
    ]
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    drawn = [number for number in numbers if abs(number) <= 1e100]
    source = made(tmp_path / "run")
    assert not {"nan", "inf"} & {word for _, _, value in Parsed(source).attributes for word in value.lower().split()}
    assert len(Parsed(source).tables.get("Loss by step: the numbers", [[]])) - 1 == len(drawn)


def test_a_row_with_gradient_norms_of_more_layers_than_a_network_has_is_passed_over(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "gru", tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 60, "gradient_norms": [1.0] * 1002}) + "\n")
    (one,) = findings([Run(tmp_path / "run")], beside=False)
    assert "gradient_norms" not in one.rows[-1] and "gradient_norms" in one.rows[0]


@pytest.mark.parametrize("change", ["gone", "another", "validation gone"])
def test_without_its_text_a_run_shows_the_rest_and_says_why_without_a_path(tmp_path: Path, change: str) -> None:
    text, other = tmp_path / "secret" / "book.txt", tmp_path / "secret" / "held.txt"
    text.parent.mkdir()
    text.write_text(TEXT)
    other.write_text(TEXT[:2000])
    charrnn.train(text, tmp_path / "run", max_steps=10, val_file=str(other), **SMALL)
    assert str(tmp_path) not in made(tmp_path / "run")
    if change == "another":
        text.write_text(TEXT + "more")
    else:
        (other if change == "validation gone" else text).unlink()
    source = made(tmp_path / "run")
    why = {
        "gone": "its text is not where it was: book.txt",
        "another": "its text is no longer the one it was trained on, or cannot be read",
        "validation gone": "its text is not where it was: held.txt",
    }[change]
    assert str(tmp_path) not in source and "secret" not in source
    parsed = Parsed(source)
    assert parsed.texts.count(f"Left out: {why}.") == 4
    assert "Loss by step: the numbers" in parsed.tables and "The best network, temperature 0.8" in parsed.texts


def test_a_text_from_a_pipe_is_shown_as_long_as_its_ids_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--hidden", "6", "--max-steps", "10", "--seq-length", "10", "--batch-size", "4", "--threads", "1"]
    assert call("train", "-", "--out", "run", *small, stdin=TEXT.encode()).code == 0
    assert "The beginning of the validation text" in made(Path("run")) and "standard input" in made(Path("run"))
    Path("run/ids.bin").unlink()
    assert Parsed(made(Path("run"))).texts.count("Left out: its text came from a pipe, and is gone.") == 4


def test_a_cell_that_is_not_known_here_leaves_the_curves(tmp_path: Path) -> None:
    class Own(type(charrnn.CELLS["rnn"]())):  # type: ignore[misc]
        """A cell of a script."""

    (tmp_path / "book.txt").write_text(TEXT)
    charrnn.CELLS["own"] = Own
    try:
        charrnn.train(tmp_path / "book.txt", tmp_path / "run", cell="own", max_steps=10, **SMALL)
        assert "The beginning of the validation text" in made(tmp_path / "run")
    finally:
        del charrnn.CELLS["own"]
    parsed = Parsed(made(tmp_path / "run"))
    why = "Left out: its cell own is not known here; import the module that registers it."
    assert parsed.texts.count(why) == 5 and "Loss by step: the numbers" in parsed.tables


def test_the_command_writes_the_page_and_nothing_into_the_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    before = {path: path.read_bytes() for path in sorted((runs / "gru").rglob("*"))}
    called = call("report", "gru", "once", "--out", "two.html")
    assert called.code == 0 and called.err.startswith("two.html: ") and called.out == ""
    assert "What came of gru, once" in Parsed(Path("two.html").read_text()).texts
    assert {path: path.read_bytes() for path in sorted((runs / "gru").rglob("*"))} == before
    called = call("report", "gru", "--no-yardsticks")
    assert called.code == 0 and "Left out: it was not asked for." in Path("report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["gru", "--out", "page.pdf"], 2, "--out page.pdf: the name must end in .html"),
        (["gru"] * 9, 2, "9 runs: a page shows at most 8 side by side"),
        (["alone.npz"], 2, "alone.npz: a checkpoint by itself has no history; name a run"),
        (["gru", "nowhere"], 3, "nowhere: no checkpoint, and no run of runs/"),
        (["gru", "--out", "missing/page.html"], 5, "missing"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    runs: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(runs)
    shutil.copy("gru/best.npz", "alone.npz")
    before = sorted(path.name for path in runs.iterdir())
    called = call("report", *arguments)
    assert called.code == code and said in called.err and called.err.count("\n") == 1
    assert sorted(path.name for path in runs.iterdir()) == before


def test_of_a_long_line_every_kth_point_is_drawn_and_the_marked_one() -> None:
    points = [(float(i), 5.0 - i / 1000) for i in range(1000)]
    source = figure(Chart("c", "t", "d", "x", "y", [Line("a", points, marked=777)], [Event(3, "it <happened>")]))
    parsed = Parsed(source)
    kept = [int(row["x"].replace(",", "")) for row in parsed.rows("t: the numbers")]
    assert kept[0] == 0 and kept[-1] == 999 and 777 in kept and len(kept) <= MOST + 2
    assert "Every 5th value" in parsed.texts and "it <happened>" in parsed.texts
    assert figure(Chart("c", "t", "d", "x", "y", [Line("a", [])])) == ""


def test_axes_have_few_round_numbers() -> None:
    assert ticks(0, 870) == [0, 200, 400, 600, 800] and ticks(1.28, 4.2) == [1.5, 2, 2.5, 3, 3.5, 4]
    assert ticks(0, 0.003) == pytest.approx([0, 0.001, 0.002, 0.003]) and ticks(2, 2) == [2]
    for low, high in [(0, 1), (-3e-9, 7e-9), (0, 123456789), (99.5, 100.2)]:
        found = ticks(low, high)
        assert 2 <= len(found) <= 6 and low - 1e-12 <= found[0] and found[-1] <= high * (1 + 1e-9)
    assert decades(1e-4, 1e4) == [1e-4, 1e-2, 1, 100, 1e4] and decades(0.06, 0.6) == [0.1, 0.2, 0.5]
    assert [written(x) for x in (0, 1.5, -2, 1500, 1e-4, 2e-5, 1e7)] == [
        "0",
        "1.5",
        "−2",
        "1,500",
        "10⁻⁴",
        "2·10⁻⁵",
        "10⁷",
    ]


@pytest.mark.skipif(browser.FOUND is None, reason="no Chromium")
def test_in_a_browser_it_fits_every_width_and_is_read_by_keyboard(runs: Path) -> None:
    path = runs / "seen.html"
    path.write_text(made(runs / "gru", runs / "pieces"))
    with browser.tab() as tab:
        for width in (320, 1280):
            for scheme in ("light", "dark"):
                tab.size(width, 800, prefers_color_scheme=scheme)
                tab.open(path)
                assert tab.run("document.documentElement.scrollWidth") <= width
        assert tab.run("performance.getEntriesByType('resource').length") == 0
        tab.run("document.querySelector('.passage').focus()")
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
            tab.key(key)
        first = "document.querySelector('.passage').closest('figure')"
        row = tab.run(f"[...{first}.querySelectorAll('tbody tr')[1].cells].map((cell) => cell.textContent)")
        said = tab.run(f"{first}.querySelector('.readout').textContent")
        assert said == f"character: {row[0]}; bits: {row[1]}; rank: {row[2]}; most probable: {row[3]}"
        tab.key("End")
        assert tab.run(f"{first}.querySelector('.chosen') === document.querySelector('.passage').lastElementChild")
        assert tab.complaints == []
