"""A model as a page: what stands in it, and what it does in a browser."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from calls import charrnn as call

import charrnn
from charrnn.errors import ConfigError
from charrnn.formats import Origin, page
from charrnn.network.activations import TANH
from charrnn.network.cells.rnn import RNN
from charrnn.network.parameters import Architecture, Parameters, initial
from charrnn.registry import BYTES

TEXT = "".join(f"{i}: the {'cat' if i % 3 else 'dog'} sat on {i * i} mats, and {7 * i} more.\n" for i in range(120))
PROMPT = "12: the "
LENGTH = 2000
NETWORKS: dict[str, dict[str, Any]] = {
    **{f"rnn {phi}": dict(activation=phi) for phi in ("tanh", "relu", "sigmoid", "identity")},
    **{cell: dict(cell=cell) for cell in ("gru", "lstm")},
}
# The greedy text, and the probability that the network had given each of its characters.
GREEDY = """
function greedy(model, network, prompt, length) {
  const ids = new Map(model.symbols.map((symbol, id) => [symbol, id]));
  let states = begin(network);
  for (const c of prompt) states = read(network, ids.get(c), states);
  let text = "";
  const A = [];
  while (text.length < length) {
    const Z = logits(network, states);
    const id = choose(Z, 0);
    A.push(softmax(Z)[id]);
    text += model.symbols[id];
    states = read(network, id, states);
  }
  return { text, A };
}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("page")
    (directory / "text.txt").write_text(TEXT)
    short = dict(hidden=(24, 16), seq_length=32, batch_size=16, max_steps=80, eval_every=40, threads=1)
    for name, settings in NETWORKS.items():
        charrnn.train(directory / "text.txt", out=directory / name, **short, **settings)
    return {name: directory / name for name in NETWORKS}


