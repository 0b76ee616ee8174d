"""JSON lines and Parquet: of each record the column that is text, parted as the files of a directory are."""

from __future__ import annotations

import gzip
import json
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn

import charrnn as package
from charrnn.errors import ConfigError, CorpusError
from charrnn.text import records, sources
from charrnn.text.corpus import encode_corpus, read_corpus
from charrnn.text.pieces import cut
from charrnn.text.reading import Reading, end_symbol

TEXTS = ["Der Fluß", "trägt früh\nden Schnee\n", "", 'a "b" \\ \U0001f600\u2028c\x85d', "e\r", "f\u0301 ", "g" * 50]
JOINED = 'Der Fluß\nträgt früh\nden Schnee\na "b" \\ \U0001f600\u2028c\x85d\ne\rf\u0301 \n' + "g" * 50
SMALL = ["--hidden", "6", "--seq-length", "8", "--batch-size", "4", "--max-steps", "6", "--no-yardsticks"]


def json_lines(texts: list[str], column: str = "text", ascii: bool = False) -> bytes:
    rows = (json.dumps({"id": i, column: text, "tags": ["x"]}, ensure_ascii=ascii) for i, text in enumerate(texts))
    return "".join(f"{row}\n" for row in rows).encode()


def write_parquet(path: Path, texts: list[str | None], column: str = "text", kind: str = "string") -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    kinds = {"string": pyarrow.string(), "large": pyarrow.large_string(), "number": pyarrow.int64()}
    if kind == "dictionary":
        values = pyarrow.array(texts).dictionary_encode()
    else:
        values = pyarrow.array(range(len(texts)) if kind == "number" else texts, kinds[kind])
    parquet.write_table(pyarrow.table({"id": list(range(len(texts))), column: values}), path, row_group_size=3)


@pytest.mark.parametrize("piece", [3, 1 << 22])
@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson.gz", "t.parquet"])
def test_records_are_texts_that_a_line_end_parts_where_none_ends_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, piece: int
) -> None:
    monkeypatch.setattr(sources, "PIECE", piece)
    path = tmp_path / name
    for ascii in (True, False):
        data = json_lines(TEXTS, ascii=ascii)
        if name == "t.parquet":
            write_parquet(path, TEXTS)  # type: ignore[arg-type]
        else:
            path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data.removesuffix(b"\n"))
        assert read_corpus([str(path)]) == JOINED
    (tmp_path / "plain").write_text(JOINED, encoding="utf-8", newline="")
    for reading in (Reading(), Reading(unit="byte"), Reading(unit="grapheme", normalize="nfc")):
        found, plain = (encode_corpus([str(tmp_path / file)], reading) for file in (name, "plain"))
        assert found.sha256 == plain.sha256 and found.symbols == plain.symbols
        np.testing.assert_array_equal(found.ids, plain.ids)


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_each_record_is_a_piece_as_each_file_of_a_directory_is(tmp_path: Path, name: str) -> None:
    texts = ["a\nb\n\nc", "d", "", "e\n"]
    (tmp_path / "t.jsonl").write_bytes(json_lines(texts))
    if name == "t.parquet":
        write_parquet(tmp_path / name, texts)  # type: ignore[arg-type]
    expected = {
        "files": ["a\nb\n\nc", "d", "e\n"],
        "blank": ["a\nb", "c", "d", "e"],
        "lines": ["a", "b", "c", "d", "e"],
    }
    for pieces, wanted in expected.items():
        corpus = encode_corpus([str(tmp_path / name)] * 2, Reading(between=end_symbol(pieces)))
        starts, stops = cut(corpus.ids, corpus.tokenizer, pieces)
        found = [corpus.tokenizer.decode(corpus.ids[i:j]) for i, j in zip(starts, stops, strict=True)]
        assert found == wanted * 2


BAD_LINES: dict[str, tuple[str, str]] = {
    "no JSON": ("{text}", r"t\.jsonl, line 3: no JSON object; each line must be one, as \{\"body\": \"a text\"\}"),
    "a list": ('["text"]', "line 3: no JSON object"),
    "cut off": ('{"body": "text', "line 3: no JSON object"),
    "too deep": ("[" * 200_000, "line 3: no JSON object"),
    "another column": (
        '{"id": 1, "te\\u001bxt": ""}',
        r"line 3: no column body; column takes one that it has: id, te\\x1bxt",
    ),
    "no columns": ("{}", "line 3: no column body; it has none at all"),
    "a number": ('{"body": 5}', r"line 3: column body is no text, but int; column takes another"),
    "a surrogate": ('{"body": "\\ud800"}', "t.jsonl: holds surrogates"),
}


@pytest.mark.parametrize("kind", BAD_LINES)
def test_a_line_that_is_no_record_is_named_with_what_to_do(tmp_path: Path, kind: str) -> None:
    line, message = BAD_LINES[kind]
    (tmp_path / "t.jsonl").write_text(f'{{"body": "ab"}}\n\n{line}\n{{"body": "cd"}}\n')
    with pytest.raises(CorpusError, match=message) as raised:
        encode_corpus([str(tmp_path / "t.jsonl")], Reading(column="body"))
    assert raised.value.exit_code == 3 and "\n" not in str(raised.value)


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\n" + b" " * 40_000_000)
    monkeypatch.setattr(records, "LONGEST", 10_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorpusError, match=r"t\.jsonl: a line of more than 10,000,000 characters"):
        encode_corpus([str(tmp_path / "t.jsonl")])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 35_000


