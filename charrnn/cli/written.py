"""How `charrnn sample` writes what was drawn: as text, as marked text, or as data."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charrnn.cli import terminal
from charrnn.errors import CheckFailed

if TYPE_CHECKING:
    from charrnn.inference.novelty import Novelty
    from charrnn.inference.pieces import Pieces
    from charrnn.model import Model, Options

Show = Callable[[str, str], str]  # what is shown of a prompt and a sample


def write_samples(
    model: Model,
    given: str,
    count: int,
    length: int,
    stops: list[str],
    options: Options,
    corpus: Any,
    head: str,
    show: Show | None,
) -> None:
    """Samples of one temperature under a heading; one alone comes as it is drawn, unless it is to be compared, or to be
    shown in another way than as text."""
    write = sys.stdout.write
    if corpus is not None or count > 1 or show is not None:
        texts = model.samples(count, length, given, stop=stops, **options)
        write(head)
        if corpus is not None:
            _write_compared(texts, given, corpus, head.strip())
        else:
            write_apart((show or plain)(given, text) for text in texts)
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


def write_pieces(
    model: Model, count: int, found: Pieces, new: bool, quiet: bool, show: Show | None = None, legend: str = ""
) -> None:
    """One a line if they are lines, else with an empty line between them, and then the legend; none if `quiet`.
    CheckFailed if they are too few."""
    if quiet:
        pass
    elif model.piece_kind == "lines":
        sys.stdout.writelines(f"{(show or plain)('', piece)}\n" for piece in found.kept)
    elif found.kept:
        write_apart((show or plain)("", piece) for piece in found.kept)
    sys.stdout.write(legend)
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


def _write_compared(texts: list[str], given: str, corpus: Any, heading: str) -> None:
    """The samples, with what they have copied marked on a terminal; standard error tells how much that is, below the
    heading, if there is one."""
    from charrnn.report.novelty import lines, marked

    found = [compared(text, corpus) for text in texts]
    underline = terminal.colours()
    write_apart(
        as_shown(given) + (marked(text, one.passages, as_shown) if underline else as_shown(text))
        for text, one in zip(texts, found, strict=True)
    )
    sys.stdout.flush()
    if heading:
        print(heading, file=sys.stderr)
    for number, (text, one) in enumerate(zip(texts, found, strict=True), 1):
        if len(texts) > 1:
            print(f"sample {number}", file=sys.stderr)
        for line in lines(one, text):
            print(line, file=sys.stderr)


def write_json(
    path: Path, given: str, samples: list[dict[str, Any]], options: Options, thrown_away: dict[str, int] | None = None
) -> None:
    """One object of the same keys for every kind of sample; null is what was not asked for."""
    empty = {"text": "", "temperature": None, "log_probability": None, "novelty": None, "characters": None}
    each = [{**empty, **s} for s in samples]
    print(
        json.dumps({"run": str(path), "prompt": given, "samples": each, "thrown_away": thrown_away, **options}),
        flush=True,
    )


def write_apart(texts: Iterable[str]) -> None:
    """The texts, with an empty line between them."""
    sys.stdout.write("\n\n".join(text.removesuffix("\n") for text in texts) + "\n")


def with_probabilities(model: Model, unknown: str) -> tuple[Show, str]:
    """How to show a sample with the probability that the model gives to each of its characters, and what that means.

    It is colour on a terminal that has it; elsewhere, marks in a line below each.
    """
    from charrnn.report.surprise import WIDTH, joined, legend_of_probabilities, shown

    colour, width = terminal.colours(), min(terminal.columns(sys.stdout), WIDTH)

    def show(given: str, text: str) -> str:
        found = model.predictions(text, given, unknown=unknown)
        texts = [*given, *(one.text for one in found)]
        bits = [*([math.nan] * len(given)), *(one.bits for one in found)]
        return "\n".join(shown(*joined(texts, bits), colour=colour, width=width))

    return show, f"\n{legend_of_probabilities(colour)}\n"


def told(options: Options) -> float:
    """The temperature as it is told: 0 where there is no chance."""
    return 0.0 if options["greedy"] else options["temperature"]


def plain(given: str, text: str) -> str:
    """A prompt and a sample as they are."""
    return as_shown(given + text)


def as_shown(text: str) -> str:
    """The text; on a terminal, with its control characters escaped."""
    return terminal.visible(text) if sys.stdout.isatty() else text


def compared(text: str, corpus: Any) -> Novelty:
    from charrnn.inference.novelty import novelty
    from charrnn.text.tokenizer import code_points

    return novelty(code_points(text), corpus)
