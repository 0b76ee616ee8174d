"""What is taken for text, and what is said of all else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn

import charrnn as package
from charrnn.errors import CorpusError
from charrnn.text import sources as module
from charrnn.text.corpus import checksum, encode_corpus, read_corpus
from charrnn.text.files import read_directory
from charrnn.text.reading import UTF8, Reading
from charrnn.text.tokenizer import Tokenizer

LINE = "Der Fluß trägt früh den Schnee; a b c.\n"
SMALL = ["--hidden", "6", "--seq-length", "8", "--batch-size", "4", "--max-steps", "6", "--no-yardsticks"]
TINY: dict[str, Any] = dict(hidden=(6,), seq_length=8, batch_size=4, max_steps=6, threads=1)
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


def files(directory: Path, reading: Reading = UTF8) -> list[str]:
    found = read_directory(str(directory), reading).files
    return [Path(name).relative_to(directory).as_posix() for name in found]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A directory `d` of four texts among other files."""
    d = tmp_path / "d"
    (d / "sub").mkdir(parents=True)
    (d / ".git").mkdir()
    texts = {"a.txt": "a\n", "b.py": "é = 1", "sub/c.md": "\ufeffc\n", "z": "z", ".git/config": "no", ".hidden": "no"}
    for name, text in texts.items():
        (d / name).write_text(text, encoding="utf-8")
    (d / "picture").write_bytes(PNG)
    (d / "nuls").write_bytes(b"some\0text")
    (d / "old.txt").write_bytes("für".encode("cp1252"))
    (d / "wide.txt").write_bytes("wide".encode("utf-16-le"))
    os.mkfifo(d / "pipe")
    os.symlink("nowhere", d / "broken")
    os.symlink("sub", d / "link")
    return d


def test_of_a_directory_the_files_that_hold_text_are_read_and_the_others_named(mixed: Path) -> None:
    assert files(mixed) == ["a.txt", "b.py", "sub/c.md", "z"]
    encoded = encode_corpus([str(mixed)])
    assert Tokenizer(encoded.symbols).decode(encoded.ids) == "a\né = 1\nc\nz"  # parted by a line end where none is
    assert encoded.files == 4
    (note,) = encoded.notes
    assert "6 files (link: a link to a directory, nuls: holds NUL bytes, old.txt: not utf-8, …)" in note
    assert "1 unreadable (broken: No such file or directory)" in note
    assert files(mixed, Reading("cp1252")) == ["a.txt", "b.py", "old.txt", "sub/c.md", "z"]
    assert "old.txt" in files(mixed, Reading(on_bad_byte="skip"))


def test_a_glob_chooses_the_files_of_a_directory_and_what_it_chooses_must_be_text(mixed: Path) -> None:
    assert files(mixed, Reading(glob="*.txt, *.md")) == ["a.txt", "old.txt", "sub/c.md", "wide.txt"]
    assert files(mixed, Reading(glob="sub/*")) == ["sub/c.md"]
    with pytest.raises(CorpusError, match="a PNG picture"):
        read_corpus([str(mixed)], Reading(glob="picture"))
    with pytest.raises(CorpusError, match=r"no file that matches glob \*\.rst"):
        read_corpus([str(mixed)], Reading(glob="*.rst"))


