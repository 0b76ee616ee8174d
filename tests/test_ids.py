"""Ids come back as they were written, for exactly their text; a file that holds others, or not all, is refused."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from charrnn.errors import CorpusError, StorageError
from charrnn.storage.ids import map_ids, write_ids

HEADER = {"sha256": "ab" * 32, "dtype": "<u2", "symbols": "cd" * 32}
IDS = np.arange(4_800, dtype="<u2") * 13
PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "ids.bin"
    write_ids(path, HEADER, [IDS[:1000], IDS[1000:1000], IDS[1000:]])
    return path


def refuse(path: Path, reason: str, *, header: dict[str, str] = HEADER, verify: bool = False) -> None:
    with pytest.raises(CorpusError, match=reason) as caught:
        map_ids(path, header, "<u2", verify=verify)
    assert str(path) in str(caught.value)
    assert "; begin the run anew" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("verify", [False, True])
def test_ids_written_in_pieces_come_back_whole(path: Path, verify: bool) -> None:
    ids, release = map_ids(path, HEADER, "<u2", verify=verify)
    np.testing.assert_array_equal(ids, IDS, strict=True)
    release()
    np.testing.assert_array_equal(ids, IDS)
    assert not ids.flags.writeable


def test_the_file_is_a_page_and_then_the_ids(path: Path) -> None:
    data = path.read_bytes()
    assert data.startswith(b"charrnn ids 2\n{")
    assert data[PAGE:] == IDS.tobytes()


def test_no_ids_are_none(tmp_path: Path) -> None:
    write_ids(tmp_path / "a", HEADER, [])
    assert len(map_ids(tmp_path / "a", HEADER, "<u2", verify=True)[0]) == 0


@pytest.mark.parametrize("kept", [1_904 * 2, 4_799 * 2, 4_800 * 2 - 1, 1, 0])
def test_ids_that_lost_their_end_are_refused(path: Path, kept: int) -> None:
    os.truncate(path, PAGE + kept)
    refuse(path, f"it holds {kept} bytes of ids, and its header says 9600")


@pytest.mark.parametrize("size", [0, 5, 14, 100, PAGE - 1])
def test_a_file_that_lost_some_of_its_header_is_refused(path: Path, size: int) -> None:
    os.truncate(path, size)
    refuse(path, "not the ids of this text")


def test_ids_with_more_after_them_are_refused(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0\0")
    refuse(path, "it holds 9602 bytes")


@pytest.mark.parametrize("key", HEADER)
def test_ids_of_another_text_vocabulary_or_dtype_are_refused(path: Path, key: str) -> None:
    refuse(path, "another text, vocabulary or dtype", header={**HEADER, key: "other"})


def test_a_changed_id_is_found_on_request(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for at in (PAGE, PAGE + 5_000, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert len(map_ids(path, HEADER, "<u2")[0]) == 4_800
        refuse(path, "do not match their SHA-256", verify=True)


def test_every_change_of_a_byte_in_the_header_is_found(path: Path) -> None:
    data = path.read_bytes()
    for at in range(len(data[:PAGE].rstrip())):
        for byte in (data[at] ^ 1, data[at] ^ 0x80, ord("["), ord("9")):
            if byte == data[at]:
                continue
            path.write_bytes(data[:at] + bytes([byte]) + data[at + 1 :])
            refuse(path, ".", verify=True)


def test_a_number_of_bytes_that_is_no_number_of_ids_is_refused(path: Path) -> None:
    data = path.read_bytes().replace(b'"bytes": 9600', b'"bytes": 9601') + b"\0"
    path.write_bytes(data)
    refuse(path, "9601 bytes are no whole number of ids")


@pytest.mark.parametrize("junk", [b"[" * 4_000, b"null", b"{}", b'{"of": 1e999}', b"9" * 4_000, b"\xff" * 10])
def test_a_header_of_anything_is_refused(path: Path, junk: bytes) -> None:
    data = path.read_bytes()
    path.write_bytes((b"charrnn ids 2\n" + junk).ljust(PAGE) + data[PAGE:])
    refuse(path, "not the ids of this text")


def test_ids_of_an_older_version_are_named(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"charrnn ids 2", b"charrnn ids 1", 1))
    refuse(path, r"written by an older charrnn\); begin the run anew")


def test_a_missing_file_a_directory_and_a_pipe_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("missing", "pipe", "."):
        refuse(tmp_path / name, "cannot be read|not a regular file")


def test_ids_are_not_written_through_a_link(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path.name)
    before = path.read_bytes()
    write_ids(link, HEADER, [IDS[:3]])
    assert path.read_bytes() == before
    assert len(map_ids(link, HEADER, "<u2")[0]) == 3


def test_pieces_that_fail_leave_the_file_as_it_was(path: Path) -> None:
    def pieces() -> object:
        yield IDS
        raise CorpusError("a byte is no text")

    before = path.read_bytes()
    with pytest.raises(CorpusError, match="no text"):
        write_ids(path, HEADER, pieces())  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_that_cannot_be_made_is_a_storage_error(path: Path) -> None:
    with pytest.raises(StorageError, match="choose another directory"):
        write_ids(path / "below" / "ids.bin", HEADER, [IDS])


def test_mapping_a_gigabyte_reads_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "ids.bin"
    write_ids(path, HEADER, [np.zeros(0, "<u2")])
    head = path.read_bytes().replace(b'"bytes": 0', b'"bytes": 1000000000').rstrip(b" ").ljust(PAGE)
    path.write_bytes(head)
    os.truncate(path, PAGE + 1_000_000_000)  # a hole: no room on the disk
    started = time.perf_counter()
    ids, _ = map_ids(path, HEADER, "<u2")
    assert len(ids) == 500_000_000
    assert time.perf_counter() - started < 0.1
