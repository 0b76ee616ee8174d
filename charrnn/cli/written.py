"""How `charrnn sample` writes what was drawn: as text, as marked text, or as data."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.errors import CheckFailed

if TYPE_CHECKING:
    from charrnn.inference.novelty import Novelty
    from charrnn.inference.pieces import Pieces
    from charrnn.model import Model, Options


def write_samples(
    model: Model, given: str, count: int, length: int, stops: list[str], options: Options, corpus: Any, head: str
) -> None:
    """Samples of one temperature under a heading; one alone comes as it is drawn, unless it is to be compared."""
    write = sys.stdout.write
    if corpus is not None or count > 1:
        texts = model.samples(count, length, given, stop=stops, **options)
        write(head)
        if corpus is not None:
            _write_compared(texts, given, corpus)
        else:
            write_apart(as_shown(given + text) for text in texts)
        return
    characters = model.stream(given, length=length or None, stop=stops, **options)  # refuses what is wrong
    live = sys.stdout.isatty()
    write(head + as_shown(given))
    try:
        for character in characters:
            write(as_shown(character))
            if live:
                sys.stdout.flush()
    finally:
        write("\n")


def write_pieces(model: Model, count: int, found: Pieces, new: bool, quiet: bool) -> None:
    """One a line if they are lines, else with an empty line between them; none if `quiet`. CheckFailed if they are too
    few."""
    if quiet:
        pass
    elif model.piece_kind == "lines":
        sys.stdout.writelines(f"{as_shown(piece)}\n" for piece in found.kept)
    elif found.kept:
        write_apart(map(as_shown, found.kept))
    sys.stdout.flush()
    reasons = {
        "in the training text": found.known,
        "drawn before": found.again,
        "empty or too long": found.spoilt,
    }
    if found.thrown_away:
        why = ", ".join(f"{number} {reason}" for reason, number in reasons.items() if number)
        print(f"{found.thrown_away} more thrown away: {why}", file=sys.stderr)
    if len(found.kept) < count:
        tries = len(found.kept) + found.thrown_away
        raise CheckFailed(
            f"gave up after {tries:,} tries: {len(found.kept)} of {count} pieces; "
            f"{'leave --new out, or raise --temperature' if new else 'raise --length'}"
        )


def _write_compared(texts: list[str], given: str, corpus: Any) -> None:
    """The samples, with what they have copied marked on a terminal; standard error tells how much that is."""
    from charrnn.report.novelty import lines, marked

    found = [compared(text, corpus) for text in texts]
    underline = terminal.colours()
    write_apart(
        as_shown(given) + (marked(text, one.passages, as_shown) if underline else as_shown(text))
        for text, one in zip(texts, found, strict=True)
    )
    sys.stdout.flush()
    for number, (text, one) in enumerate(zip(texts, found, strict=True), 1):
        if len(texts) > 1:
            print(f"sample {number}", file=sys.stderr)
        for line in lines(one, text):
            print(line, file=sys.stderr)


def write_json(
    path: Path, given: str, samples: list[dict[str, Any]], options: Options, thrown_away: dict[str, int] | None = None
) -> None:
    """One object of the same keys for every kind of sample; null is what was not asked for."""
    each = [{"text": "", "temperature": None, "log_probability": None, "novelty": None, **s} for s in samples]
    print(
        json.dumps({"run": str(path), "prompt": given, "samples": each, "thrown_away": thrown_away, **options}),
        flush=True,
    )


def write_apart(texts: Iterable[str]) -> None:
    """The texts, with an empty line between them."""
    sys.stdout.write("\n\n".join(text.removesuffix("\n") for text in texts) + "\n")


def told(options: Options) -> float:
    """The temperature as it is told: 0 where there is no chance."""
    return 0.0 if options["greedy"] else options["temperature"]


def as_shown(text: str) -> str:
    """The text; on a terminal, with its control characters escaped."""
    return terminal.visible(text) if sys.stdout.isatty() else text


def compared(text: str, corpus: Any) -> Novelty:
    from charrnn.inference.novelty import novelty
    from charrnn.text.tokenizer import code_points

    return novelty(code_points(text), corpus)