@pytest.fixture(scope="module")
def pages(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    directory = tmp_path_factory.mktemp("pages")
    for name, run in runs.items():
        charrnn.export(run, directory / f"{name}.html")
    return {name: directory / f"{name}.html" for name in NETWORKS}


@pytest.fixture(scope="module")
def shared_tab() -> Iterator[browser.Tab]:
    if not browser.FOUND:
        pytest.skip(f"no browser: none of {', '.join(browser.NAMES)} is installed")
    with browser.tab() as tab:
        yield tab


@pytest.fixture
def tab(shared_tab: browser.Tab) -> browser.Tab:
    shared_tab.size(1280, 900, prefers_reduced_motion="reduce")
    return shared_tab


def element(page: str, name: str) -> str:
    """The text of the element with this id."""
    match = re.search(rf'<(\w+)[^>]* id="{name}">(.*?)</\1>', page, re.S)
    assert match
    return match[2]


def untrained(symbols: Any, cell: str = "rnn", hidden: tuple[int, ...] = (5,)) -> charrnn.Model:
    unit = "codepoint" if isinstance(symbols, str) else "grapheme"
    weights = initial(Architecture(len(symbols), hidden, cell=cell), np.random.default_rng(0))
    return charrnn.Model(weights, symbols, unit=unit)


def written(model: charrnn.Model, path: Path) -> Path:
    charrnn.export(model, path)
    return path


# What stands in it


@pytest.mark.parametrize("name", NETWORKS)
def test_a_page_holds_every_weight_under_its_name(name: str, runs: dict[str, Path], pages: dict[str, Path]) -> None:
    text = pages[name].read_text("utf-8")
    model, data = charrnn.load(runs[name]), json.loads(element(text, "model"))
    packed = np.frombuffer(base64.b64decode(element(text, "weights")), "<f4")
    assert "".join(data["symbols"]) == model.symbols and tuple(data["hidden"]) == (24, 16)
    start = 0
    for key, shape in data["shapes"]:
        size = math.prod(shape)
        assert (packed[start : start + size].reshape(shape) == model.parameters[key]).all()
        start += size
    assert start == packed.size == model.parameters.vector.size
    assert {n for names in data["layers"] for n in names.values()} == set(model.parameters) - {"W_h2a", "b_a"}


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("name", NETWORKS)
def test_in_node_the_page_writes_what_sample_greedy_writes_with_the_same_probabilities(
    name: str, runs: dict[str, Path], pages: dict[str, Path], tmp_path: Path
) -> None:
    text = pages[name].read_text("utf-8")
    (tmp_path / "greedy.js").write_text(
        f"{element(text, 'network')}\n{GREEDY}\n"
        f"const model = {element(text, 'model')};\n"
        f"const network = unpacked(model, {json.dumps(element(text, 'weights'))});\n"
        f"console.log(JSON.stringify(greedy(model, network, {json.dumps(PROMPT)}, {LENGTH})));\n"
    )
    theirs = json.loads(subprocess.check_output(["node", tmp_path / "greedy.js"], timeout=60))
    model = charrnn.load(runs[name])
    assert theirs["text"] == model.sample(LENGTH, PROMPT, greedy=True)
    ours = model.score(PROMPT + theirs["text"]).log_probabilities[len(PROMPT) - 1 :]
    assert np.allclose(np.log(theirs["A"]), ours, atol=1e-4)


def test_two_hundred_and_thirty_thousand_parameters_make_less_than_one_and_a_half_megabytes() -> None:
    model = untrained("".join(map(chr, range(40, 105))), hidden=(256, 256))
    assert model.parameters.vector.size == 230_465
    assert len(page.content(model, Origin("x"))) < 1_500_000


def test_the_same_model_gives_the_same_bytes(runs: dict[str, Path], tmp_path: Path) -> None:
    one, other = tmp_path / "a.html", tmp_path / "b.HTML"
    charrnn.export(runs["gru"], one)
    charrnn.export(runs["gru"], other)
    assert one.read_bytes() == other.read_bytes()


def test_a_page_tells_the_settings_and_the_loss_of_its_run_and_no_name_of_a_file(runs: dict[str, Path]) -> None:
    model = charrnn.load(runs["lstm"])
    model.settings |= {"val_file": "/home/me/secret.txt", "not a setting": "secret"}
    text = page.content(model, Origin("diary", 120, 1.25)).decode()
    assert "<h1>diary</h1>" in text and "1.2500 nats, or 1.8034 bits, per character; perplexity 3.490" in text
    assert "<dt>seq_length</dt><dd>32</dd>" in text and "<dd>lstm, 2 layers of 24, 16 units</dd>" in text
    assert f"made with charrnn {charrnn.__version__}" in text and "secret" not in text


def test_a_run_gives_its_page_name_steps_and_lowest_validation_loss(
    runs: dict[str, Path], pages: dict[str, Path]
) -> None:
    text = pages["gru"].read_text("utf-8")
    rows = [json.loads(line) for line in (runs["gru"] / "metrics.jsonl").read_text().splitlines()]
    assert "<h1>gru</h1>" in text and "<dd>80 steps</dd>" in text
    assert f"<dd>{min(row.get('validation', 9) for row in rows):.4f} nats" in text


def test_the_scripts_close_no_element_and_fit_beside_the_equations() -> None:
    for name in ("network.js", "rnn.js", "gru.js", "lstm.js", "page.js", "page.css"):
        source = page.template(name)
        assert not re.search(r"</|<!--|<script", source)
        assert name.startswith("page") or max(map(len, source.splitlines())) <= 80


def test_every_colour_of_text_has_the_contrast_of_wcag_aa() -> None:
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6});", block))
        for block in re.findall(r":root \{.*?\}", page.template("page.css"), re.S)
    )
    for colours in (light, dark):
        for text, grounds in {
            "ink": ("paper", "raised", "p1", "p2", "p3", "p4"),
            "quiet": ("paper", "raised", "p1"),
            "on-accent": ("accent",),
        }.items():
            for ground in grounds:
                assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        for mark in ("accent", "line"):  # edges, bars and the mark of what has the focus
            assert min(contrast(colours[mark], colours[ground]) for ground in ("paper", "raised")) >= 3
        # The levels of probability differ in lightness, which no eye confuses.
        ladder = [luminance(colours[name]) for name in ("raised", "p1", "p2", "p3", "p4")]
        assert ladder in (sorted(ladder), sorted(ladder, reverse=True))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# What cannot be


