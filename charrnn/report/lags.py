"""The gradient by lag of a model's layers, for a terminal and as SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from charrnn.verify.inspection import SEEN, LayerReport


def table(reports: Sequence[LayerReport], lags: int) -> Table:
    """A row for each layer."""
    made = Table(caption=f"reach: characters back until the gradient is below 1 % of that at lag 0, of {lags}")
    for head in ("layer", "units", "spectral radius", "largest singular value", "saturated", "reach"):
        made.add_column(head, justify="right")
    for report in reports:
        made.add_row(
            str(report.layer),
            str(report.units),
            f"{report.spectral_radius:.3f}",
            f"{report.largest_singular_value:.3f}",
            f"{report.saturated:.1%}",
            "more" if report.memory is None else str(report.memory),
        )
    return made


# One scale for every picture, so that networks can be compared by eye: 10⁻⁴ … 10⁴, 1 in the middle.
DECADES = 4


def picture(report: LayerReport, width: int = 72) -> list[str]:
    """The norms by lag as columns for a terminal, on a logarithmic scale; the line at 1 is the norm at lag 0."""
    norms = np.asarray(report.norms)
    columns = np.array_split(norms, min(width, len(norms)))
    levels = [float(np.mean(np.log10(np.maximum(column, 1e-300)))) for column in columns]
    lines = []
    for decade in range(DECADES - 1, -DECADES - 1, -1):  # each row covers one decade, from 10^decade up
        empty = "_" if decade == 0 else " "
        cells = [f"{empty}▁▂▃▄▅▆▇█"[round(8 * min(max(level - decade, 0.0), 1.0))] for level in levels]
        lines.append(f"{'1' if decade == 0 else f'10^{decade:+d}':>6} ┤{''.join(cells)}")
    lines.append(" " * 8 + "lag 0" + f"{len(norms) - 1}".rjust(len(columns) - 5))
    return lines


COLOURS = ("#1b6ca8", "#c8553d", "#4b8b3b", "#8a5ea8", "#b8860b", "#2a9d8f")


def svg(reports: list[LayerReport], title: str) -> str:
    """An SVG line chart: gradient norm (logarithmic, clipped to 10⁻⁴ … 10⁴) by lag, one line for each layer."""
    width, height, left, right, top, bottom = 720, 420, 64, 120, 48, 56
    lags = len(reports[0].norms) - 1

    def x(lag: float) -> float:
        return left + (width - left - right) * lag / max(lags, 1)

    def y(value: float) -> float:
        level = float(np.log10(max(value, 1e-300)))
        return top + (height - top - bottom) * (DECADES - level) / (2 * DECADES)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="26" font-size="15">{_escape(title)}</text>',
        # A curve that leaves the scale is cut off at its edge.
        f'<clipPath id="scale"><rect x="{left}" y="{top}" width="{width - left - right}" '
        f'height="{height - top - bottom}"/></clipPath>',
    ]
    for decade in range(-DECADES, DECADES + 1):
        at = y(10.0**decade)
        label = "1" if decade == 0 else f'10<tspan dy="-5" font-size="9">{str(decade).replace("-", "−")}</tspan>'
        colour = "#444" if decade == 0 else "#ddd"
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{at:.1f}" y2="{at:.1f}" stroke="{colour}"/>')
        parts.append(f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{label}</text>')
    at = y(SEEN)
    parts.append(
        f'<line x1="{left}" x2="{width - right}" y1="{at:.1f}" y2="{at:.1f}" stroke="#888" stroke-dasharray="5 4"/>'
        f'<text x="{width - right + 6}" y="{at + 4:.1f}" fill="#666">1 %: unseen</text>'
    )
    for lag in sorted({round(lags * i / 5) for i in range(6)}):
        parts.append(f'<text x="{x(lag):.1f}" y="{height - bottom + 20}" text-anchor="middle">{lag}</text>')
    parts.append(
        f'<text x="{(left + width - right) / 2:.0f}" y="{height - 14}" text-anchor="middle">'
        "lag: characters back from the one that was predicted</text>"
    )
    for report, colour in zip(reports, COLOURS * len(reports), strict=False):
        points = " ".join(f"{x(k):.1f},{y(v):.1f}" for k, v in enumerate(report.norms))
        parts.append(
            f'<polyline clip-path="url(#scale)" points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        line = top + 18 * report.layer - 6
        parts.append(f'<text x="{width - right + 6}" y="{line}" fill="{colour}">layer {report.layer}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