def test_what_is_null_is_left_out_and_counted_and_surrogates_are_treated_as_bad_bytes(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": null}\n{"text": "a\\ud800b"}\n{"text": null}\n')
    for treatment, text in (("skip", "ab"), ("replace", "a\ufffdb")):
        corpus = encode_corpus([str(tmp_path / "t.jsonl")], Reading(on_bad_byte=treatment))
        assert corpus.tokenizer.decode(corpus.ids) == text
        assert "records without a text (null): 2 left out" in corpus.notes and len(corpus.notes) == 2
    write_parquet(tmp_path / "t.parquet", ["a", None, "b", None])
    corpus = encode_corpus([str(tmp_path / "t.parquet")])
    assert corpus.tokenizer.decode(corpus.ids) == "a\nb"
    assert corpus.notes == ("records without a text (null): 2 left out",)


def test_parquet_files_of_all_kinds_of_text_are_read_and_others_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    for kind in ("string", "large", "dictionary"):
        write_parquet(path, ["é", "b", "é", "c", "d"], "body", kind)
        assert read_corpus([str(path)], Reading(column="body")) == "é\nb\né\nc\nd"
    with pytest.raises(CorpusError, match=r"t\.parquet: no column text; .*: id, body"):
        read_corpus([str(path)])
    write_parquet(path, ["a", "b"], kind="number")
    with pytest.raises(CorpusError, match="column text is no text, but int64"):
        read_corpus([str(path)])
    write_parquet(path, [f"{i} text" for i in range(500)])
    whole = path.read_bytes()
    for data in (whole[:-9], whole[: len(whole) // 2], b"", whole[:20] + bytes(900) + whole[920:]):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=r"t\.parquet: a Parquet file that is damaged \(.*\); copy") as raised:
            read_corpus([str(path)])
        assert "\n" not in str(raised.value)
    (tmp_path / "packed.parquet.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(CorpusError, match=r"packed.parquet.gz: a Parquet file, no text; give it the ending"):
        read_corpus([str(tmp_path / "packed.parquet.gz")])


def test_parquet_without_its_package_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ConfigError, match=r"t\.parquet: .* needs the package pyarrow; pip install 'charrnn-bptt\[sources\]'"
    ):
        encode_corpus([str(tmp_path / "t.parquet")])


def test_of_a_directory_files_without_the_column_are_left_out_and_others_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(json_lines(["one", "two"]))
    (tmp_path / "b.jsonl").write_bytes(json_lines(["three"], "body"))
    (tmp_path / "c.jsonl").write_text("no JSON\n")
    (tmp_path / "d.txt").write_text("four")
    for unit in ("codepoint", "byte"):
        corpus = encode_corpus([str(tmp_path)], Reading(unit=unit))
        assert corpus.tokenizer.decode(corpus.ids).split() == (
            ["one", "two", "four"] if unit == "codepoint" else ["one", "twofour"]
        )
        (note,) = corpus.notes
        assert "b.jsonl: no column text" in note and "c.jsonl: no JSON object" in note and "2 files" in note


def test_records_are_trained_on_scored_and_resumed_by_the_column_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [f"Schnee Nummer {i}" for i in range(60)]
    Path("corpus.jsonl").write_bytes(json_lines(texts, "body"))
    Path("other.jsonl").write_bytes(json_lines(texts, "words"))
    missing = charrnn("train", "corpus.jsonl", *SMALL)
    assert missing.code == 3 and missing.err.count("\n") == 1 and "id, body, tags" in missing.err
    done = charrnn("train", "corpus.jsonl", "--column", "body", "--pieces", "files", *SMALL)
    assert done.code == 0 and "54 to train on" in done.err, done.err
    assert charrnn("train", "--resume", "corpus", "--max-steps", "7").code == 0
    assert charrnn("eval", "corpus").code == 0
    for command in (["eval", "--no-yardsticks"], ["inspect", "--lags", "3"]):
        command[1:1] = ["corpus", "other.jsonl"]
        assert charrnn(*command).code == 3
        assert charrnn(*command, "--column", "words").code == 0
        without = charrnn(*command, "--column", "none")
        assert without.code == 3 and "; --column takes one that it has: id, words" in without.err, without.err
    Path("prompt.jsonl").write_bytes(json_lines(["Schnee Nu"], "words"))
    for flag, file in (("--novelty", "other.jsonl"), ("--prompt-file", "prompt.jsonl")):
        command = ["sample", "corpus", "--length", "5", flag, file]
        refused = charrnn(*command)
        assert refused.code == 3 and "no column body; --column takes one that it has: id, words" in refused.err
        assert charrnn(*command, "--column", "words").code == 0
    Path("own.jsonl").write_bytes(json_lines(["Schnee Nu"], "body"))
    assert charrnn("sample", "corpus", "--length", "5", "--prompt-file", "own.jsonl").out.startswith("Schnee Nu")
    foreign = json_lines(["Schnee", "Schnee ß"], "body")
    Path("foreign.jsonl").write_bytes(foreign)
    refused = charrnn("eval", "corpus", "foreign.jsonl")
    assert (
        refused.code == 3 and "the text of foreign.jsonl, line 1, column 15: the model does not know 'ß'" in refused.err
    )
    result: Any = package.train("corpus.jsonl", column="body", hidden=(6,), max_steps=2, batch_size=4, seq_length=8)
    assert result.steps == 2
