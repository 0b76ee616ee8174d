"""What networks do, as parts of a page: yardsticks, samples, surprise, hidden units, gradient by lag."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from charrnn.errors import shown
from charrnn.report.charts import COLOURS, Chart, Line, figure
from charrnn.report.lags import DECADES
from charrnn.report.markup import Runs, blocks, left_out, numbers, table, text, written
from charrnn.report.surprise import LEVELS, drawn, level
from charrnn.report.yardsticks import GROWTH, growth, ranked
from charrnn.text.reading import SEPARATOR
from charrnn.training.findings import TEMPERATURE, Findings, Passage
from charrnn.training.session import SAMPLE_TEMPERATURE
from charrnn.verify.inspection import SEEN

SAMPLES = 8  # of the evaluations
SHADES = 4  # of a unit's value, on each side of zero
SHOWN_UNITS = 5
FOLLOWS = 0.3  # correlation from which a unit is shown over a passage
READOUT = '<p class="readout" aria-live="polite">Point at a character, or move with the arrow keys.</p>'


def beside(runs: Runs) -> str:
    """The networks among their yardsticks; those with the same text together."""
    by_text: dict[str, list[tuple[str, Findings]]] = {}
    for name, one in runs:
        if one.beside:
            by_text.setdefault(one.beside.text, []).append((name, one))
    parts = [(group, _yardsticks(group)) for group in by_text.values()]
    parts += [([(name, one)], left_out(one, "beside")) for name, one in runs if not one.beside]
    heads = [f"<h3>{', '.join(text(name) for name, _ in group)}</h3>" if len(runs) > 1 else "" for group, _ in parts]
    return "".join(head + part for head, (_, part) in zip(heads, parts, strict=True))


def _yardsticks(group: Runs) -> str:
    """Of runs that have the same text."""
    first = group[0][1].beside
    assert first
    networks = [(name, one.best[0], one.summary.parameters or 0) for name, one in group if one.best]
    called = {name: f"{shown(name)} ({weights:,} weights)" for name, _, weights in networks}
    ranks = ranked([(called[name], nats) for name, nats, _ in networks], first.yardsticks)
    longest = ranks[0][0] or 1.0
    own = set(called.values())
    rows = [
        [
            f'<span class="{"this" if name in own else ""}">{html.escape(name)}</span>',
            f'<svg class="bar{" this" if name in own else ""}" width="100%" height="12" aria-hidden="true">'
            f'<rect width="{100 * max(bits, 0) / longest:.1f}%" height="12"/></svg>',
            f"{bits:.3f}",
        ]
        for bits, name in ranks
    ]
    growing = [
        [html.escape(cell) for cell in row]
        for row in growth([(shown(name), nats, weights) for name, nats, weights in networks], first.yardsticks)
    ]
    return (
        "<p>Bits per code point of the validation text, from the worst to the best. All learned from the "
        "same training text; compressors but the last know nothing of it.</p>"
        f"{table(['', '', 'bits'], rows, 'Yardsticks', 'bars')}"
        f"<p>What an n-gram model has to store for its loss, by the number of {first.yardsticks.noun} that it counts "
        "together. A network grows with neither that nor the text.</p>"
        f"{table([html.escape(head) for head in GROWTH], growing, 'Growth of n-gram models', 'figures')}"
    )


def samples(runs: Runs) -> str:
    """What each network wrote at its evaluations, and what the best one writes."""

    def content(name: str, one: Findings) -> str:
        kept = [row for row in one.rows if row.get("sample")]
        chosen = (
            [kept[round(i * (len(kept) - 1) / (SAMPLES - 1))] for i in range(SAMPLES)] if len(kept) > SAMPLES else kept
        )
        items = "".join(
            f'<li><span class="step">step {row["step"]:,}{_loss_of(row)}</span>'
            f'<p class="sample" dir="auto">{written(row["sample"])}</p></li>'
            for row in chosen
        )
        course = (
            f'<p>At its evaluations, temperature {SAMPLE_TEMPERATURE}:</p><ol class="samples">{items}</ol>'
            if items
            else ""
        )
        if one.sample is None:
            return course + left_out(one, "sample")
        which = "best" if one.summary.scored else "last"
        return (
            f"{course}<p>The {which} network, temperature {TEMPERATURE}, seed {one.seed}:</p>"
            f'<p class="sample" dir="auto">{written(one.sample)}</p>'
        )

    return blocks(runs, content)


def _loss_of(row: dict[str, Any]) -> str:
    for name in ("validation", "train"):
        if name in row:
            return f", {name} {row[name]:.3f} nats"
    return ""


def passages(runs: Runs) -> str:
    """A passage of each run's text, coloured by how much each character surprised the network."""
    names = [f"{low:g} to {high:g}" for low, high in pairwise(LEVELS)] + [f"over {LEVELS[-1]:g}"]
    keys = "".join(f'<li><span class="p{i}">{name}</span></li>' for i, name in enumerate(names, 1))

    def content(name: str, one: Findings) -> str:
        if one.passage is None:
            return left_out(one, "passage")
        passage = one.passage
        classes = ["p0", *(f"p{level(each.bits)}" for each in passage.predicted)]
        heads = ["character", "bits", "rank", "most probable"]
        return (
            f"<figure><p>The beginning of the {passage.part} text, read from nothing:</p>"
            f"{_passage('Text coloured by its surprise', _letters(passage.symbols, classes))}{READOUT}"
            f"{numbers('Surprise of each character', heads, list(_surprises(passage)))}</figure>"
        )

    legend = f'<p>Bits by which each character surprised the network:</p><ul class="legend">{keys}</ul>'
    return legend + blocks(runs, content)


