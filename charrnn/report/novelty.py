"""What a sample has copied, for a terminal."""

from __future__ import annotations

from collections.abc import Callable

from charrnn.inference.novelty import PASSAGE, Novelty

QUOTED = 60  # characters of a passage


def lines(novelty: Novelty, sample: str) -> list[str]:
    """What is new, the longest passage, and how much lies in copied passages."""
    shares = [f"{share:.1%} of its sequences of {n} characters" for n, share in _ends(novelty.new)]
    passage = sample[novelty.at : novelty.at + novelty.longest]
    quoted = f"{passage[:QUOTED]!r}{'…' if len(passage) > QUOTED else ''}"
    count = len(novelty.passages)
    return [
        f"new: {' and '.join(shares) or 'too short to tell'}",
        f"longest passage that stands in the text too: {novelty.longest:,} characters: {quoted}",
        f"in passages of {PASSAGE} characters or more that do: {novelty.copied:,} of {novelty.characters:,} characters"
        f" ({count:,} passage{'' if count == 1 else 's'})",
    ]


def summary(novelty: Novelty) -> str:
    """The same in one line."""
    shares = "".join(f"; of its {n}-character sequences {share:.0%} are new" for n, share in _ends(novelty.new)[:1])
    return f"a sample of {novelty.characters:,} characters copies {novelty.longest:,} in a row at most{shares}"


def marked(sample: str, passages: list[tuple[int, int]], shown: Callable[[str], str] = str) -> str:
    """The sample with its copied passages underlined; `shown` makes of each part what can be displayed."""
    parts, before = [], 0
    for start, stop in passages:
        parts.append(f"{shown(sample[before:start])}\x1b[4m{shown(sample[start:stop])}\x1b[0m")
        before = stop
    return "".join(parts) + shown(sample[before:])


def _ends(new: dict[int, float]) -> list[tuple[int, float]]:
    """The shortest and the longest sequences."""
    return [(n, new[n]) for n in sorted({min(new), max(new)})] if new else []
