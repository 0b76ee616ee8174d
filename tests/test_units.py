"""Code points, graphemes and bytes: a text is cut into the same symbols wherever it is read, and comes back whole."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn

import charrnn as package
from charrnn.errors import ConfigError, CorpusError
from charrnn.inference.compressors import compressed
from charrnn.inference.yardsticks import yardsticks
from charrnn.report.yardsticks import lines
from charrnn.text import sources
from charrnn.text.characters import graphemes, normalized_pieces, whole_graphemes
from charrnn.text.corpus import checksum, encode_corpus, open_ids
from charrnn.text.reading import Reading
from charrnn.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
FAMILY, FLAGS, ROCKET = "👨‍👩‍👧‍👦", "🇩🇪🇫🇷", "👩🏽‍🚀"
HINDI, THAI = "क्षि", "กำ"
# Marks of several classes, jamo, vowel signs that compose, a voicing mark of half width, ligatures, joiners, flags.
PARTS = [
    *"eaoñ \nb1",
    *(
        "\u0301",
        "\u0323",
        "\u0327",
        "\u0345",
        "\u09be",
        "\u09c7",
        "\u0bc6",
        "\u0bbe",
        "\u1100",
        "\u1161",
        "\u11a8",
        "가",
    ),
    *("\uff76", "\uff9e", "\ufb03", "\u1e9b", "²", "\r\n", "\r", "\u0600", "\u200d", "\u094d", "\ufe0f", "\u0300" * 5),
    *(FAMILY, FLAGS, ROCKET, HINDI, THAI, "🇩", "👩", "ن", "日"),
]
TEXT = f"Größe naïve {HINDI} {THAI} {FLAGS} {ROCKET} e\u0301;\n" * 30
SMALL: dict[str, Any] = dict(hidden=(6,), seq_length=8, batch_size=4, eval_every=6, max_steps=12, threads=1)
UNITS = {"codepoint": "none", "grapheme": "nfc", "byte": "none"}


def texts(count: int, length: int) -> Iterator[tuple[str, list[str]]]:
    """Texts made of PARTS, and their pieces, cut anywhere."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        text = "".join(rng.choice(PARTS, rng.integers(1, length)))
        cuts = [0, *sorted(rng.integers(0, len(text) + 1, rng.integers(0, 8)).tolist()), len(text)]
        yield text, [text[a:b] for a, b in pairwise(cuts)]


@pytest.mark.parametrize("form", ["nfc", "nfkc"])
def test_a_text_in_pieces_has_the_normal_form_of_the_whole(form: str) -> None:
    for text, pieces in texts(3000, 20):
        assert "".join(normalized_pieces(pieces, form)) == unicodedata.normalize(form.upper(), text), pieces


@pytest.mark.parametrize("form", ["nfc", "nfkc"])
def test_no_border_comes_before_a_code_point_that_a_normal_form_joins_with_another(form: str) -> None:
    hangul = [chr(c) for start, stop in ((0x1100, 0x1200), (0xAC00, 0xAC40)) for c in range(start, stop)]
    composed = [chr(c) for c in range(0x110000) if unicodedata.decomposition(chr(c))]
    text = "".join(f"q{unicodedata.normalize('NFKD', c)}o{c}" for c in composed) + "".join(hangul)
    for a, b in ((0, 1), (1, 2)):  # every border of two code points, in two readings
        pieces = [text[:a], *(text[i : i + b] for i in range(a, len(text), b))]
        assert "".join(normalized_pieces(pieces, form)) == unicodedata.normalize(form.upper(), text)


def test_a_text_in_pieces_has_the_graphemes_of_the_whole() -> None:
    for text, pieces in texts(3000, 20):
        found = [grapheme for piece in whole_graphemes(pieces) for grapheme in graphemes(piece)]
        assert found == list(graphemes(text)) and "".join(found) == text, pieces


def test_a_text_without_line_ends_is_cut_between_graphemes_as_soon_as_two_are_known() -> None:
    text = "e\u0301🇩🇪" * 20
    pieces = list(whole_graphemes(text[i : i + 4] for i in range(0, len(text), 4)))
    assert (
        "".join(pieces) == text
        and [symbol for piece in pieces for symbol in graphemes(piece)] == ["e\u0301", "🇩🇪"] * 20
    )
    assert max(map(len, pieces)) <= 8  # a piece, and what was held of the one before


def test_graphemes_are_what_a_reader_takes_for_a_character() -> None:
    expected = ["é", FAMILY, "🇩🇪", "🇫🇷", ROCKET, HINDI, THAI, "\r\n", "각"]
    assert graphemes("".join(expected)) == expected
    tower = "a" + "\u0301" * 100
    assert [len(grapheme) for grapheme in graphemes(tower)] == [32, 32, 32, 5]


