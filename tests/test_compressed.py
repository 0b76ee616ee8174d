"""Compressed texts are read as what is inside, in bounded memory, or are one line."""

from __future__ import annotations

import bz2
import errno
import gzip
import importlib
import io
import lzma
import os
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from calls import charrnn

from charrnn.errors import ConfigError, CorpusError
from charrnn.text import compressed, sources
from charrnn.text.corpus import encode_corpus, read_corpus
from charrnn.text.reading import Reading

TEXT = "".join(f"{i}: Der Fluß trägt früh den Schnee\r\n" for i in range(400))
SMALL = ["--hidden", "6", "--seq-length", "8", "--batch-size", "4", "--max-steps", "6", "--no-yardsticks"]


def zstd(data: bytes) -> bytes:
    for module in ("compression.zstd", "backports.zstd"):
        try:
            library = importlib.import_module(module)
        except ImportError:
            continue
        return library.compress(data, options={library.CompressionParameter.checksum_flag: 1})  # as the command does
    pytest.skip("zstd files need backports.zstd")


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
}
formats = pytest.mark.parametrize("ending", COMPRESS)


@formats
@pytest.mark.parametrize("piece", [7, 1 << 22])
def test_a_compressed_text_is_the_text_inside_whatever_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, piece: int
) -> None:
    monkeypatch.setattr(sources, "PIECE", piece)
    (tmp_path / "plain").write_bytes(TEXT.encode())
    compress, half = COMPRESS[ending], len(TEXT.encode()) // 2  # within a character or not
    parts = TEXT.encode()[:half], TEXT.encode()[half:]
    (tmp_path / "packed").write_bytes(b"".join(map(compress, parts)))  # as `cat a.gz b.gz` makes it
    for reading in (Reading(), Reading(unit="byte"), Reading(normalize="nfkc")):
        plain, packed = (encode_corpus([str(tmp_path / name)], reading) for name in ("plain", "packed"))
        assert packed.sha256 == plain.sha256 and packed.symbols == plain.symbols
        np.testing.assert_array_equal(packed.ids, plain.ids)
    wide = compress(TEXT.encode("utf-16-le"))
    (tmp_path / "wide").write_bytes(wide)
    assert read_corpus([str(tmp_path / "wide")], Reading("utf-16-le")) == TEXT
    with pytest.raises(CorpusError, match="wide: looks like utf-16-le, not utf-8"):
        read_corpus([str(tmp_path / "wide")])


@formats
def test_a_bad_byte_inside_is_named_by_its_line_in_the_text(tmp_path: Path, ending: str) -> None:
    (tmp_path / "t").write_bytes(COMPRESS[ending](b"a\nb\n\xffc"))
    with pytest.raises(CorpusError, match="t, line 3: byte 0xff at offset 4 is not utf-8"):
        encode_corpus([str(tmp_path / "t")])


