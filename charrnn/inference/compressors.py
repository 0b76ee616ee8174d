"""How well general compressors predict a text, in bits per character: yardsticks that learn no language.

A compressor that needs b bits for a text has given it the probability 2^−b; so bits per character compare with a
network's. What a file format puts around the coded text (names, checksums, block headers) is not counted, because on
a short text it would be most of the file: from each size that of the empty text is subtracted. An empty xz file has no
block, so xz is written without its container, as raw LZMA2.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass

try:  # a Python that was built without these libraries has no such modules
    import bz2
except ImportError:
    bz2 = None  # type: ignore[assignment]
try:
    import lzma
except ImportError:
    lzma = None  # type: ignore[assignment]

CHARACTERS = 1_000_000  # the most of a text that is compressed
GIVEN_CHARACTERS = 4_000_000  # the most of a training text that xz reads before it


@dataclass(frozen=True)
class CompressorScore:
    """Bits per character (code point) of the first `characters` of a text, all of them coded, the first one too.

    given_characters: characters of the training text that the compressor read before it; 0 if none.
    """

    name: str
    bits_per_char: float
    characters: int
    given_characters: int = 0

    def as_dict(self) -> dict[str, str | float]:
        """The fields."""
        return asdict(self)


def compressed(text: str, given: str | None = None) -> list[CompressorScore]:
    """gzip -9, bzip2 -9 and xz -9e on the UTF-8 bytes of `text`, and xz again after `given`, if there is one.

    The last is size(xz(given + text)) − size(xz(given)): passages of `text` that stand in `given` too cost next to
    nothing there. Of `text` the first `CHARACTERS` are compressed, of `given` the last `GIVEN_CHARACTERS` read: xz
    takes about a second for each megabyte. A compressor that Python was built without is left out. An empty text has
    no scores.
    """
    text = text[:CHARACTERS]
    if not text:
        return []
    data, count = _utf8(text), len(text)
    sizes: dict[str, Callable[[bytes], int]] = {"gzip": lambda data: len(zlib.compress(data, 9))}
    if bz2:
        sizes["bzip2"] = lambda data: len(bz2.compress(data, 9))
    if lzma:
        sizes["xz"] = _lzma2
    scores = [CompressorScore(name, 8 * (size(data) - size(b"")) / count, count) for name, size in sizes.items()]
    if lzma and given:
        given = given[-GIVEN_CHARACTERS:]
        before = _utf8(given)
        bits = 8 * (_lzma2(before + data) - _lzma2(before))
        scores.append(CompressorScore("xz given the training text", bits / count, count, len(given)))
    return scores


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _lzma2(data: bytes) -> int:
    """Bytes of xz -9e without its headers and checksum, with a dictionary that holds all of `data`.

    The preset's own dictionary of 64 MiB takes ten times that in memory, whatever the length of `data`.
    """
    coding = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": max(len(data), 4096)}
    return len(lzma.compress(data, lzma.FORMAT_RAW, filters=[coding]))
