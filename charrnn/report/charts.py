"""Line charts for a page: SVG that is as wide as its place, with letters of one size, and a table of the same numbers.

The SVG has no view box. Its own area is that of the plot, in which places are percentages; what stands around it is
drawn beyond its edges, into the padding that the style sheet gives. The curves lie in an SVG within, whose view box is
stretched. Colours, widths and dashes are classes of the style sheet.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from charrnn.errors import shown
from charrnn.report.markup import numbers

COLOURS = 8  # lines that can be told apart
MOST = 240  # points of a line; of more, every k-th is drawn
MARKED = 40  # points of a line on which each has a mark
HEIGHT = 260  # pixels of the plot, as in the style sheet
GAP = 15  # pixels from one label at the right edge to the next
LABEL = 16  # letters of a label there
LEAST = 1e-300  # what is smaller is 0: a part of it may be

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A named curve. A `quiet` one is thin and dashed. `marked` is the point to draw a ring around, by its index."""

    name: str
    points: Sequence[Point]
    colour: int = 0
    quiet: bool = False
    marked: int | None = None
    label: str | None = None  # at the right edge; the name, if there is none, and nothing if it is empty


@dataclass(frozen=True)
class Event:
    """Something that happened at x, drawn as an upright line with its number and told below the chart."""

    x: float
    text: str


@dataclass(frozen=True)
class Chart:
    """What is drawn. x, y: names of the axes, with units. number: how a value is written in the table.

    other: a second unit of y, with its name and its size in the first, for an axis at the right and columns of its own.
    lowest, highest: ends of the y axis, where they are fixed; curves are cut off there.
    """

    key: str
    title: str
    description: str
    x: str
    y: str
    lines: Sequence[Line]
    events: Sequence[Event] = ()
    logarithmic: bool = False
    lowest: float | None = None
    highest: float | None = None
    number: Callable[[float], str] = field(default="{:.4f}".format)
    other: tuple[str, float] | None = None


def figure(chart: Chart) -> str:
    """The chart as an HTML figure with title, description, legend and table; nothing if it has no point."""
    full = [line for line in chart.lines if line.points]
    if not full:
        return ""
    lines = [_thinned(line) for line in full]
    every = max(math.ceil(len(line.points) / MOST) for line in full)
    said = chart.description + (f" Every {_ordinal(every)} value of the longest line is drawn." if every > 1 else "")
    key, text = html.escape(chart.key), html.escape
    return (
        f'<figure class="chart"><figcaption id="{key}-title">{text(chart.title)}</figcaption>'
        f'<p class="hint" id="{key}-about">{text(said)}</p>'
        f'<p class="axis"><span>{text(chart.y)}</span>{_other_name(chart)}</p>'
        f"{_svg(chart, lines)}"
        f'<p class="axis below">{text(chart.x)}</p>'
        f"{_legend(lines)}{_events(chart.events)}"
        f"{numbers(f'{chart.title}: the numbers', *_table(replace(chart, lines=lines)))}</figure>"
    )


