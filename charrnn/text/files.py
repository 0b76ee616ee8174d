"""What a file is by its first bytes, and which files of a directory are text.

A file that was named is read, or the error says what it is. Of a directory the files that hold text are read; what was
left out is remembered, for a note.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from charrnn.errors import CharrnnError, CorpusError, shown
from charrnn.storage import CHECKPOINTS
from charrnn.text.addresses import is_address
from charrnn.text.compressed import COMPRESSIONS, unpacked
from charrnn.text.reading import Reading
from charrnn.text.records import first_record, is_json_lines, is_parquet, parquet_texts

HEAD = 1 << 16  # bytes by which a file is judged
NAMED = 3  # files that a note names of each kind

_UNPACK = "unpack it first"
# By pattern of the first bytes: what the file is, and what to do.
_KINDS = [
    *((c.begins, f"{c.what} inside a compressed one", "unpack it once") for c in COMPRESSIONS),
    (rb"PK\x03\x04|PK\x05\x06", "a zip file (as .docx, .odt, .epub and .npz are)", f"{_UNPACK}, or save it as text"),
    (rb"(?s:.{257})ustar", "a tar archive", f"{_UNPACK}, and name its directory"),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z file", _UNPACK),
    (rb"%PDF-\d", "a PDF", "take its text out first, as by pdftotext"),
    (rb"PAR1[\x10-\x1f]", "a Parquet file", "give it the ending .parquet, unpacked"),
    (rb"SQLite format 3\x00", "a SQLite database", "export its text first"),
    (rb"\x89PNG\r\n\x1a\n", "a PNG picture", "name a text"),
    (rb"\xff\xd8\xff", "a JPEG picture", "name a text"),
    (rb"GIF8[79]a", "a GIF picture", "name a text"),
    (rb"\x7fELF", "a program", "name a text"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an older Office document", "save it as text"),
]
_MARKS = [
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]


def kind(head: bytes) -> tuple[str, str] | None:
    """What a file that begins so is, and what to do, if it is of a known format that is no text."""
    return next(((what, remedy) for pattern, what, remedy in _KINDS if re.match(pattern, head)), None)


def wide_encoding(head: bytes) -> str | None:
    """The UTF-16 or UTF-32 that bytes look like: by their mark, or by where most of their NULs are."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if any(head) and not len(head) % 4:
        first, second, third, fourth = (head[i::4] for i in range(4))
        for name, high, low in (("utf-32-le", fourth, third), ("utf-32-be", first, second)):
            if not any(high) and max(low) <= 0x10:
                return name
    half = len(head) // 2
    even, odd = (head[i::2].count(0) / half if half else 0 for i in (0, 1))
    for name, often, seldom in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if often > 0.3 and seldom < 0.02:
            return name
    return None


def can_be_read_again(path: str) -> bool:
    """False for standard input (`-`), pipes, devices and addresses, which need a network."""
    return (
        path != "-"
        and not is_address(path)
        and (os.path.isfile(path) or os.path.isdir(path) or not os.path.exists(path))
    )


def read_once(texts: Sequence[str]) -> str:
    """Where the first text came from that cannot be read again, in words."""
    first = next((text for text in texts if not can_be_read_again(text)), "-")
    return "an address" if is_address(first) else "a pipe"


@dataclass
class Directory:
    """The files of a directory that are read, sorted, and what was left out of them.

    left_out, unreadable: path within the directory and reason. runs: run directories, which hold what was trained on
    these files and are no part of them.
    """

    path: str
    files: list[str] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)

    def note(self) -> str | None:
        """What was left out, in one line; None if nothing was."""
        groups = [
            _group("file", [f"{name}: {why}" for name, why in self.left_out]),
            _group("run", self.runs),
            _group("unreadable", [f"{name}: {why}" for name, why in self.unreadable], plural="unreadable"),
        ]
        listed = [group for group in groups if group]
        return f"left out of {shown(self.path)}: {', '.join(listed)}" if listed else None


def read_directory(path: str, reading: Reading) -> Directory:
    """The files of a directory and of those below it, but for hidden ones and what lies in run directories.

    Those are read that match the glob, or, without one, those that hold text by their first bytes, or all where bytes
    are read. CorpusError if there are none.
    """
    found = Directory(path)

    def within(name: str) -> str:
        return os.path.relpath(name, path).replace(os.sep, "/")

    def unreadable(error: OSError) -> None:
        found.unreadable.append((within(str(error.filename)), error.strerror or str(error)))

    for folder, folders, names in os.walk(path, onerror=unreadable):
        entered = []
        for name in sorted(folders):
            inner = os.path.join(folder, name)
            if name.startswith("."):
                continue
            if os.path.islink(inner):
                found.left_out.append((within(inner), "a link to a directory"))
            elif any(os.path.isfile(os.path.join(inner, checkpoint)) for checkpoint in CHECKPOINTS):
                found.runs.append(within(inner))
            else:
                entered.append(name)
        folders[:] = entered
        for name in names:
            file = os.path.join(folder, name)
            if name.startswith(".") or (reading.glob and not _matches(within(file), reading.glob)):
                continue
            try:
                why = None if reading.glob else _no_text(file, reading)
            except OSError as error:
                error.filename = file
                unreadable(error)
            else:
                if why:
                    found.left_out.append((within(file), why))
                else:
                    found.files.append(file)
    found.files.sort()
    found.left_out.sort()
    if not found.files:
        wanted = f"no file that matches glob {reading.glob}" if reading.glob else "no text"
        raise CorpusError(f"{path}: the directory holds {wanted}; name another ({found.note() or 'it is empty'})")
    return found


def _matches(name: str, glob: str) -> bool:
    return any(PurePosixPath(name).match(pattern.strip()) for pattern in glob.split(",") if pattern.strip())


def _no_text(path: str, reading: Reading) -> str | None:
    """Why a file of a directory is not taken for a text; None if it is. OSError if it cannot be read."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        return "not a regular file"
    try:
        with open(path, "rb") as file:
            if is_parquet(path):
                next(parquet_texts(path, file, reading.column), None)
                return None
            head = unpacked(path, file).read(HEAD)
            if is_json_lines(path):
                first_record(path, head.decode(reading.codec, "replace"), reading.column)
    except CharrnnError as error:
        return str(error).removeprefix(f"{path}: ").partition("; ")[0]
    if reading.unit == "byte" and not is_json_lines(path):
        return None
    known = kind(head)
    if known:
        return known[0].partition(" (")[0]
    if not reading.is_wide:
        wide = wide_encoding(head)
        if wide:
            return f"looks like {wide}"
        if b"\0" in head:
            return "holds NUL bytes"
    try:
        codecs.getincrementaldecoder(reading.codec)().decode(head)
    except UnicodeError:
        return None if reading.on_bad_byte != "error" else f"not {reading.encoding}"
    return None


def _group(name: str, entries: Sequence[str], plural: str | None = None) -> str:
    if not entries:
        return ""
    listed = ", ".join(shown(entry) for entry in entries[:NAMED]) + (", …" if len(entries) > NAMED else "")
    return f"{len(entries):,} {name if len(entries) == 1 else plural or f'{name}s'} ({listed})"