@formats
def test_a_compressed_file_that_is_cut_off_or_damaged_is_one_line(tmp_path: Path, ending: str) -> None:
    whole, path = COMPRESS[ending](TEXT.encode()), tmp_path / f"t.{ending}"
    places = [17, len(whole) // 2, len(whole) - 1]
    for place in places:
        path.write_bytes(whole[:place])
        with pytest.raises(CorpusError, match=rf"t\.{ending}: an? \w+ file whose end is missing; copy or fetch"):
            encode_corpus([str(path)])
    refused = 0
    for place in np.random.default_rng(5).integers(0, len(whole), 60).tolist():
        path.write_bytes(whole[:place] + bytes((whole[place] ^ 0x55,)) + whole[place + 1 :])
        try:
            text = read_corpus([str(path)], Reading("latin-1"))
        except CorpusError as error:
            refused += 1
            assert error.exit_code == 3 and "\n" not in str(error) and f"t.{ending}: a" in str(error)
        else:  # a byte of a header that means nothing, as of a time, or of the signature itself
            assert text == TEXT.encode().decode("latin-1") or place < 6
    assert refused > 40
    refusal = charrnn("train", str(path.with_name("cut")), *SMALL)
    assert refusal.code == 3  # no such file
    path.write_bytes(whole[: len(whole) // 2])
    refusal = charrnn("train", str(path), "--out", str(tmp_path / "run"), *SMALL)
    assert refusal.code == 3 and refusal.err.count("\n") == 1 and not (tmp_path / "run").exists(), refusal.err


@formats
def test_what_grows_beyond_any_text_is_refused_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(compressed, "UNSUSPECTED", 1 << 23)
    (tmp_path / "t").write_bytes(COMPRESS[ending](bytes(100_000_000)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorpusError, match=r"t: an? .* that unpacks to more than 500 times its size"):
        encode_corpus([str(tmp_path / "t")], Reading("latin-1", unit="byte"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB, of 98,000
    monkeypatch.setattr(compressed, "UNSUSPECTED", 1 << 28)
    (tmp_path / "t").write_bytes(COMPRESS[ending](b"a" * (1 << 23)))
    assert encode_corpus([str(tmp_path / "t")]).characters == 1 << 23


def test_an_error_of_the_system_is_not_called_damage() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(101 if self.tell() == 0 else size)

    with pytest.raises(OSError, match="Input/output error") as raised:
        compressed.unpacked("t.gz", Failing(gzip.compress(os.urandom(10_000)))).read(10_000)
    assert raised.value.errno == errno.EIO


def test_an_xz_file_that_asks_for_too_much_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(lzma.compress(TEXT.encode(), filters=[{"id": lzma.FILTER_LZMA2, "preset": 1}]))
    forged = bytearray((tmp_path / "t").read_bytes())
    place = forged.index(b"\x21\x01", 12) + 2  # the size of the dictionary, in the header of the first block
    forged[place] = 40  # 4 GiB
    end = 12 + (forged[12] + 1) * 4 - 4
    forged[end : end + 4] = importlib.import_module("zlib").crc32(bytes(forged[12:end])).to_bytes(4, "little")
    (tmp_path / "t").write_bytes(bytes(forged))
    with pytest.raises(CorpusError, match=r"t: an xz file that is damaged \(.*[Mm]emory"):
        encode_corpus([str(tmp_path / "t")])


def test_archives_inside_are_named_and_not_learnt(tmp_path: Path) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(__file__, "a.py")
    inside = {
        "a tar archive, no text; unpack it first, and name": archive.getvalue(),
        "a gzip file inside a compressed one, no text; unpack it once": gzip.compress(b"text"),
    }
    for what, data in inside.items():
        (tmp_path / "t").write_bytes(gzip.compress(data))
        with pytest.raises(CorpusError, match=f"t: {what}"):
            encode_corpus([str(tmp_path / "t")])
    (tmp_path / "t").write_bytes(archive.getvalue())
    with pytest.raises(CorpusError, match="t: a tar archive, no text; unpack it first, and name its directory"):
        encode_corpus([str(tmp_path / "t")])


def test_zstd_without_its_package_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(compressed, "import_module", missing)
    (tmp_path / "t.zst").write_bytes(b"\x28\xb5\x2f\xfd and the rest")
    with pytest.raises(
        ConfigError, match=r"zstd file needs the package backports\.zstd; pip install 'charrnn-bptt\[zst\]'"
    ):
        encode_corpus([str(tmp_path / "t.zst")])


def test_compressed_texts_are_trained_on_validated_scored_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("corpus.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    Path("held.txt.xz").write_bytes(lzma.compress(TEXT.encode()))
    done = charrnn("train", "corpus.txt.gz", "--val-file", "held.txt.xz", *SMALL)
    assert done.code == 0 and f"{len(TEXT):,} characters" in done.err, done.err
    assert os.listdir("runs") == ["corpus"]
    assert charrnn("train", "--resume", "corpus", "--max-steps", "7").code == 0
    for name, text in (("corpus", []), ("corpus", ["held.txt.xz"])):
        done = charrnn("eval", name, *text, "--no-yardsticks")
        assert done.code == 0 and (text or "validation" in done.out), done.err
    piped = charrnn("train", "-", "--out", "piped", *SMALL, stdin=gzip.compress(TEXT.encode()))
    assert piped.code == 0 and f"{len(TEXT):,} characters" in piped.err, piped.err
    Path("corpus.txt.gz").write_bytes(gzip.compress(TEXT.encode() + b"more"))
    changed = charrnn("train", "--resume", "corpus", "--max-steps", "8")
    assert changed.code == 3 and "not the text" in changed.err, changed.err


def test_of_a_directory_compressed_texts_are_read_and_other_compressed_files_left_out(tmp_path: Path) -> None:
    files = {"a.txt.gz": gzip.compress(b"aa"), "b.bz2": bz2.compress(b"bb\n"), "c": b"cc"}
    left_out = {
        "d.gz": gzip.compress(b"\x89PNG\r\n\x1a\n"),
        "e.xz": lzma.compress(b"ee")[:-9],
        "f.gz": b"\x1f\x8b nothing",
    }
    for name, data in {**files, **left_out}.items():
        (tmp_path / name).write_bytes(data)
    encoded = encode_corpus([str(tmp_path)])
    assert encoded.tokenizer.decode(encoded.ids) == "aa\nbb\ncc"
    (note,) = encoded.notes
    for reason in ("d.gz: a PNG picture", "e.xz: an xz file whose end is missing", "f.gz: a gzip file that is damaged"):
        assert reason in note