@pytest.mark.parametrize(
    "unit, normalize", [("byte", "none"), *((u, n) for u in ("codepoint", "grapheme") for n in ("none", "nfc", "nfkc"))]
)
def test_a_file_gives_the_same_symbols_wherever_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, normalize: str
) -> None:
    text = "".join(np.random.default_rng(1).choice(PARTS, 400))
    expected = text if normalize == "none" else unicodedata.normalize(normalize.upper(), text)
    (tmp_path / "t").write_text(text, encoding="utf-8", newline="")
    reading, found = Reading(unit=unit, normalize=normalize), []
    for size in (1, 2, 7, 1 << 22):
        monkeypatch.setattr(sources, "PIECE", size)
        encoded = encode_corpus([str(tmp_path / "t")], reading)
        assert encoded.tokenizer.decode(encoded.ids) == "".join(encoded.tokenizer.decoded(encoded.ids)) == expected
        assert encoded.sha256 == checksum([str(tmp_path / "t")], reading)
        found.append((encoded.symbols, encoded.ids.tolist(), encoded.sha256))
        assert encoded.tokenizer.encode(text).tolist() == encoded.ids.tolist()
        assert encoded.tokenizer.code_points_in(encoded.ids) == len(expected)
    assert all(other == found[0] for other in found)
    assert encoded.symbols == tuple(sorted(set(graphemes(expected)))) or unit != "grapheme"


