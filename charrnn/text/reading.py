"""How texts are read. The settings are checked against the names here, so this must not import NumPy."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from functools import cached_property

from charrnn.errors import ConfigError

ON_BAD_BYTE = ("error", "replace", "skip")
SEPARATOR = "\x1e"  # the record separator of ASCII, which is never printed
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")  # endings of compressed files, which are known by what is in them
ENDS = {"lines": "\n", "blank": SEPARATOR, "files": SEPARATOR}


def end_symbol(pieces: str) -> str:
    """The symbol that ends pieces of this kind; empty for none."""
    return ENDS.get(pieces, "")


def uncompressed(name: str) -> str:
    """The name of a file without the ending of a compression: corpus.txt of corpus.txt.gz."""
    ending = next((ending for ending in COMPRESSED if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


@dataclass(frozen=True)
class Reading:
    """What turns files into text.

    encoding: of every file. on_bad_byte: what becomes of bytes that are no text in it: error, replace (by U+FFFD) or
    skip. glob: patterns, separated by commas, of the files that a directory is read for; None for those that hold text.
    between: a character that is put between all files, or empty: then a line end between those of a directory, where
    one does not end in it.
    unit: what a text is cut into: codepoint, grapheme, or byte, for which files are read as they are. normalize: none,
    nfc or nfkc, the normal form that the text is brought into before.
    column: the one that is the text, of files of records.
    ConfigError for an encoding that Python does not know.
    """

    encoding: str = "utf-8"
    on_bad_byte: str = "error"
    glob: str | None = None
    between: str = ""
    unit: str = "codepoint"
    normalize: str = "none"
    column: str = "text"

    def __post_init__(self) -> None:
        _ = self.codec

    @cached_property
    def codec(self) -> str:
        """Python's name of the encoding; of UTF-8 the one that leaves a byte order mark out."""
        try:
            "".encode(self.encoding)  # refuses what `codecs.lookup` finds but is no encoding of text, as rot13
            name = codecs.lookup(self.encoding).name
        except (LookupError, ValueError):
            raise ConfigError(f"encoding {self.encoding}: no such encoding; try utf-8, latin-1 or utf-16") from None
        return "utf-8-sig" if name == "utf-8" else name

    @property
    def is_wide(self) -> bool:
        """Whether a NUL byte is a usual part of a character, as in UTF-16."""
        return b"\0" in "\n".encode(self.codec)


UTF8 = Reading()