def _surprises(passage: Passage) -> Iterator[list[str]]:
    yield [_letter(passage.symbols[0]), "not predicted", "", ""]
    for c, each in zip(passage.symbols[1:], passage.predicted, strict=True):
        rivals = " · ".join(f"{_letter(symbol)} {100 * p:.1f} %" for symbol, p in each.alternatives)
        yield [_letter(c), f"{each.bits:.2f}", str(each.rank), rivals]


def units(runs: Runs) -> str:
    """The hidden units that follow a feature of the text, and the best of them over a passage."""

    def content(name: str, one: Findings) -> str:
        if one.units is None:
            return left_out(one, "units")
        found, passage = one.units.found, one.units.passage
        best = [unit for unit in found if abs(unit.chosen) >= FOLLOWS][:SHOWN_UNITS]
        places = {unit.feature: f"unit {unit.unit} of layer {unit.layer}" for unit in found}
        rows = [
            [html.escape(unit.feature), places[unit.feature], _signed(unit.chosen), _signed(unit.correlation)]
            for unit in found
        ]
        followed = table(
            ["feature", "unit", "r where chosen", "r on the other half"], rows, "Units by feature", "figures"
        )
        if not best:
            return (
                f'{followed}<p class="notice">No unit follows any of these: all r are below {FOLLOWS} where chosen.</p>'
            )
        coloured = ""
        for unit in best:
            largest = max(abs(float(value)) for value in unit.values) or 1.0
            classes = [_shade(float(value) / largest) for value in unit.values]
            title = f"{unit.feature[0].upper()}{unit.feature[1:]}: {places[unit.feature]}"
            letters = _passage(title, _letters(passage, classes))
            coloured += f"<h4>{html.escape(title)} <small>r = {_signed(unit.correlation)}</small></h4>{letters}"
        heads = ["character", *(f"{unit.feature}, {places[unit.feature]}" for unit in best)]
        cells = [[_letter(c), *(_signed(float(unit.values[i])) for unit in best)] for i, c in enumerate(passage)]
        return f"{followed}<figure>{coloured}{READOUT}{numbers('Values of the units', heads, cells)}</figure>"

    characters = max((one.units.characters for _, one in runs if one.units), default=0)
    return (
        "<p>For each feature of the text, the unit that is correlated most with it, on "
        f"{characters:,} characters held out from training (of the training text, where none were): chosen on their "
        "first half, with the correlation <var>r</var> on both. The passage is of the second half. Orange is above "
        "zero, blue below.</p>" + blocks(runs, content)
    )


def _shade(value: float) -> str:
    """The class of a value from −1 to 1."""
    strength = min(round(abs(value) * SHADES), SHADES)
    return "u0" if not strength else f"{'h' if value > 0 else 'n'}{strength}"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def lags(runs: Runs) -> str:
    """The gradient by lag of each run's layers, with reach and spectral radius."""

    def content(name: str, one: Findings) -> str:
        if not one.lags:
            return left_out(one, "lags")
        most = len(one.lags[0].norms) - 1
        chart = Chart(
            f"lags-{list(dict(runs)).index(name)}",
            "Gradient by lag",
            "Norm of the error that a loss hands back, relative to lag 0, where it is made. The scale ends at 10⁻⁴ and "
            "10⁴; what leaves it is cut off.",
            "lag: characters back from the one that was predicted",
            "norm relative to lag 0",
            [
                Line(f"layer {layer.layer}", list(enumerate(map(float, layer.norms))), i % COLOURS)
                for i, layer in enumerate(one.lags)
            ],
            logarithmic=True,
            lowest=10.0**-DECADES,
            highest=10.0**DECADES,
            number="{:.3g}".format,
        )
        rows = [
            [
                str(layer.layer),
                f"{layer.units:,}",
                f"{layer.spectral_radius:.3f}",
                f"{layer.largest_singular_value:.3f}",
                f"{layer.saturated:.1%}",
                f"over {most}" if layer.memory is None else str(layer.memory),
            ]
            for layer in one.lags
        ]
        heads = ["layer", "units", "spectral radius", "largest singular value", "saturated", "reach"]
        return figure(chart) + table(heads, rows, "Layers", "figures")

    return (
        f"<p>Reach is the first lag at which the norm is below {SEEN:.0%} of that at lag 0. The spectral radius is the "
        "largest |eigenvalue| of <var>W</var><sub>hh</sub>, which governs growth over many steps.</p>"
        + blocks(runs, content)
    )


def _letters(symbols: Sequence[str], classes: Sequence[str]) -> str:
    """The symbols of a passage, each in an element of its own."""
    return "".join(
        f'<span class="{kind} newline">\n</span>'
        if c.endswith(("\n", SEPARATOR))
        else f'<span class="{kind}">{html.escape(drawn(c))}</span>'
        for c, kind in zip(symbols, classes, strict=True)
    )


def _passage(title: str, letters: str) -> str:
    return (
        f'<div class="passage" dir="auto" tabindex="0" role="group" aria-label="{html.escape(title)}; '
        f'arrow keys move from character to character">{letters}</div>'
    )


def _letter(c: str) -> str:
    """A symbol in a table."""
    return "space" if c == " " else "end of piece" if c == SEPARATOR else drawn(c)