def marks() -> str:
    """The marks of points, which charts refer to by `#mark0` and so on: one for each colour. Once in a page."""
    shapes = (
        "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
        "M-3.5-3.5h7v7h-7Z",
        "M0-5L4.5 3.5h-9Z",
        "M0-5L5 0L0 5L-5 0Z",
        "M0 5L4.5-3.5h-9Z",
        "M-5-1.5h3.5v-3.5h3v3.5h3.5v3h-3.5v3.5h-3v-3.5h-3.5Z",
        "M-5-2h10v4h-10Z",
        "M-2-5h4v10h-4Z",
    )
    paths = "".join(f'<path id="mark{i}" d="{shape}"/>' for i, shape in enumerate(shapes))
    return f'<svg class="marks" width="0" height="0" aria-hidden="true"><defs>{paths}</defs></svg>'


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most so many round numbers from `low` to `high`, 1, 2 or 5 times a power of ten apart."""
    if not high - low > LEAST:
        return [low]
    power = math.floor(math.log10((high - low) / most))
    for step in (factor * 10.0**p for p in (power, power + 1) for factor in (1, 2, 5)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [i * step for i in range(first, last + 1)]


def decades(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten from `low` to `high`, at most so many; 2 and 5 times them too where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = math.ceil((last - first + 1) / most)
    powers = [10.0**p for p in range(first, last + 1) if p % step == 0]
    if last - first <= 2:
        powers = [s * 10.0**p for p in range(first, last + 1) for s in (1, 2, 5)]
    return [value for value in powers if low * 0.999 <= value <= high * 1.001]


def written(value: float) -> str:
    """A number beside an axis."""
    if value and not 1e-3 <= abs(value) < 1e7:
        power = math.floor(math.log10(abs(value)) + 1e-9)
        factor = round(value / 10.0**power, 2)
        raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{raised}" if factor == 1 else f"{factor:g}·10{raised}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}".replace("-", "−")


def _thinned(line: Line) -> Line:
    n, every = len(line.points), math.ceil(len(line.points) / MOST)
    kept = [i for i in range(n) if i % every == 0 or i in (n - 1, line.marked)]
    marked = None if line.marked is None else kept.index(line.marked)
    return replace(line, points=[line.points[i] for i in kept], marked=marked)


def _ordinal(n: int) -> str:
    return {2: "second", 3: "third"}.get(n, f"{n}th")


class _Axis:
    """Places from 0 to 1 of the values from `low` to `high`."""

    def __init__(self, low: float, high: float, logarithmic: bool = False) -> None:
        if not high - low > (0 if logarithmic else LEAST):
            low, high = (low / 2, high * 2) if logarithmic else (low - 0.5, high + 0.5)
        self.low, self.high, self.logarithmic = low, high, logarithmic

    def place(self, value: float) -> float:
        if not self.logarithmic:
            return (value - self.low) / (self.high - self.low)
        low, high = math.log10(self.low), math.log10(self.high)
        return (math.log10(max(value, LEAST)) - low) / (high - low)

    def ticks(self) -> list[float]:
        return decades(self.low, self.high) if self.logarithmic else ticks(self.low, self.high)


def _axes(chart: Chart, lines: Sequence[Line]) -> tuple[_Axis, _Axis]:
    xs = [x for line in lines for x, _ in line.points] + [event.x for event in chart.events]
    ys = [y for line in lines for _, y in line.points if y > LEAST or not chart.logarithmic] or [1.0]
    low = min(ys) if chart.lowest is None else chart.lowest
    high = max(ys) if chart.highest is None else min(chart.highest, max(ys)) if not chart.logarithmic else chart.highest
    if not chart.logarithmic:
        room = 0.06 * (high - low)
        low, high = (low - room if chart.lowest is None else low), high + room
    return _Axis(min(0.0, *xs), max(xs)), _Axis(low, high, chart.logarithmic)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"


def _svg(chart: Chart, lines: Sequence[Line]) -> str:
    x_axis, y_axis = _axes(chart, lines)
    key = html.escape(chart.key)
    parts = [f'<div class="plot"><svg role="img" aria-labelledby="{key}-title" aria-describedby="{key}-about">']
    for value in y_axis.ticks():
        at = _percent(1 - y_axis.place(value))
        parts.append(
            f'<line class="grid" x1="0" x2="100%" y1="{at}" y2="{at}"/>'
            f'<text x="0" y="{at}" dx="-8" dy="4" text-anchor="end">{written(value)}</text>'
        )
    if chart.other:
        size = chart.other[1]
        for value in ticks(y_axis.low / size, y_axis.high / size):
            at = _percent(1 - y_axis.place(value * size))
            parts.append(
                f'<line class="tick" x1="100%" x2="100%" y1="{at}" y2="{at}" stroke-width="1"/>'
                f'<text x="100%" y="{at}" dx="8" dy="4">{written(value)}</text>'
            )
    for value in x_axis.ticks():
        at = _percent(x_axis.place(value))
        parts.append(
            f'<line class="grid" x1="{at}" x2="{at}" y1="100%" y2="100%"/>'
            f'<text x="{at}" y="100%" dy="18" text-anchor="middle">{written(value)}</text>'
        )
    parts.append('<line class="base" x1="0" x2="100%" y1="100%" y2="100%"/>')
    for x in dict.fromkeys(event.x for event in chart.events):
        at = _percent(x_axis.place(x))
        called = ", ".join(str(i) for i, event in enumerate(chart.events, 1) if event.x == x)
        parts.append(
            f'<line class="event" x1="{at}" x2="{at}" y1="0" y2="100%"/>'
            f'<text class="event" x="{at}" y="0" dy="-4" text-anchor="middle">{called}</text>'
        )
    parts.append('<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%">')
    for line in sorted(lines, key=lambda line: not line.quiet):
        places = " ".join(
            f"{1000 * x_axis.place(x):.1f},{1000 * (1 - y_axis.place(y)):.1f}"
            for x, y in line.points
            if y > LEAST or not chart.logarithmic
        )
        parts.append(f'<polyline class="line c{line.colour}{" quiet" if line.quiet else ""}" points="{places}"/>')
    parts.append("</svg>")
    for line in lines:
        if _is_marked(line):
            for x, y in line.points:
                place = y_axis.place(y)
                if 0 <= place <= 1:
                    at = f'x="{_percent(x_axis.place(x))}" y="{_percent(1 - place)}"'
                    parts.append(f'<use class="mark c{line.colour}" href="#mark{line.colour}" {at}/>')
        if line.marked is not None:
            x, y = line.points[line.marked]
            at = f'cx="{_percent(x_axis.place(x))}" cy="{_percent(1 - y_axis.place(y))}"'
            parts.append(f'<circle class="ring c{line.colour}" r="8" {at}/>')
    parts += _labels(chart, lines, y_axis)
    parts.append("</svg></div>")
    return "".join(parts)


def _is_marked(line: Line) -> bool:
    """Whether each of its points has a mark, which tells it from lines of other colours."""
    return not line.quiet and len(line.points) <= MARKED


def _labels(chart: Chart, lines: Sequence[Line], y_axis: _Axis) -> list[str]:
    """Names at the right edge, where the curves end, far enough apart to be read."""
    ends = [(line, 1 - min(max(y_axis.place(line.points[-1][1]), 0), 1)) for line in lines if line.label != ""]
    ends.sort(key=lambda end: end[1])
    gap, places = GAP / HEIGHT, [place for _, place in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    if places and places[-1] > 1:
        places[-1] = 1
        for i in range(len(places) - 2, -1, -1):
            places[i] = min(places[i], places[i + 1] - gap)
    dx = 48 if chart.other else 10
    return [
        f'<text class="label" x="100%" y="{_percent(place)}" dx="{dx}" dy="4">'
        f"{html.escape(shown(line.label or line.name, LABEL))}</text>"
        for (line, _), place in zip(ends, places, strict=True)
    ]


def _other_name(chart: Chart) -> str:
    return f"<span>{html.escape(chart.other[0])}</span>" if chart.other else ""


def _legend(lines: Sequence[Line]) -> str:
    items = []
    for line in lines:
        mark = f'<use class="mark c{line.colour}" href="#mark{line.colour}" x="14" y="6"/>' if _is_marked(line) else ""
        items.append(
            f'<li><svg class="key" width="28" height="12" aria-hidden="true"><line class="line c{line.colour}'
            f'{" quiet" if line.quiet else ""}" x1="0" x2="28" y1="6" y2="6"/>{mark}</svg>'
            f"{html.escape(shown(line.name))}</li>"
        )
    if any(line.marked is not None for line in lines):
        items.append(
            '<li><svg class="key" width="18" height="18" aria-hidden="true"><circle class="ring" r="7" cx="9" cy="9"/>'
            "</svg>lowest</li>"
        )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _events(events: Sequence[Event]) -> str:
    items = "".join(f"<li>{html.escape(event.text)}</li>" for event in events)
    return f'<ol class="events">{items}</ol>' if items else ""


def _table(chart: Chart) -> tuple[list[str], list[list[str]]]:
    """A row for each x; columns for each line, in each unit."""
    units = [(chart.y, 1.0), *([chart.other] if chart.other else [])]
    heads = [chart.x] + [f"{line.name}, {unit}" for line in chart.lines for unit, _ in units]
    values = [dict(line.points) for line in chart.lines]
    rows = []
    for x in sorted({x for line in values for x in line}):
        cells = [chart.number(line[x] / size) if x in line else "" for line in values for _, size in units]
        rows.append([f"{x:,.10g}", *cells])
    return heads, rows
