"""From files to batches: no character is lost, added or put in the wrong place."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import ConfigError, CorpusError
from charrnn.text import corpus as corpora
from charrnn.text import sources
from charrnn.text.batches import Streams
from charrnn.text.corpus import checksum, encode_corpus, open_ids, read_corpus
from charrnn.text.reading import Reading
from charrnn.text.tokenizer import Tokenizer

MIXED = "Größe\r\nἐν ἀρχῇ\n太初有道 🙂\tالكلمة\n" * 300


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1 << 22])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "utf-8-sig"])
def test_any_text_comes_back_from_its_ids_wherever_pieces_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, encoding: str
) -> None:
    monkeypatch.setattr(sources, "PIECE", piece)
    text = MIXED[:400]
    (tmp_path / "t").write_bytes(text.encode(encoding))
    encoded = encode_corpus([str(tmp_path / "t")], Reading(encoding))
    assert (
        Tokenizer(encoded.symbols).decode(encoded.ids) == text == read_corpus([str(tmp_path / "t")], Reading(encoding))
    )
    assert encoded.symbols == "".join(sorted(set(text)))
    assert encoded.ids.dtype == np.uint8 and encoded.characters == len(text)


def test_several_files_and_a_directory_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    for name, text in (("d/b", "bé"), ("d/a", "a\r\n"), ("d/sub/c", "c"), ("d/.hidden", "no"), ("z", "z")):
        (tmp_path / name).write_bytes(text.encode())
    arguments = [str(tmp_path / "z"), str(tmp_path / "d")]
    assert read_corpus(arguments) == "za\r\nbé\nc"
    encoded = encode_corpus(arguments)
    assert Tokenizer(encoded.symbols).decode(encoded.ids) == "za\r\nbé\nc"
    assert encoded.sha256 == checksum(arguments)


@pytest.mark.parametrize("unit", ["codepoint", "byte"])
def test_progress_is_told_in_bytes_each_time_that_the_text_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    monkeypatch.setattr(sources, "PIECE", 64)
    (tmp_path / "t").write_text(MIXED[:400], encoding="utf-8", newline="")
    size = (tmp_path / "t").stat().st_size
    counts: list[int] = []
    encode_corpus([str(tmp_path / "t")], Reading(unit=unit), progress=counts.append)
    assert size > 400 and sum(counts) == 2 * size and min(counts) > 0 and max(counts) <= 64
    counts.clear()
    checksum([str(tmp_path / "t")], Reading(unit=unit), counts.append)
    assert sum(counts) == size


def test_a_text_in_bytes_is_read_as_far_as_it_is_utf_8(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"a\xff" + "é\r\n".encode())
    assert read_corpus([str(tmp_path / "t")], Reading(unit="byte")) == "a\ufffdé\r\n"


def test_sequences_become_shorter_by_less_than_half_to_use_a_short_text() -> None:
    shorter = 0
    for characters in range(30, 600, 7):
        for T in (9, 24, 25):
            streams = Streams(np.zeros(characters, np.uint8), 4, T)
            asked = min(T, characters - 1)
            assert asked // 2 < streams.seq_length <= asked
            shorter += streams.seq_length < asked
    assert shorter


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xef\xbb\xbfab")
    assert read_corpus([str(tmp_path / "t")]) == "ab"


@pytest.mark.parametrize("before", [0, 1, 5, 4000])
@pytest.mark.parametrize("bad", [b"\xff", b"\xe2\x82", b"\xc3("])
def test_a_bad_byte_is_named_by_file_and_offset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, bad: bytes
) -> None:
    monkeypatch.setattr(sources, "PIECE", 64)
    (tmp_path / "t").write_bytes(b"a" * before + "é".encode() + bad)
    with pytest.raises(CorpusError, match=rf"t, line 1: byte 0x{bad[0]:02x} at offset {before + 2} is not utf-8"):
        encode_corpus([str(tmp_path / "t")])


def test_large_ids_are_kept_in_a_file_that_is_never_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "IN_MEMORY", 100)
    source, kept = tmp_path / "t", tmp_path / "run" / "ids.bin"
    source.write_bytes(MIXED.encode())
    encoded = encode_corpus([str(source)], ids_path=kept)
    assert kept.exists() and Tokenizer(encoded.symbols).decode(encoded.ids) == MIXED
    encoded.release()
    again = open_ids(kept, encoded.sha256, encoded.tokenizer)
    assert (again.ids == encoded.ids).all()
    for sha256, symbols in (("0" * 64, encoded.symbols), (encoded.sha256, encoded.symbols + "\U0001ffff")):
        with pytest.raises(CorpusError, match="not the ids of this text"):
            open_ids(kept, sha256, Tokenizer(symbols))
    kept.write_bytes(b"something else")
    with pytest.raises(CorpusError, match="not the ids"):
        open_ids(kept, encoded.sha256, encoded.tokenizer)


def test_a_vocabulary_of_100_000_symbols_is_numbered(tmp_path: Path) -> None:
    symbols = "".join(chr(c) for c in range(0x10000, 0x10000 + 100_000))
    (tmp_path / "t").write_text(symbols[::-1], "utf-8")
    encoded = encode_corpus([str(tmp_path / "t")])
    assert encoded.symbols == symbols and (encoded.ids == np.arange(100_000)[::-1]).all()


def test_unknown_characters_are_listed_with_their_place_skipped_or_replaced() -> None:
    tokenizer = Tokenizer.from_text("ab c")
    with pytest.raises(CorpusError, match=r"p, line 2, column 3: the model does not know 'x' \(U\+0078\), '🙂'"):
        Tokenizer.from_text("ab c\n").encode("ab\nabxa🙂", source="p")
    assert tokenizer.decode(tokenizer.encode("axb", unknown="skip")) == "ab"
    assert tokenizer.decode(tokenizer.encode("axb", unknown="replace")) == "a b"
    assert Tokenizer("ab").decode(Tokenizer("ab").encode("xb", unknown="replace")) == "ab"
    assert len(tokenizer.encode("")) == 0


def test_an_unknown_encoding_and_an_empty_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "t").touch()
    with pytest.raises(ConfigError, match="utf-9"):
        read_corpus([str(tmp_path / "t")], Reading("utf-9"))
    with pytest.raises(CorpusError, match="empty"):
        encode_corpus([str(tmp_path / "t")])


@pytest.mark.parametrize("length", [2, 3, 10, 57, 200, 211])
@pytest.mark.parametrize("n, T", [(1, 1), (3, 4), (4, 10), (64, 64)])
def test_every_target_is_the_next_character_and_two_epochs_see_all_of_them(length: int, n: int, T: int) -> None:
    ids = np.arange(length)
    streams = Streams(ids, n, T)
    seen = []
    for epoch in (0, 1):
        for start in range(0, streams.length, streams.seq_length):
            inputs, targets = streams.read(epoch, start, start + streams.seq_length)
            assert inputs.shape == (streams.seq_length, streams.batch_size)
            assert (targets == inputs + 1).all()  # of the text, never of another stream
            seen.append(targets)
        in_epoch = np.concatenate(seen[-streams.steps_per_epoch :], axis=0)
        assert len(np.unique(in_epoch)) == in_epoch.size == streams.batch_size * streams.length
        assert (np.diff(in_epoch, axis=0) == 1).all()  # every stream goes on where it was
    predicted = np.unique(np.concatenate([t.ravel() for t in seen]))
    if streams.dropped <= streams.batch_size * streams.length:
        assert (predicted == np.arange(1, length)).all()
    assert streams.dropped == length - 1 - streams.batch_size * streams.length
    assert (streams.notice is None) == ((streams.batch_size, streams.seq_length) == (n, T))


def test_hardly_anything_of_a_short_text_is_left_out_and_a_long_one_keeps_its_sequence_length() -> None:
    kept = 0
    for pairs in range(100, 60_000, 97):
        streams = Streams(np.zeros(pairs + 1, np.uint8), 64, 64)
        left_out = pairs - streams.batch_size * 64 * (pairs // (streams.batch_size * 64))
        assert streams.dropped <= 0.05 * pairs or streams.batch_size == 1, pairs
        assert (streams.seq_length == 64) == (left_out <= 0.05 * pairs), pairs
        kept += streams.seq_length == 64
    assert kept > 100 and Streams(np.zeros(100_000, np.uint8), 64, 64).seq_length == 64


def test_a_text_of_one_character_cannot_be_cut_into_streams() -> None:
    with pytest.raises(CorpusError, match="1 character"):
        Streams(np.arange(1), 4, 4)


def test_a_pipe_is_read_once_and_its_ids_are_kept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(MIXED.encode()))
    writer.start()
    encoded = encode_corpus([str(pipe)], ids_path=tmp_path / "ids.bin")
    writer.join()
    assert Tokenizer(encoded.symbols).decode(encoded.ids) == MIXED
    assert (tmp_path / "ids.bin").exists()