def test_bytes_are_those_of_any_file_and_come_back_as_far_as_they_are_text(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    data = {"a": bytes(range(256)) * 3, "b": b"\x1f\x8czip", "c": "\ufeffä🙂\n".encode()}
    for name, content in data.items():
        (tmp_path / "d" / name).write_bytes(content)
    encoded = encode_corpus([str(tmp_path / "d")], Reading(unit="byte"))
    assert encoded.ids.tobytes() == b"".join(data.values()) and encoded.tokenizer.size == 256
    tokenizer = encoded.tokenizer
    assert list(tokenizer.decoded("aä🙂".encode() + b"\xff\xf0\x9f")) == [
        "a",
        "",
        "ä",
        "",
        "",
        "",
        "🙂",
        "\ufffd",
        "",
        "",
        "\ufffd",
    ]
    assert tokenizer.names[ord("a")] == "a" and tokenizer.names[0xE4] == "\\xe4"


def test_ids_kept_for_graphemes_are_not_taken_for_those_of_other_graphemes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charrnn.text.corpus.IN_MEMORY", 10)
    (tmp_path / "t").write_text(TEXT, encoding="utf-8")
    encoded = encode_corpus([str(tmp_path / "t")], Reading(unit="grapheme"), tmp_path / "ids")
    again = open_ids(tmp_path / "ids", encoded.sha256, encoded.tokenizer, verify=True)
    assert (again.ids == encoded.ids).all() and again.tokenizer.decode(again.ids) == TEXT
    symbols = list(encoded.symbols)  # the same code points, parted elsewhere
    at = next(i for i, symbol in enumerate(symbols[:-1]) if len(symbol) > 1)
    symbols[at], symbols[at + 1] = symbols[at][0], symbols[at][1:] + symbols[at + 1]
    with pytest.raises(CorpusError, match="another text, vocabulary"):
        open_ids(tmp_path / "ids", encoded.sha256, Tokenizer(symbols, "grapheme"))


def test_unknown_graphemes_are_listed_with_their_place_skipped_or_replaced() -> None:
    tokenizer = Tokenizer.from_text("ab \n", "grapheme")
    with pytest.raises(CorpusError, match=r"t, line 2, column 3: the model does not know '🇩🇪' \(U\+1F1E9 U\+1F1EA\); "):
        tokenizer.encode("ab\nab🇩🇪b", source="t")
    assert tokenizer.decode(tokenizer.encode("a🇩🇪b", unknown="replace")) == "a b"
    assert tokenizer.decode(tokenizer.encode("a🇩🇪b", unknown="skip")) == "ab"


@pytest.mark.parametrize("unit", ["codepoint", "grapheme"])
@pytest.mark.parametrize("more", ["", "".join(map(chr, range(0x4E00, 0x4F00)))], ids=["few", "257 or more"])
def test_a_piece_of_ascii_bytes_has_the_ids_of_its_text_and_the_same_error(unit: str, more: str) -> None:
    tokenizer = Tokenizer.from_text("ab\r\n\n" + more, unit)
    for text in ("ab\r\nba\n", "\r\n" * 3, ""):
        ids = tokenizer.encode_piece(text.encode("ascii"))
        assert ids.dtype == (np.uint16 if more else np.uint8)
        cut = re.findall("\r\n|.|\n", text) if unit == "grapheme" else list(text)
        assert [tokenizer.symbols[i] for i in ids] == cut
        assert ids.tolist() == tokenizer.encode_piece(text).tolist()
    with pytest.raises(CorpusError, match=r"line 2, column 2: the model does not know 'c' "):
        tokenizer.encode_piece(b"a\nbca")
    assert tokenizer.decode(tokenizer.encode_piece(b"acb", unknown="skip")) == "ab"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a text t, and a run of each unit, by its name."""
    directory = tmp_path_factory.mktemp("units")
    (directory / "t").write_text(TEXT, encoding="utf-8", newline="")
    for unit, normalize in UNITS.items():
        package.train(directory / "t", directory / unit, unit=unit, normalize=normalize, **SMALL)
    return directory


@pytest.mark.parametrize("unit", UNITS)
def test_every_command_that_reads_or_writes_text_works_with_each_unit(
    trained: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    monkeypatch.chdir(trained)
    symbols = {"codepoint": "characters", "grapheme": "graphemes", "byte": "bytes"}[unit]
    for command in (
        ["eval", "--ckpt", unit],
        ["eval", "t", "--ckpt", unit, "--per-char", "rows.jsonl", "--show", "--color", "never"],
        ["inspect", unit, "--lags", "5"],
        ["inspect", "t", "--ckpt", unit, "--lags", "5"],
        ["sample", unit, "--prompt", f"e\u0301 {HINDI}", "--length", "20", "--stop", ";", "--seed", "1"],
        ["sample", unit, "--novelty", "own", "--length", "40"],
        ["sample", unit, "--novelty", "t", "--num-samples", "2", "--length", "40"],
    ):
        done = charrnn(*command)
        assert done.code == 0, (command, done.err)
        if command[0] == "eval":
            assert symbols in done.out and ("bits per code point" in done.out) == (unit != "codepoint")
    rows = [json.loads(line) for line in (trained / "rows.jsonl").read_text("utf-8").splitlines()]
    whole = [row["character"] for row in rows if row["part"] == "whole"]
    expected = unicodedata.normalize("NFC", TEXT) if unit == "grapheme" else TEXT
    tokenizer = package.load(trained / unit).tokenizer
    assert whole == [tokenizer.names[i] for i in tokenizer.encode(expected)[1:].tolist()]
    shown = charrnn("eval", "t", "--ckpt", unit, "--show", "--color", "never", "--show-length", "60").out
    assert f"Größe naïve {HINDI}" in shown


@pytest.mark.parametrize("unit", UNITS)
def test_a_resumed_run_ends_as_one_that_was_not_interrupted(trained: Path, tmp_path: Path, unit: str) -> None:
    options = {**SMALL, "unit": unit, "normalize": UNITS[unit], "schedule": "constant", "warmup_steps": 2}
    package.train(trained / "t", tmp_path / "parts", **{**options, "max_steps": 6})
    parts = package.resume(tmp_path / "parts", max_steps=12).model
    whole = package.train(trained / "t", tmp_path / "whole", **options).model
    assert (parts.parameters.vector == whole.parameters.vector).all()
    assert (parts.unit, parts.normalize, parts.symbols) == (unit, UNITS[unit], whole.symbols)


@pytest.mark.parametrize("unit", UNITS)
def test_bits_per_code_point_are_those_of_the_whole_text_shared_among_its_code_points(trained: Path, unit: str) -> None:
    model = package.load(trained / unit)
    text = unicodedata.normalize("NFC", TEXT[:200]) if unit == "grapheme" else TEXT[:200]
    score = model.score(text)
    symbols = model.tokenizer.cut(text)
    assert score.characters == len(symbols) - 1 == len(score.log_probabilities)
    bits = -float(score.log_probabilities.sum(dtype=np.float64)) / math.log(2)
    assert score.bits_per_code_point == pytest.approx(bits / (len(text) - 1), rel=1e-5)
    told = score.as_dict()
    assert ("bits_per_code_point" in told) == (unit != "codepoint")
    state = model.score(text).state
    later = model.score("naïve", state=state)
    assert later.code_points == (None if unit == "codepoint" else 5)


def test_yardsticks_are_per_code_point_whatever_the_unit() -> None:
    training, test = TEXT * 3, TEXT[: len(TEXT) // 2]
    found = {}
    for unit in UNITS:
        tokenizer = Tokenizer.from_text(training, unit)
        found[unit] = yardsticks(tokenizer.encode(training), tokenizer.encode(test), tokenizer)
        assert found[unit].compressors == compressed(test, training)
        symbols = len(tokenizer.encode(test)) - 1
        assert found[unit].per_code_point == pytest.approx(symbols / (len(test) - 1), rel=1e-3)
        uniform = next(line for line in lines(1.0, 9, found[unit]) if "uniform" in line)
        expected = math.log2(tokenizer.size) * found[unit].per_code_point
        assert float(uniform.split()[0]) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("unit", ["grapheme", "byte"])
def test_samples_are_whole_texts_of_so_many_symbols_alone_or_side_by_side(trained: Path, unit: str) -> None:
    model = package.load(trained / unit)
    text = model.sample(50, seed=1)
    assert text == "".join(islice(model.stream(seed=1, length=50), 60))
    assert text.encode("utf-8").decode() == text
    stopped = model.sample(4000, seed=2, stop=[" ", ";"])
    assert stopped[-1] in " ;" and not set(stopped[:-1]) & set(" ;")
    assert all(len(sample) for sample in model.samples(3, 20, seed=3))


def test_prompts_stops_and_scored_texts_are_brought_into_the_normal_form_of_the_model(trained: Path) -> None:
    model = package.load(trained / "grapheme")
    assert "é" in model.symbols and "e\u0301" not in model.symbols
    assert (model.encode("e\u0301;") == model.encode("é;")).all()
    assert model.score("ae\u0301;") == model.score("aé;")
    assert model.sample(300, "é", seed=1, stop="e\u0301") == model.sample(300, "e\u0301", seed=1, stop="é")
    with pytest.raises(ConfigError, match=r"does not know '🇩🇰' \(U\+1F1E9 U\+1F1F0\)"):
        model.sample(5, stop="🇩🇰")


def test_a_vocabulary_of_graphemes_grows_and_a_model_of_another_unit_is_not_taken(
    trained: Path, tmp_path: Path
) -> None:
    (tmp_path / "t").write_text(f"x🇩🇰{HINDI}e\u0301;\n" * 40, encoding="utf-8")
    options = {**SMALL, "max_steps": 2, "init_from": trained / "grapheme"}
    grown = package.train(tmp_path / "t", tmp_path / "run", unknown="grow", **options).model
    before = package.load(trained / "grapheme")
    assert set(grown.symbols) == {*before.symbols, "x", "🇩🇰"} and list(grown.symbols) == sorted(grown.symbols)
    with pytest.raises(ConfigError, match='unit "byte": the checkpoint that the weights are taken from has "grapheme"'):
        package.train(tmp_path / "t", tmp_path / "other", unit="byte", **options)


def test_a_checkpoint_keeps_unit_normal_form_and_graphemes(trained: Path, tmp_path: Path) -> None:
    for unit, normalize in UNITS.items():
        model = package.load(trained / unit)
        model.save(tmp_path / "m.npz")
        again = package.load(tmp_path / "m.npz")
        assert (again.unit, again.normalize, again.symbols) == (unit, normalize, model.symbols)
        with np.load(tmp_path / "m.npz", allow_pickle=False) as arrays:
            points = arrays["vocabulary"]
            lengths = arrays["vocabulary_lengths"] if unit == "grapheme" else np.ones(len(points), int)
            ends = np.cumsum(lengths)
            kept = ["".join(map(chr, points[e - n : e])) for e, n in zip(ends, lengths, strict=True)]
            assert kept == list(model.symbols)


def test_bytes_in_a_normal_form_are_refused_and_so_are_graphemes_without_the_package_that_knows_them(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="bytes have no normal form"):
        package.Settings(unit="byte", normalize="nfc")
    (tmp_path / "t").write_text(TEXT, encoding="utf-8")
    program = "import sys; sys.modules['regex'] = None; from charrnn.cli.main import main; main()"
    command = [sys.executable, "-c", program, "train", "t", "--unit", "grapheme", "--out", "x"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 2 and "pip install 'charrnn-bptt[grapheme]'" in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "x").exists()


@pytest.mark.parametrize("unit", UNITS)
def test_a_text_to_stop_at_may_hold_several_symbols(trained: Path, unit: str) -> None:
    model = package.load(trained / unit)
    written = list(model.stream(length=60, seed=3))
    stop = "".join(written[10:13])
    assert len(model.tokenizer.cut(stop)) >= 3
    expected = next(text for text in accumulate(written) if text.endswith(stop))
    assert model.sample(60, seed=3, stop=stop) == expected


def test_an_empty_text_is_told_whatever_a_symbol_is(tmp_path: Path) -> None:
    (tmp_path / "t").touch()
    for unit in UNITS:
        with pytest.raises(CorpusError, match="the text is empty"):
            encode_corpus([str(tmp_path / "t")], Reading(unit=unit))