def test_a_second_training_in_a_directory_leaves_the_first_run_out_and_both_are_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(LINE * 9)
    (tmp_path / "b.txt").write_text(LINE * 9)
    name = tmp_path.resolve().name
    first = charrnn("train", ".", *SMALL, "--out", "other/first")
    assert first.code == 0 and "2 files" in first.err and "left out" not in first.err, first.err
    second = charrnn("train", ".", *SMALL, "--out", "other/second")
    assert second.code == 0 and "left out of .: 1 run (other/first)" in second.err, second.err
    for _ in range(2):
        package.train(".", **TINY)
    manifests = [json.loads((tmp_path / "runs" / run / "manifest.json").read_text()) for run in (name, f"{name}-2")]
    assert manifests[0]["sha256"] == manifests[1]["sha256"] == checksum([str(tmp_path)])
    for run in (name, f"{name}-2"):
        assert package.resume(run, max_steps=8).steps == 8


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_wide_text_without_a_mark_is_recognised_and_not_learnt_with_its_nuls(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t").write_bytes((LINE * 20).encode(encoding))
    for given in ("utf-8", "latin-1"):
        with pytest.raises(
            CorpusError, match=f"t: looks like {encoding}, not {given}; give it as encoding: {encoding}"
        ):
            encode_corpus([str(tmp_path / "t")], Reading(given))
    assert read_corpus([str(tmp_path / "t")], Reading(encoding)) == LINE * 20


def test_a_wide_text_with_a_mark_is_recognised_and_the_mark_is_no_symbol_in_any_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-32"):
        (tmp_path / "t").write_bytes(LINE.encode(encoding))
        with pytest.raises(CorpusError, match=f"looks like {encoding}"):
            encode_corpus([str(tmp_path / "t")])
    for encoding in ("utf-8", "utf-16-le", "utf-32-be"):
        (tmp_path / "t").write_bytes(("\ufeff" + LINE).encode(encoding))
        encoded = encode_corpus([str(tmp_path / "t")], Reading(encoding))
        assert Tokenizer(encoded.symbols).decode(encoded.ids) == LINE and not encoded.notes


def test_marks_inside_a_text_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(f"\ufeff{LINE}\ufeff{LINE}\ufeff", encoding="utf-8")
    encoded = encode_corpus([str(tmp_path / "t")])
    assert Tokenizer(encoded.symbols).decode(encoded.ids) == LINE * 2
    assert encoded.notes == ("byte order marks inside the text: 2 left out",)


def archives(directory: Path) -> dict[str, str]:
    """Files that are no texts, and what each is."""
    with zipfile.ZipFile(directory / "zip", "w") as archive:
        archive.writestr("t", LINE)
    np.savez(directory / "best.npz", a=np.zeros(3))
    heads = {
        "pdf": (b"%PDF-1.7\n", "a PDF"),
        "7z": (b"7z\xbc\xaf\x27\x1c\0\0", "a 7z file"),
        "png": (PNG, "a PNG picture"),
        "db": (b"SQLite format 3\x00rest", "a SQLite database"),
    }
    for name, (head, _) in heads.items():
        (directory / name).write_bytes(head)
    return {"zip": "a zip file", "best.npz": "a zip file", **{n: k for n, (_, k) in heads.items()}}


def test_a_file_of_a_known_format_is_named_as_what_it_is_with_what_to_do(tmp_path: Path) -> None:
    for name, kind in archives(tmp_path).items():
        for encoding in ("utf-8", "latin-1"):
            with pytest.raises(CorpusError, match=rf"{name}: {kind}.*, no text; [a-z]+ ") as raised:
                encode_corpus([str(tmp_path / name)], Reading(encoding))
            assert raised.value.exit_code == 3


@pytest.mark.parametrize("piece", [1, 5, 1 << 22])
def test_bad_bytes_are_replaced_or_skipped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(module, "PIECE", piece)
    (tmp_path / "t").write_bytes(b"ab\xffc\xe2\x82\nd\xc3")
    for treatment, expected in (("replace", "ab\ufffdc\ufffd\nd\ufffd"), ("skip", "abc\nd")):
        encoded = encode_corpus([str(tmp_path / "t")], Reading(on_bad_byte=treatment))
        assert Tokenizer(encoded.symbols).decode(encoded.ids) == expected
        (note,) = encoded.notes
        assert note.startswith("3 sequences of bytes that are not utf-8: ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_a_bad_byte_is_named_by_line_and_offset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(module, "PIECE", 16)
    good = "ä\nb\n\nc".encode(encoding)
    (tmp_path / "t").write_bytes(good + {"utf-8": b"\xff", "utf-16-le": b"\x00\xdc"}[encoding] + b"more")
    with pytest.raises(CorpusError, match=rf"t, line 4: byte 0x.. at offset {len(good)} is not {encoding}; .*cp1252"):
        encode_corpus([str(tmp_path / "t")], Reading(encoding))


def test_an_unknown_character_is_named_by_the_line_of_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("aa\naa\naa\n")
    (tmp_path / "b").write_text("a\nax\n")
    with pytest.raises(CorpusError, match="b, line 2, column 2: the model does not know 'x'"):
        encode_corpus([str(tmp_path)], tokenizer=Tokenizer("\na"))


def test_unusual_texts_are_read_as_they_are(tmp_path: Path) -> None:
    for text in ("a\0b\0\0c" * 3, "endless" * 50_000, "\x1b\x7f\x85\u2028\r", "\U0010ffff\ue000"):
        (tmp_path / "t").write_bytes(text.encode())
        encoded = encode_corpus([str(tmp_path / "t")])
        assert Tokenizer(encoded.symbols).decode(encoded.ids) == text and not encoded.notes


@pytest.mark.parametrize("encoding, bad", [("utf-16", b"\x00\xdc"), ("utf-32", b"\xff\xff\xff\xff")])
@pytest.mark.parametrize("on_bad_byte", ["error", "replace"])
def test_a_text_without_its_byte_order_mark_is_bad_from_its_first_byte_on(
    tmp_path: Path, encoding: str, bad: bytes, on_bad_byte: str
) -> None:
    native = f"{encoding}-{'le' if sys.byteorder == 'little' else 'be'}"
    for content in ("xb\nc".encode(native), "xb\nc".encode(native) + bad):
        (tmp_path / "t").write_bytes(content)
        with pytest.raises(CorpusError, match=f"t, line 1: byte 0x[0-9a-f]{{2}} at offset 0 is not {encoding};"):
            read_corpus([str(tmp_path / "t")], Reading(encoding, on_bad_byte))


def test_surrogates_are_refused_or_treated_as_bad_bytes(tmp_path: Path) -> None:
    for encoding, data in (("utf-8", b"a\xed\xa0\x80b"), ("utf-7", b"a+2AA-b"), ("utf-16-le", b"a\0\0\xd8b\0")):
        (tmp_path / "t").write_bytes(data)
        with pytest.raises(CorpusError, match=r"^\S*t\b"):
            encode_corpus([str(tmp_path / "t")], Reading(encoding))
        assert read_corpus([str(tmp_path / "t")], Reading(encoding, "skip")) in ("ab", "a")
        assert any(
            note.endswith(f"not {encoding}: skipped")
            for note in encode_corpus([str(tmp_path / "t")], Reading(encoding, "skip")).notes
        )
    (tmp_path / "t").write_bytes(b"a+2ADYANgA-b")  # three surrogates, none of them with the half it needs
    (note,) = encode_corpus([str(tmp_path / "t")], Reading("utf-7", "replace")).notes
    assert note == "3 sequences of bytes that are not utf-7: replaced by U+FFFD"


def test_a_file_that_changes_or_vanishes_between_its_two_readings_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "t"
    changes = {"changed while it was read": lambda: text.write_text("other"), "cannot be read": text.unlink}
    for message, change in changes.items():
        text.write_text(LINE)
        with pytest.raises(CorpusError, match=message):
            encode_corpus([str(text)], progress=lambda count, change=change: text.exists() and change())


def test_a_run_in_another_encoding_is_inspected_evaluated_and_compared_in_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").write_bytes((LINE * 30).encode("cp1252"))
    assert charrnn("train", "t", "--encoding", "cp1252", *SMALL).code == 0
    for command in (["inspect"], ["inspect", "t", "--ckpt", "t"], ["eval"], ["sample", "--novelty", "t"]):
        done = charrnn(*command, *(["--lags", "5"] if "inspect" in command else []))
        assert done.code == 0, (command, done.err)
    assert charrnn("inspect", "t", "--ckpt", "t", "--encoding", "utf-8").code == 3


def test_a_project_that_was_moved_is_resumed_with_its_text_named_and_knows_it_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    monkeypatch.chdir(old)
    (old / "t").write_text(LINE * 20)
    (old / "v").write_text(LINE * 5)
    package.train("t", val_file="v", **TINY)
    monkeypatch.chdir(tmp_path)
    assert package.resume("old/runs/t", max_steps=7).steps == 7  # from another directory
    shutil.copytree(old, new)
    (old / "t").unlink()
    (old / "v").unlink()
    (tmp_path / "wrong").write_text(LINE)
    for texts, message in ((None, "is gone; restore it"), ("wrong", "not the text that new/runs/t was trained on")):
        with pytest.raises(CorpusError, match=message):
            package.resume("new/runs/t", texts, max_steps=8)
    for other, message in (
        ({}, "v: cannot be read"),
        ({"val_file": "wrong"}, "not the text that new/runs/t was begun"),
    ):
        with pytest.raises(CorpusError, match=message):
            package.resume("new/runs/t", "new/t", max_steps=8, **other)
    with pytest.raises(CorpusError, match=r"test_file .*: not the text"):
        package.resume("new/runs/t", "new/t", val_file="new/v", test_file="wrong", max_steps=8)
    done = charrnn("train", "new/t", "--val-file", "new/v", "--resume", "new/runs/t", "--max-steps", "8")
    assert done.code == 0 and "8 steps" in done.err, done.err
    manifest = json.loads((new / "runs" / "t" / "manifest.json").read_text())
    assert manifest["corpus"] == [str((new / "t").resolve())]
    assert charrnn("eval", "--ckpt", "new/runs/t").code == 0


def odds(model: package.Model, symbols: str) -> np.ndarray:
    """log-probability (symbols,) of what follows a text, less that of the first symbol."""
    state = model.score("abcdda\nc").state
    logs = [model.score(symbol, state=state).log_probabilities[0] for symbol in symbols]
    return np.array(logs) - logs[0]


def test_a_vocabulary_grows_and_what_is_said_of_the_symbols_that_were_there_stays_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("abcd\n" * 60)
    (tmp_path / "b").write_text("Äabe\n" * 60, encoding="utf-8")
    (tmp_path / "v").write_text("dcz\n" * 9)
    for cell in ("rnn", "lstm"):
        shape = ["--seq-length", "8", "--batch-size", "4", "--learning-rate", "1e-12"]
        before = package.train(
            "a", f"{cell}-a", cell=cell, hidden=(5, 4), max_steps=9, batch_size=4, seq_length=8
        ).model
        refused = charrnn("train", "b", "--init-from", f"{cell}-a", "--out", "x", *shape)
        assert refused.code == 3 and "'e'" in refused.err
        done = charrnn(
            *("train", "b", "--val-file", "v", "--init-from", f"{cell}-a", "--unknown", "grow", "--out", f"{cell}-b"),
            *(*shape, "--max-steps", "1"),
        )
        assert done.code == 0 and "grown by 3 to 8 symbols" in done.err and "'e' 'z' 'Ä'" in done.err, done.err
        after = package.load(f"{cell}-b")
        assert after.symbols == "\nabcdezÄ"

        np.testing.assert_allclose(odds(after, before.symbols), odds(before, before.symbols), atol=1e-5)
        assert json.loads((tmp_path / f"{cell}-b" / "manifest.json").read_text())["unknown"] == "error"


def test_standard_input_is_called_so_where_it_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = charrnn("train", "-")
    assert (done.code, done.err) == (3, "error: standard input: the text is empty; name one that holds characters\n")
