"""Texts that are named by an address: read as files are, encoded once, and never asked for again."""

from __future__ import annotations

import gzip
import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from calls import charrnn

from charrnn.errors import ConfigError, CorpusError
from charrnn.text import addresses
from charrnn.text.addresses import base_name, is_address
from charrnn.text.corpus import encode_corpus, read_corpus
from charrnn.text.reading import Reading
from charrnn.training.run import default_directories

fsspec = pytest.importorskip("fsspec")

TEXT = "".join(f"{i}: Der Fluß trägt früh den Schnee\n" for i in range(900))
SMALL = ["--hidden", "6", "--seq-length", "8", "--batch-size", "4", "--max-steps", "6", "--threads", "1"]
RECORDS = "".join(json.dumps({"text": line}) + "\n" for line in TEXT.splitlines())


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` at `address`; those under /cut/ break off, those under /new/ are others each time, those
    under /mute/ stop in the middle for ten seconds, or until `close` is set."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: list[str] = []
        self.close = threading.Event()
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        path, data = self.answer()
        if path.startswith("/new/"):
            data = data.replace(b"0", str(len(self.server.asked) % 10).encode())
        self.wfile.write(data[: len(data) // 2] if path.startswith(("/cut/", "/mute/")) else data)
        if path.startswith("/mute/"):
            self.server.close.wait(10)
            self.wfile.write(data[len(data) // 2 :])

    def answer(self) -> tuple[str, bytes]:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        data = self.server.files.get(path[path.rindex("/") :])
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        return path, data or b""


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("aiohttp")
    files = {
        "/t.txt": TEXT.encode(),
        "/t.txt.gz": gzip.compress(TEXT.encode()),
        "/t.jsonl.gz": gzip.compress(RECORDS.encode()),
    }
    with Server(files) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.close.set()
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("protocol", ["memory", "http"])
def test_what_is_at_an_address_is_read_as_a_file_is(
    request: pytest.FixtureRequest, tmp_path: Path, protocol: str
) -> None:
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    server: Server = request.getfixturevalue("server")
    if protocol == "memory":
        for name, data in server.files.items():
            fsspec.filesystem("memory").pipe(f"/corpus{name}", data)
    base = "memory://corpus" if protocol == "memory" else server.address
    for reading in (Reading(), Reading(unit="byte"), Reading(on_bad_byte="skip", normalize="nfc")):
        plain = encode_corpus([str(tmp_path / "t.txt")], reading)
        for name in ("t.txt", "t.txt.gz"):
            read: list[int] = []
            found = encode_corpus(
                [f"{base}/{name}?key=1" if protocol == "http" else f"{base}/{name}"], reading, progress=read.append
            )
            assert found.sha256 == plain.sha256 and sum(read) == 2 * len(TEXT.encode())
            np.testing.assert_array_equal(found.ids, plain.ids)
    assert read_corpus([f"{base}/t.jsonl.gz"]) == TEXT.removesuffix("\n")
    assert read_corpus([f"{base}/t.txt", str(tmp_path / "t.txt")]) == TEXT * 2
    asked = [line for line in server.asked if line.startswith("GET")]
    assert len(asked) == (0 if protocol == "memory" else 2 * 6 + 2)


def test_a_long_text_is_streamed_from_a_server_that_knows_no_ranges(server: Server) -> None:
    server.files["/long.txt"] = TEXT.encode() * 250  # 8 MB, more than is asked for at once elsewhere
    assert read_corpus([f"{server.address}/long.txt"]) == TEXT * 250


def test_parquet_at_an_address_is_read_where_it_can_be_sought_in(tmp_path: Path, server: Server) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": TEXT.splitlines()}), tmp_path / "t.parquet", row_group_size=50)
    data = (tmp_path / "t.parquet").read_bytes()
    fsspec.filesystem("memory").pipe("/corpus/t.parquet", data)
    assert read_corpus(["memory://corpus/t.parquet"]) == TEXT.removesuffix("\n")
    server.files["/t.parquet"] = data + bytes(20_000_000)  # more than is asked for at once; this server knows no ranges
    with pytest.raises(CorpusError, match=r"t\.parquet: cannot be read \(.*range requests"):
        read_corpus([f"{server.address}/t.parquet"])


def test_a_run_from_addresses_has_the_bits_of_one_from_files_and_never_asks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "v.txt").write_text(TEXT[:3000], encoding="utf-8")
    server.files["/v.txt.gz"] = gzip.compress(TEXT[:3000].encode())
    address, held = f"{server.address}/deep/t.txt.gz?Signature=secret", f"{server.address}/v.txt.gz?Signature=secret"
    assert charrnn("train", "t.txt", "--val-file", "v.txt", "--out", "local", *SMALL).code == 0
    done = charrnn("train", address, "--val-file", held, *SMALL)
    assert done.code == 0 and f"{len(TEXT):,} characters" in done.err, done.err
    assert sorted(os.listdir("runs")) == ["t"]
    manifest = json.loads(Path("runs/t/manifest.json").read_text())
    assert manifest["corpus"] == [address] and held in Path("runs/t/config.yaml").read_text()
    asked = len(server.asked)
    server.files.clear()
    monkeypatch.setitem(sys.modules, "fsspec", None)
    for run in ("local", "t"):
        again = charrnn("train", "--resume", run, "--max-steps", "9")
        assert again.code == 0 and "9 steps" in again.err, again.err
    weights = [np.load(path / "last.npz") for path in (Path("local"), Path("runs/t"))]
    for key in ("W_xh1", "W_h1h1", "W_h1a"):
        np.testing.assert_array_equal(weights[0][key], weights[1][key])
    for command in (
        ["eval", "t"],
        ["inspect", "t", "--lags", "3"],
        ["sample", "t", "--novelty", "own", "--length", "9"],
    ):
        told = charrnn(*command)
        assert told.code == 0, (command, told.err)
    assert charrnn("report", "t", "--out", "page.html").code == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "secret" not in page and "127.0.0.1" not in page and "t.txt.gz" in page and "v.txt.gz" in page
    assert "its text is" not in page and "its text came" not in page
    assert len(server.asked) == asked
    moved = charrnn(
        "train", "t.txt", "--val-file", "v.txt", "--resume", "t", "--max-steps", "10"
    )  # files of the same texts
    assert moved.code == 0, moved.err
    named = charrnn("train", address, "--resume", "t", "--max-steps", "11")
    assert named.code == 2 and "takes its text from files" in named.err


def test_a_run_from_a_file_and_an_address_goes_on_from_what_it_kept_when_the_file_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.txt").write_text(TEXT, encoding="utf-8")
    assert charrnn("train", "t.txt", f"{server.address}/t.txt", "--out", "r", *SMALL).code == 0
    Path("t.txt").unlink()
    for command in (["eval", "r"], ["train", "--resume", "r", "--max-steps", "9"]):
        done = charrnn(*command)
        assert done.code == 0, (command, done.err)


def test_a_run_whose_kept_ids_are_gone_or_changed_says_so_and_asks_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.chdir(tmp_path)
    text, held = f"{server.address}/t.txt", f"{server.address}/t.txt.gz"
    assert charrnn("train", text, "--val-file", held, *SMALL).code == 0
    asked, kept = len(server.asked), {name: Path("runs/t", name).read_bytes() for name in ("ids.bin", "val_file.bin")}
    for name, data in kept.items():
        path = Path("runs/t", name)
        for spoilt in (None, data[:-1], data[:-1] + bytes((data[-1] ^ 1,))):
            path.unlink() if spoilt is None else path.write_bytes(spoilt)
            done = charrnn("train", "--resume", "t", "--max-steps", "9")
            assert done.code == 3 and done.err.count("\n") == 1 and name in done.err, done.err
            assert charrnn("eval", "t").code == 3
            path.write_bytes(data)
    assert charrnn("train", "--resume", "t", "--max-steps", "9").code == 0
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    assert charrnn("train", "t.txt", "--out", "foreign", *SMALL).code == 0
    config, manifest = Path("foreign/config.yaml"), Path("foreign/manifest.json")
    honest = config.read_text(), manifest.read_text()
    told = json.loads(honest[1])
    older = {key: value for key, value in told.items() if key != "others"}
    for claimed in (older, {**told, "others": {}}, {**told, "others": {"val_file": "0" * 64}}):
        config.write_text(honest[0] + f"val_file: {held}\n")  # of someone who wishes to be called
        manifest.write_text(json.dumps(claimed))
        assert charrnn("eval", "foreign").code == charrnn("train", "--resume", "foreign", "--max-steps", "9").code == 3
    config.write_text(honest[0])
    manifest.write_text(json.dumps({**told, "corpus": [text]}))
    assert charrnn("eval", "foreign").code == charrnn("train", "--resume", "foreign", "--max-steps", "9").code == 3
    assert len(server.asked) == asked


def test_what_fails_at_an_address_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.chdir(tmp_path)
    server.files["/bad.gz"] = gzip.compress(TEXT.encode())[:-5]
    server.files["/long.txt"] = TEXT.encode() * 300  # more than one read
    fsspec.filesystem("memory").pipe("/corpus/t.txt", TEXT.encode())
    failing = {
        f"{server.address}/none.txt": (3, "cannot be read"),
        f"{server.address}/cut/t.txt": (3, "cannot be read"),
        f"{server.address}/cut/long.txt": (3, "cannot be read"),
        f"{server.address}/new/t.txt": (3, "the text changed while it was read"),
        f"{server.address}/bad.gz": (3, "a gzip file whose end is missing"),
        "http://127.0.0.1:1/t.txt": (3, "cannot be read"),
        "memory://corpus/none.txt": (3, "no such file"),
        "memory://corpus": (3, "cannot be read"),
        "nothing://corpus": (3, "Protocol not known: nothing"),
        "http://[corpus": (3, "cannot be read"),
    }
    for address, (code, message) in failing.items():
        for arguments in ([address], ["memory://corpus/t.txt", "--val-file", address]):
            done = charrnn("train", *arguments, *SMALL)
            assert done.code == code and done.err.count("\n") == 1 and message in done.err, (address, done.err)
            assert address in done.err and not os.listdir(tmp_path), done.err


def test_a_server_that_falls_silent_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setattr(addresses, "SILENCE", 0.2)
    with pytest.raises(CorpusError, match=r"/mute/t\.txt: cannot be read"):
        read_corpus([f"{server.address}/mute/t.txt"])


def test_without_the_packages_one_line_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(ConfigError, match=r"s3://bucket/t\.txt: .*s3fs"):
            encode_corpus(["s3://bucket/t.txt"])
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ConfigError, match=r"http://127\.0\.0\.1:1/t: .*pip install 'charrnn-bptt\[sources\]'"):
        encode_corpus(["http://127.0.0.1:1/t"])
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"s3://bucket/t\.txt: .*fsspec; pip install 'charrnn-bptt\[sources\]'"):
        encode_corpus(["s3://bucket/t.txt"])


def test_an_address_is_told_from_a_path_and_named_without_its_query() -> None:
    for name in ("s3://b/t", "https://h/t?x=1", "memory://t", "zip://a.txt::https://h/t.zip", "GS://b/t"):
        assert is_address(name)
    for name in ("t.txt", "-", "a/b:c", "C://x", "./http://x", "a b://c", "://x", ""):
        assert not is_address(name)
    names = {
        "https://h/a/t.txt.gz?k=secret#f": "t.txt.gz",
        "s3://bucket": "bucket",
        "zip://in/a.txt::s3://b/c": "a.txt",
        "https://[h/t?k=secret": "text",
    }
    assert {name: base_name(name) for name in names} == names
    assert next(default_directories(["https://user:secret@h/a/t.jsonl.gz?k=secret"])) == Path("runs/t")
    assert next(default_directories(["https://user:secret@h"])) == Path("runs/h")


CHILD = """
import sys
def hook(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"forbidden: {event} {arguments}")
sys.addaudithook(hook)
import charrnn
r = charrnn.train("t.txt", hidden=(6,), seq_length=8, batch_size=4, max_steps=3, threads=1, val_file="t.txt")
charrnn.resume("runs/t", max_steps=4)
charrnn.load("runs/t").sample(5)
try:
    charrnn.train("http://127.0.0.1:1/t.txt", hidden=(6,))
except SystemExit as error:
    print(error)
"""


def test_no_connection_is_made_unless_an_address_is_given(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "t.txt").write_text(TEXT, encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", CHILD], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("forbidden: socket.") and done.stdout.count("\n") == 1, (done.stdout, done.stderr)
