"""Hostile archives, each with why it is rejected."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from forge import (
    GOOD,
    GOOD_MEMBERS,
    LISTED,
    W,
    document,
    header,
    listed,
    npy,
    npy_with_header,
    npz,
    with_directory_moved,
    with_document,
    with_flags,
    with_second_name_for_one_member,
    with_w,
    with_zip64_record,
)


class Payload:
    """Unpickling it runs a command."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, ("exit 9",)


OBJECTS = np.empty(1, object)
OBJECTS[0] = Payload()
DATA = W.tobytes()
TEN_GB = with_w(npy_with_header(header(shape="(2500000000,)"), b""), shape=[2_500_000_000], data=b"")

HOSTILE: dict[str, tuple[bytes, str]] = {
    # The zip file.
    "empty file": (b"", "cut short"),
    "a text": (b"not an archive " * 20, "cut short"),
    "a raw pickle": (pickle.dumps(Payload()), "cut short"),
    "first half": (GOOD[: len(GOOD) // 2], "cut short"),
    "last byte missing": (GOOD[:-1], "cut short"),
    "a byte after the zip": (GOOD + b"\0", "bytes after its end"),
    "zip comment": (GOOD[:-2] + b"\x04\x00more", "bytes after its end"),
    "bytes before the zip": (b"more" + GOOD, "does not start"),
    "bytes between members": (
        with_directory_moved(GOOD, GOOD.index(b"PK\x03\x04", 1), b"more"),
        "does not start|zip structure",
    ),
    "bytes before the zip directory": (
        with_directory_moved(GOOD, GOOD.index(b"PK\x01\x02"), b"more"),
        "do not end where",
    ),
    "two entries for one member": (with_second_name_for_one_member(), "does not start"),
    "compressed": (npz(GOOD_MEMBERS, zipfile.ZIP_DEFLATED), "compressed"),
    "deflate bomb": (
        npz([("W.npy", npy(np.zeros(10_000_000, np.uint8)))], zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "encrypted": (with_flags(GOOD, 1), "encrypted"),
    "data descriptor": (with_flags(GOOD, 8), "other zip flags"),
    "bit flip in the data": (GOOD.replace(DATA, DATA[:-1] + b"\x01"), "BadZipFile"),
    "other name in the local header": (GOOD.replace(b"W.npy", b"V.npy", 1), "BadZipFile"),
    "needless ZIP64 record": (with_zip64_record(), "ZIP64"),
    "a directory of 50,000 entries": (npz((f"a{i}.npy", b"") for i in range(50_000)), "directory"),
    # The members' names.
    "duplicate member": (npz([*GOOD_MEMBERS, ("W.npy", npy(W))]), "twice"),
    "W and W.npy": (npz([*GOOD_MEMBERS, ("W", npy(W))]), "no name of an array"),
    "W.npy and W.npy.npy": (npz([*GOOD_MEMBERS, ("W.npy.npy", npy(W))]), "no name of an array"),
    "name that leaves the directory": (npz([("../W.npy", npy(W))]), "no name of an array"),
    "name of two lines": (npz([("W\nX.npy", npy(W))]), "no name of an array"),
    "name of 60,000 letters": (npz([("W" * 60_000 + ".npy", npy(W))]), "no name of an array"),
    # The arrays.
    "a bare pickle as a member": (with_w(pickle.dumps(Payload())), "not an array"),
    "empty member": (with_w(b""), "not an array"),
    ".npy format 2.0": (with_w(npy(W).replace(b"\x01\x00", b"\x02\x00", 1)), "not an array"),
    "object array": (with_w(npy(OBJECTS), "|O", [1]), "dtype"),
    "big-endian": (with_w(npy(W.astype(">f4")), ">f4", data=DATA), "dtype"),
    "half precision": (with_w(npy(W.astype("<f2")), "<f2"), "dtype"),
    "complex": (with_w(npy(W.astype("<c8")), "<c8"), "dtype"),
    "text array": (with_w(npy(np.array(["ab"])), "<U2", [1]), "dtype"),
    "structured": (with_w(npy(np.zeros(2, [("x", "<f4")])), "|V4", [2]), "header"),
    "Fortran order": (with_w(npy(np.asfortranarray(W)), data=DATA), "Fortran"),
    "10 GB declared": (TEN_GB, "declares 10000000000 bytes and has 0"),
    "shape shrunk": (
        with_w(npy_with_header(header(shape="(1, 3)"), DATA), shape=[1, 3], data=DATA[:12]),
        "declares 12 bytes and has 24",
    ),
    "shape grown": (with_w(npy_with_header(header(shape="(3, 3)"), DATA)), "declares 36"),
    "bytes after the array": (with_w(npy(W) + b"\0", data=DATA), "declares 24 bytes and has 25"),
    "shape of booleans": (
        with_w(npy_with_header(header(shape="(True, 6)"), DATA), shape=[True, 6], data=DATA),
        "header",
    ),
    "shape of floats": (with_w(npy_with_header(header(shape="(2.0, 3)"), DATA)), "header"),
    "negative shape": (with_w(npy_with_header(header(shape="(-2, -3)"), DATA)), "header"),
    "shape a list": (with_w(npy_with_header(header(shape="[2, 3]"), DATA)), "header"),
    "shape a number": (with_w(npy_with_header(header(shape="(6)"), DATA)), "header"),
    "shape beyond int64": (
        with_w(npy_with_header(header(shape=f"(0, {10**19})"), b""), shape=[0, 10**19]),
        "header",
    ),
    "shape of 500 digits": (with_w(npy_with_header(header(shape=f"(1{'0' * 500},)"), b"")), "hea"),
    "nothing, of an impossible shape": (
        with_w(npy_with_header(header(shape=f"(0, {10**17}, {10**17})"), b"")),
        "cannot hold",
    ),
    "100 dimensions": (
        with_w(npy_with_header(header(shape=f"({'1, ' * 99}1)"), b"\0" * 4)),
        "cannot hold",
    ),
    "header an expression": (with_w(npy_with_header("__import__('os').abort()", DATA)), "header"),
    "header with another key": (
        with_w(npy_with_header(header().replace("}", "'x': 1, }"), DATA)),
        "header",
    ),
    "header of 9,000 minus signs": (with_w(npy_with_header("-" * 9_000 + "1", DATA)), "longer"),
    "header of 1,900 minus signs": (with_w(npy_with_header("-" * 1_900 + "1", DATA)), "header"),
    "header of 1,900 brackets": (with_w(npy_with_header("(" * 1_900, DATA)), "header"),
    "header beyond the member": (with_w(npy(W)[:20]), "header"),
    "header padded to 3,000 bytes": (
        with_w(npy_with_header(header() + " " * 3_000, DATA), data=DATA),
        "longer than 2000 bytes",
    ),
    "boolean of 2": (
        with_w(npy_with_header(header("'|b1'", shape="(2,)"), b"\0\2"), "|b1", [2], b"\0\2"),
        "other than 0 and 1",
    ),
    # The metadata.
    "no metadata": (npz(GOOD_MEMBERS[1:]), "no metadata"),
    "metadata of floats": (npz([("metadata.npy", npy(W[0])), *GOOD_MEMBERS[1:]]), "not a list"),
    "metadata in two dimensions": (
        npz([("metadata.npy", npy(np.frombuffer(document(), np.uint8)[None])), *GOOD_MEMBERS[1:]]),
        "not a list",
    ),
    "metadata of 1 MB and more": (with_document(document() + b" " * 1_000_000), "more than the 1000000 allowed"),
    "metadata of 10 MB of brackets": (with_document(b"[" * 10_000_000), "more than the 1000000 allowed"),
    "metadata no UTF-8": (with_document(b'"\xff"'), "UTF-8"),
    "metadata no JSON": (with_document(b"{'step': 3}"), "JSON"),
    "metadata a list": (with_document(b"[]"), "structure"),
    "metadata without the caller's": (with_document(b'{"archive_version":1}'), "structure"),
    "metadata of 100,000 brackets": (with_document(b"[" * 100_000), "more than 32 deep"),
    "metadata of 5,000 brackets that close": (with_document(b"[" * 5_000 + b"]" * 5_000), "more than 32 deep"),
    "metadata of 300,000 empty lists": (with_document(b"[" + b"[]," * 300_000 + b"0]"), "structure"),
    "metadata of a 5,000-digit number": (with_document(b"1" * 5_000), "more than 100 digits"),
    "metadata of a 900,000-digit number": (with_document(b"1" * 900_000), "more than 100 digits"),
    "metadata with NaN": (with_document(document(metadata={"loss": float("nan")})), "finite"),
    "metadata with 1e400": (with_document(document().replace(b"0.1", b"1e400")), "finite"),
    "repeated key": (with_document(document().replace(b'{"step":3', b'{"step":4,"step":3')), "SHA"),
    "version 2": (with_document(document(version=2)), "version 1"),
    "version true": (with_document(document(version=True)), "SHA"),
    "array not listed": (with_document(document(LISTED[:1], data=DATA)), "lists"),
    "listed array missing": (npz(GOOD_MEMBERS[:2]), "lists"),
    "listed under another dtype": (
        with_document(document(listed(("W", "<u4", [2, 3]), ("b", "|b1", [2])))),
        "lists",
    ),
    "listed under another shape": (
        with_document(document(listed(("W", "<f4", [3, 2]), ("b", "|b1", [2])))),
        "lists",
    ),
    "listed in another order": (with_document(document(LISTED[::-1])), "lists"),
    "array changed and the CRC mended": (
        npz([GOOD_MEMBERS[0], ("W.npy", npy(W + 1)), GOOD_MEMBERS[2]]),
        "SHA-256",
    ),
    "metadata changed and the CRC mended": (
        with_document(document().replace(b'"step":3', b'"step":4')),
        "SHA-256",
    ),
    "SHA-256 missing": (with_document(document()[:-77] + b"}"), "SHA-256"),
}
