"""Normal forms and grapheme clusters, of a whole text or of one that comes in pieces.

Pieces are cut anew where nothing that belongs together is parted, so that what is made of each piece is what would be
made of the whole text.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, cast

from charrnn.errors import CorpusError
from charrnn.extras import needed
from charrnn.registry import LONGEST_SYMBOL

HELD = 1 << 24  # code points that may wait for the end of what they belong to


def normalized(text: str, form: str) -> str:
    """The text in a normal form of Unicode: nfc, nfkc, or none, which leaves it as it is."""
    return text if form == "none" or text.isascii() else unicodedata.normalize(cast(Any, form.upper()), text)


def graphemes(text: str) -> Sequence[str]:
    """The extended grapheme clusters of a text (UAX #29); one of more than LONGEST_SYMBOL code points is cut.

    Of a text in which each is one ASCII character, they are the text itself. ConfigError where the package that knows
    them is not installed.
    """
    find = _cluster().findall  # raises where the package is missing, whatever the text
    if text.isascii() and "\r\n" not in text:
        return text
    clusters: list[str] = find(text)
    if not any(len(cluster) > LONGEST_SYMBOL for cluster in clusters):
        return clusters
    return [cluster[i : i + LONGEST_SYMBOL] for cluster in clusters for i in range(0, len(cluster), LONGEST_SYMBOL)]


def normalized_pieces(pieces: Iterable[str | bytes], form: str) -> Iterator[str]:
    """The pieces of a text (bytes: ASCII) in a normal form."""
    return (normalized(piece, form) for piece in _recut(pieces, _last_start))


def whole_graphemes(pieces: Iterable[str | bytes]) -> Iterator[str]:
    """The pieces of a text (bytes: ASCII), cut anew between graphemes."""
    return _recut(pieces, _last_cluster)


def _recut(pieces: Iterable[str | bytes], place: Callable[[str], int]) -> Iterator[str]:
    """Pieces that end where `place` allows it, given all text that is not handed on yet."""
    held = ""
    for piece in pieces:
        text = held + (piece if isinstance(piece, str) else piece.decode())
        at = place(text)
        if at:
            yield text[:at]
        held = text[at:]
        if len(held) > HELD:
            raise CorpusError(f"the text has a single character of more than {HELD:,} code points, as no language has")
    if held:
        yield held


def _last_start(text: str) -> int:
    """The last place of a text before which nothing changes by what follows, in any normal form."""
    return next((i for i in range(len(text) - 1, 0, -1) if _begins(text[i])), 0)


def _begins(character: str) -> bool:
    """Whether a code point neither joins nor passes those before it: a starter that is the second of no composition."""
    if character < "\u0300":
        return True
    return all(not unicodedata.combining(c) and c not in _seconds() for c in (character, _first(character)))


def _first(character: str) -> str:
    return unicodedata.normalize("NFKD", character)[0]


@cache
def _seconds() -> frozenset[str]:
    """The code points that can be the second of a composition."""
    pairs = (unicodedata.decomposition(chr(point)).split() for point in range(0x110000))
    hangul = map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))  # composed by rule, not by table
    return frozenset(hangul) | {chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and pair[0][0] != "<"}


def _last_cluster(text: str) -> int:
    """The last place of a text that is known to lie between graphemes: after a line end, or before the last one."""
    after = text.rfind("\n") + 1
    if after:
        return after
    matches = deque(_cluster().finditer(text), maxlen=1)
    return matches[0].start() if matches else 0


@cache
def _cluster() -> Any:
    return needed("regex", "grapheme", "unit grapheme").compile(r"\X")