def test_what_a_page_cannot_run_is_one_line_and_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    class Own(RNN):
        pass

    path = tmp_path / "page.html"
    path.write_text("before")
    charrnn.CELLS["own"] = Own
    charrnn.ACTIVATIONS["mine"] = TANH
    try:
        own = untrained("ab", "own")
        with pytest.raises(ConfigError, match=r"^cell own: a page runs charrnn's own rnn, gru, lstm only; train one"):
            charrnn.export(own, path)
        mine = replace(own, parameters=Parameters(Architecture(2, (5,), "mine")))
        with pytest.raises(
            ConfigError, match=r"^activation mine: a page runs charrnn's own tanh, relu, sigmoid, ident"
        ):
            charrnn.export(mine, path)
        charrnn.CELLS["rnn"] = Own  # a cell of one's own under the name of a built-in one
        with pytest.raises(ConfigError, match=r"^cell rnn: a page runs charrnn's own"):
            charrnn.export(untrained("ab"), path)
    finally:
        charrnn.CELLS["rnn"] = RNN
        del charrnn.CELLS["own"], charrnn.ACTIVATIONS["mine"]
    large = untrained("ab").astype(np.float64)
    large.parameters.vector[0] = 1e39
    with pytest.raises(ConfigError, match="too large"):
        charrnn.export(large, path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_the_command_writes_the_newest_run_or_one_by_name_and_says_what_is_wrong(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    for name in ("gru", "lstm"):
        shutil.copytree(runs[name], tmp_path / "runs" / name)
    done = call("export", "gru", "a.html")
    assert (done.code, done.out) == (0, "") and re.fullmatch(r"a\.html: 0\.\d\d MB\n", done.err)
    assert "<h1>gru</h1>" in Path("a.html").read_text("utf-8")
    assert call("export", "b.html").code == 0 and "using runs/" in call("export", "b.html").err
    assert call("export", "--ckpt", "runs/lstm/last.npz", "c.html").code == 0
    assert "<h1>lstm</h1>" in Path("c.html").read_text("utf-8")
    shutil.copy("runs/gru/best.npz", "alone.npz")
    assert call("export", "alone.npz", "d.html").code == 0
    assert "<h1>alone</h1>" in Path("d.html").read_text("utf-8")
    charrnn.export("runs/gru/best.npz", "e.html")
    assert Path("e.html").read_bytes() == Path("a.html").read_bytes()
    formats = ".html, .onnx, .safetensors, .pt, or / for a folder"
    for arguments, code, line in (
        (["gru", "a.tflite"], 2, f"error: a.tflite: no format has the ending .tflite; use {formats}\n"),
        (["gru", "a"], 2, f"error: a: the ending names the format, and it has none; use {formats}\n"),
        (["gru"], 2, "error: gru: a run; name the file to write too, as in: charrnn export gru page.html\n"),
        (["gru", "lstm", "a.html"], 2, "error: gru lstm: one run is exported at a time; name one\n"),
    ):
        done = call("export", *arguments)
        assert (done.code, done.out, done.err) == (code, "", line)
    assert call("export", "grue", "a.html").code == 3
    done = call("export", "gru", "nowhere/a.html")
    assert done.code == 5 and done.err.startswith("error: cannot write nowhere/a.html: ")


HOSTILE: Any = [
    *(
        "</script><script>window.caught = 1</script>",
        "<img src=x onerror=caught=1>",
        "<!--",
        "&lt;",
        '"',
        "'",
        "`${caught}`",
    ),
    *(
        "\u2028",
        "\u2029",
        "\u202e",
        "\u200f",
        "\0",
        "\x1b",
        "\x7f",
        "\r",
        "\n",
        "\t",
        " ",
        "\u0301",
        "\ufeff",
        "\ud7ff",
        "😀",
    ),
    *("e\u0301", "👩\u200d👧", "\r\n", "]]>", "{{weights}}", "$&"),
]
NAME = "</title><script>window.caught = 1</script>\u202e\u2028<b>&{{weights}}"


def test_what_comes_from_others_opens_no_element_and_turns_no_writing() -> None:
    harmless = page.content(untrained([f"s{i}" for i in range(len(HOSTILE))]), Origin("x")).decode()
    text = page.content(untrained(HOSTILE), Origin(NAME)).decode()
    assert re.findall(r"</?\w+|<!\S+", text) == re.findall(r"</?\w+|<!\S+", harmless)
    assert not re.search("[\0-\x09\x0b-\x1f\x7f\u2028\u2029\u200f\u202e]", text)
    assert json.loads(element(text, "model"))["symbols"] == HOSTILE


# What it does in a browser


@pytest.mark.parametrize("name", NETWORKS)
def test_in_a_browser_the_page_writes_what_sample_greedy_writes(
    name: str, runs: dict[str, Path], pages: dict[str, Path], tab: browser.Tab
) -> None:
    tab.open(pages[name])
    theirs = tab.run(f"{GREEDY} greedy(model, network, {json.dumps(PROMPT)}, {LENGTH}).text")
    assert theirs == charrnn.load(runs[name]).sample(LENGTH, PROMPT, greedy=True)
    assert tab.complaints == []


def test_one_types_a_beginning_presses_write_and_reads_on(
    runs: dict[str, Path], pages: dict[str, Path], tab: browser.Tab
) -> None:
    tab.open(pages["lstm"])
    enter(tab, "prompt", PROMPT)
    enter(tab, "temperature", "0")
    tab.run("$('go').click()")
    assert tab.run("$('go').textContent") == "Stop"
    tab.wait("!running && entries.length === 1008")
    ours = charrnn.load(runs["lstm"]).sample(1000, PROMPT, greedy=True)
    assert tab.run("$('text').textContent") == PROMPT + ours
    assert tab.run("$('said').textContent") == f"Written: {ours}" and tab.run("$('go').textContent") == "Continue"
    tab.run("$('go').click()")
    tab.wait("entries.length > 1100")
    tab.run("$('go').click()")
    assert tab.run("running") is False
    longer = charrnn.load(runs["lstm"]).sample(LENGTH, PROMPT, greedy=True)
    assert (PROMPT + longer).startswith(tab.run("$('text').textContent"))


def test_to_stop_and_go_on_at_once_makes_it_no_faster(pages: dict[str, Path], tab: browser.Tab) -> None:
    tab.size(1280, 900, prefers_reduced_motion="no-preference")
    tab.open(pages["gru"])
    frames = (
        "new Promise((done) => { let n = 0; const f = () => (++n < 20 ? requestAnimationFrame(f) : done()); f(); })"
    )
    tab.run(f"for (let i = 0; i < 7; i++) $('go').click(); {frames}")
    assert 20 <= tab.run("entries.length") <= 30


def test_a_text_that_is_full_says_so_and_a_new_one_begins(pages: dict[str, Path], tab: browser.Tab) -> None:
    tab.open(pages["gru"])
    tab.run("while (entries.length < LONGEST - 3) take('t', ids.get('t'), false); $('go').click()")
    tab.wait("!running && entries.length === LONGEST")
    assert tab.run("$('go').disabled") and tab.run("$('full').textContent").endswith("start over.")
    tab.run("$('again').click()")
    assert not tab.run("$('go').disabled") and tab.run("$('full').textContent + $('text').textContent") == ""


def test_each_character_is_coloured_by_its_probability_and_shows_its_rivals(
    runs: dict[str, Path], pages: dict[str, Path], tab: browser.Tab
) -> None:
    tab.open(pages["gru"])
    enter(tab, "prompt", "12: the dot")
    model = charrnn.load(runs["gru"])
    A = np.exp(model.score("12: the dot").log_probabilities)
    assert np.allclose(tab.run("entries.slice(1).map((x) => x.p)"), A, atol=1e-5)
    levels = [int(np.searchsorted([-0.5, -0.2, -0.05, -0.01], -p)) for p in A]
    assert tab.run("spans.slice(1).map((x) => x.className)") == [f"p{level} given" for level in levels]
    assert len(set(levels)) >= 3
    tab.run("spans[9].click()")  # the o of dot
    assert tab.run("$('panel').querySelector('.this .symbol').textContent") == "o"
    assert f"{100 * A[8]:.1f} %" in tab.run("$('panel').textContent")
    first = tab.run("$('panel').querySelector('li .symbol').textContent")
    assert first.replace("␣", " ") == model.sample(1, "12: the d", greedy=True)
    assert tab.run("$('after').textContent").endswith("…12: the d")


def test_the_same_seed_gives_the_same_text_and_another_seed_another(pages: dict[str, Path], tab: browser.Tab) -> None:
    def text(seed: int) -> Any:
        tab.open(pages["gru"])
        enter(tab, "seed", str(seed))
        return tab.run("for (let i = 0; i < 80; i++) writeOne(); show(); $('text').textContent")

    assert text(1) == text(1) != text(2)


def test_chance_follows_the_probabilities(pages: dict[str, Path], tab: browser.Tab) -> None:
    tab.open(pages["gru"])
    shares = tab.run(
        "(() => { const Z = [2, 0, 1, -1], counts = [0, 0, 0, 0], random = seeded(3);"
        "for (let i = 0; i < 40000; i++) counts[choose(Z, 0.5, random)]++;"
        "return counts.map((n) => n / 40000); })()"
    )
    P = np.exp(np.array([2, 0, 1, -1]) / 0.5)
    assert np.allclose(shares, P / P.sum(), atol=0.008)


def test_the_keyboard_reaches_and_works_everything(pages: dict[str, Path], tab: browser.Tab) -> None:
    tab.open(pages["rnn tanh"])
    order = []
    for _ in range(7):
        tab.key("Tab")
        order.append(tab.run("document.activeElement.id"))
        assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert order == ["prompt", "temperature", "seed", "go", "again", "other", "text"]
    tab.run("$('go').focus()")
    tab.key("Enter")
    assert tab.run("running")
    tab.key(" ")
    assert not tab.run("running")
    tab.run("$('text').focus()")
    tab.key("End")
    tab.key("ArrowLeft")
    last = tab.run("entries.length") - 2
    assert tab.run("$('text').getAttribute('aria-activedescendant')") == f"c{last}"
    assert re.fullmatch(r".+, [<>]? ?[\d.]+ %; also .+ %", tab.run(f"spans[{last}].getAttribute('aria-label')"))
    assert tab.run(f"spans[{last}].getAttribute('aria-selected')") == "true"
    tab.key("Escape")
    assert tab.run("$('text').getAttribute('aria-activedescendant')") is None


def test_the_layers_move_with_the_chosen_character(pages: dict[str, Path], tab: browser.Tab) -> None:
    tab.open(pages["lstm"])
    enter(tab, "prompt", "1: the cat sat")
    assert tab.run("[...document.querySelectorAll('figcaption')].map((x) => x.textContent.replace(/, in .*/, ''))") == [
        *("Layer 1, H: 24 units", "Layer 1, C: 24 units", "Layer 2, H: 16 units", "Layer 2, C: 16 units")
    ]
    tab.run("choosing(6)")
    assert tab.run("document.querySelector('.letters .chosen').textContent") == "e"  # it gave the space after it
    column = tab.run(
        "(() => { const c = document.querySelector('canvas');"
        "return [...c.getContext('2d').getImageData(5, 0, 1, 24).data]; })()"
    )
    states = tab.run("[...entries[5].after[0].H]")
    # Blue below zero, orange above it: red against blue.
    assert [column[4 * j] > column[4 * j + 2] for j in range(24) if abs(states[j]) > 0.1] == [
        x > 0 for x in states if abs(x) > 0.1
    ]


def test_the_table_goes_from_the_state_to_the_probabilities(pages: dict[str, Path], tab: browser.Tab) -> None:
    tab.open(pages["gru"])
    enter(tab, "temperature", "0.5")
    rows = tab.run("[...$('table').tBodies[0].rows].map((r) => [...r.cells].map((c) => c.textContent))")
    assert len(rows) == 13
    for _, H_W, b, Z, _, A, _ in rows[:-1]:
        parts = [float(x.replace("−", "-")) for x in (H_W, b, Z)]
        assert parts[0] + parts[1] == pytest.approx(parts[2], abs=0.011) and A.endswith(" %")
    for column in (5, 6):
        assert sum(float(re.sub("[^0-9.]", "", row[column])) for row in rows) == pytest.approx(100, abs=0.7)


@pytest.mark.parametrize("name", ["rnn relu", "gru", "lstm"])
def test_the_code_beside_the_equations_is_the_code_that_runs(
    name: str, pages: dict[str, Path], tab: browser.Tab
) -> None:
    tab.open(pages[name])
    shown = tab.run("[...document.querySelectorAll('pre')].map((x) => x.textContent)")
    running = tab.run("$('network').textContent")
    assert "\n\n".join(shown) == re.sub(r"^/// .*\n", "", running, flags=re.M).strip()
    assert 60 < running.count("\n") < 140


def test_a_page_of_a_model_of_pieces_begins_each_afresh(tab: browser.Tab, tmp_path: Path) -> None:
    model = untrained("\nabc", "lstm")
    model.settings = {"pieces": "lines"}
    tab.open(written(model, tmp_path / "pieces.html"))
    enter(tab, "prompt", "ab")
    tab.run("for (const symbol of '\\nca\\n') take(symbol, ids.get(symbol), false)")
    A = np.exp(model.score("ab\nca\n").log_probabilities)
    assert np.allclose(tab.run("entries.map((x) => x.p)"), A, atol=1e-5) and tab.complaints == []


def test_unknown_characters_are_marked_and_skipped_with_a_word(pages: dict[str, Path], tab: browser.Tab) -> None:
    tab.open(pages["gru"])
    enter(tab, "prompt", "the ЖЖ\u202ecat")
    assert tab.run("$('unknown').textContent").split() == [
        "Unknown",
        "to",
        "the",
        "network,",
        "and",
        "skipped:",
        "Ж",
        "U+202E",
    ]
    assert tab.run("[...document.querySelectorAll('.unknown')].map((x) => x.textContent)") == ["Ж", "Ж", "U+202E"]
    skipping = tab.run("[...states[1].H]")
    enter(tab, "prompt", "the cat")
    assert tab.run("$('unknown').textContent") == "" and tab.run("[...states[1].H]") == skipping
    enter(tab, "prompt", "ЖЖ")
    tab.run("writeOne()")
    assert tab.run("entries.length") == 3 and tab.complaints == []


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_is_wider_than_the_window(width: int, pages: dict[str, Path], tab: browser.Tab, tmp_path: Path) -> None:
    hostile = written(untrained(HOSTILE), tmp_path / f"{'W' * 80}.html")
    tab.size(width, 800, prefers_color_scheme="dark")
    for path in (pages["lstm"], pages["rnn relu"], hostile):
        tab.open(path)
        tab.run("for (let i = 0; i < 300; i++) writeOne(); show(); choosing(entries.length - 1)")
        tab.run("for (const x of entries) showPanel(entries.indexOf(x))")
        assert tab.run("document.documentElement.scrollWidth") <= width
        small = "[...document.querySelectorAll('button, textarea, input')].filter((x) => x.clientHeight > 0)"
        assert min(tab.run(f"{small}.filter((x) => x.id !== 'all').map((x) => x.offsetHeight)")) >= 40


def test_a_hostile_vocabulary_and_name_are_text_and_nothing_else(tab: browser.Tab, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(page.content(untrained(HOSTILE), Origin(NAME)))
    tab.open(path)
    assert tab.run("typeof caught") == "undefined" and tab.complaints == []
    assert tab.run("model.symbols") == HOSTILE
    shown = NAME.replace("\u202e", "\\u202e").replace("\u2028", "\\u2028")
    assert tab.run("document.querySelector('h1').textContent") == shown and tab.run("document.title").startswith(shown)
    tab.run("for (let i = 0; i < model.symbols.length; i++) take(model.symbols[i], i, false); show()")
    told = tab.run(
        "spans.map((x, i) => { choosing(i); return [x.textContent, x.children.length, visible(entries[i].symbol)]; })"
    )
    for symbol, (text, children, listed) in zip(HOSTILE, told, strict=True):
        assert children == 0 and not re.search(r"[\0-\x08\x0b-\x1f\x7f\u2028\u2029\u200f\u202e\ufeff]", text + listed)
        assert listed.strip() and (text == symbol or listed == text or symbol == "\r\n")
    assert dict(zip(HOSTILE, (row[2] for row in told), strict=True)) | {
        **{
            "\0": "U+0000",
            "\x1b": "U+001B",
            "\x7f": "U+007F",
            "\u202e": "U+202E",
            "\u2028": "U+2028",
            "\u0301": "◌\u0301",
        },
        **{"\r\n": "U+000D⏎", "e\u0301": "e\u0301", "👩\u200d👧": "👩\u200d👧", " ": "␣"},
    } == dict(zip(HOSTILE, (row[2] for row in told), strict=True))
    # What is typed is read as the longest symbols that there are.
    assert tab.run("encoded('e\\u0301 \\u{1f469}\\u200d\\u{1f467}\\ud7ff').map((x) => x.symbol)") == [
        *("e\u0301", " ", "👩\u200d👧", "\ud7ff")
    ]
    assert tab.run("typeof caught") == "undefined" and tab.complaints == []


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and the paths that it is asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", paths
        server.shutdown()
        thread.join()


def test_the_policy_of_the_page_lets_nothing_out(
    asked: tuple[str, list[str]], pages: dict[str, Path], tab: browser.Tab, tmp_path: Path
) -> None:
    address, paths = asked
    attempt = (
        f"(async () => {{ let said = 'sent'; await fetch('{address}/fetch', {{ mode: 'no-cors' }})"
        ".catch((e) => { said = e.message; });"
        f"const image = new Image(); const done = new Promise((r) => {{ image.onload = image.onerror = r; }});"
        f"image.src = '{address}/image'; await done;"
        "const script = document.createElement('script'); script.textContent = 'window.caught = 1';"
        "document.body.append(script); return [said, typeof caught]; })()"
    )
    tab.open(pages["gru"])
    assert tab.run(attempt) == ["Failed to fetch", "undefined"] and paths == []
    assert any("Content Security Policy" in line for line in tab.complaints)
    # Without the policy the same attempt gets through: it is the policy that stops it.
    open_page = tmp_path / "open.html"
    text = pages["gru"].read_text("utf-8")
    open_page.write_text(re.sub(r"<meta http-equiv[^>]*>", "", text), "utf-8")
    tab.open(open_page)
    assert tab.run(attempt) == ["sent", "number"] and paths == ["/fetch", "/image"]


def enter(tab: browser.Tab, name: str, value: str) -> None:
    """What a field holds after a user has changed it."""
    tab.run(
        f"$('{name}').value = {json.dumps(value)}; $('{name}').dispatchEvent(new Event('input', {{ bubbles: true }}))"
    )


def test_a_model_of_bytes_is_refused_and_one_of_a_normal_form_carries_it(tmp_path: Path) -> None:
    weights = initial(Architecture(256, (3,)), np.random.default_rng(0))
    with pytest.raises(ConfigError, match="unit byte: a page shows characters"):
        charrnn.export(charrnn.Model(weights, BYTES, unit="byte"), tmp_path / "p.html")
    assert not (tmp_path / "p.html").exists()
    few = initial(Architecture(2, (3,)), np.random.default_rng(0))
    for form, said in (("nfkc", '"normalize":"NFKC"'), ("none", '"normalize":""')):
        charrnn.export(charrnn.Model(few, "ab", normalize=form), tmp_path / "p.html")
        assert said in (tmp_path / "p.html").read_text("utf-8").replace(" ", "")
