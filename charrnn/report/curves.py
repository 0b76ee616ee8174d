"""The curves of a page about trainings: what their metrics hold, step by step."""

from __future__ import annotations

import math

from charrnn.errors import shown
from charrnn.report.charts import COLOURS, Chart, Event, Line, figure
from charrnn.report.markup import Runs, grid, text
from charrnn.training.findings import Findings


def loss(runs: Runs) -> str:
    """Training and validation loss by step and by time."""
    symbols = [one.symbols for _, one in runs if one.symbols]
    highest = 1.1 * math.log(max(symbols)) if symbols and max(symbols) > 1 else None
    about = "Mean loss: of the training text since the value before, and of the validation text at each evaluation."
    cut = " Values above that of a uniform guess are cut off." if highest is not None else ""
    longest = max((seconds for _, one in runs for seconds, _ in _points(one, "train", "seconds")), default=0)
    scale, unit = (60, "minutes") if longest > 300 else (1, "seconds")
    characters = all(one.settings.get("unit", "codepoint") == "codepoint" for _, one in runs)
    symbol = "character" if characters else "symbol"
    bits = (f"bits per {symbol}", math.log(2))
    charts = [
        Chart(
            "loss-steps",
            "Loss by step",
            about + cut,
            "step",
            f"nats per {symbol}",
            _losses(runs),
            _happened(runs),
            highest=highest,
            other=bits,
        ),
        Chart(
            "loss-time",
            "Loss by time of training",
            about + " Time for validation is not counted.",
            f"time of training, {unit}",
            f"nats per {symbol}",
            _losses(runs, "seconds", scale),
            _happened(runs, "seconds", scale),
            highest=highest,
            other=bits,
        ),
    ]
    charts_drawn = [made for made in map(figure, charts) if made]
    missing = [name for name, one in runs if not _points(one, "train")]
    untimed = [name for name, one in runs if _points(one, "train") and not _points(one, "train", "seconds")]
    said = [f"{text(name)}: no step was recorded yet." for name in missing]
    said += [f"{text(name)}: not by time, which its metrics do not hold." for name in untimed]
    said += [
        f"{text(name)}: no validation loss; the training loss decided which network is best."
        for name, one in runs
        if not one.best and name not in missing
    ]
    if not charts_drawn:  # which would tell it
        said += [text(event.text, 200) for event in _happened(runs)]
    return grid(charts_drawn) + "".join(f'<p class="notice">{line}</p>' for line in said)


def _losses(runs: Runs, by: str = "step", scale: float = 1) -> list[Line]:
    lines = []
    for i, (name, one) in enumerate(runs):
        several = len(runs) > 1
        validation, train = _points(one, "validation", by, scale), _points(one, "train", by, scale)
        lowest = min(range(len(validation)), key=lambda k: validation[k][1], default=None)
        label = name if several else "validation"
        lines.append(
            Line(f"{name}, validation" if several else "validation", validation, i, marked=lowest, label=label)
        )
        own = "" if several and validation else f"{name}, train" if several else "train"
        lines.append(Line(f"{name}, train" if several else "train", train, i, quiet=True, label=own))
    return [line for line in lines if line.points]


def course(runs: Runs) -> str:
    """Learning rate, speed, and the gradient norms of each run's layers."""
    each = [(i, name, one) for i, (name, one) in enumerate(runs)]
    events = _happened(runs)
    charts = [
        Chart(
            "rate",
            "Learning rate",
            "The rate of each update that was recorded.",
            "step",
            "learning rate",
            [Line(name, _points(one, "learning_rate"), i) for i, name, one in each],
            events,
            lowest=0.0,
            number="{:.6g}".format,
        ),
        Chart(
            "speed",
            "Speed",
            "Characters of the text by second of training, since the row before.",
            "step",
            "characters per second",
            [Line(name, _points(one, "characters_per_second"), i) for i, name, one in each],
            events,
            lowest=0.0,
            number="{:,.0f}".format,
        ),
    ]
    for i, name, one in each:
        layers = max((len(row.get("gradient_norms", ())) for row in one.rows), default=0)
        lines = [Line("all, before clipping", _points(one, "gradient_norm"), 0, quiet=True, label="all")]
        for layer in range(layers):
            called = f"layer {layer + 1}" if layer < layers - 1 else "output"
            points = [
                (float(row["step"]), row["gradient_norms"][layer])
                for row in one.rows
                if len(row.get("gradient_norms", ())) == layers
            ]
            lines.append(Line(called, points, (layer + 1) % COLOURS))
        of = f" of {shown(name)}" if len(runs) > 1 else ""
        charts.append(
            Chart(
                f"gradient-{i}",
                f"Gradient norm by layer{of}",
                "Euclidean norm of the gradient of an update: of all weights before it was clipped, and of each "
                "layer's as it was used.",
                "step",
                "gradient norm",
                lines,
                _happened([(name, one)]),
                logarithmic=True,
                number="{:.4g}".format,
            )
        )
    return grid([made for made in map(figure, charts) if made]) or '<p class="notice">No step was recorded yet.</p>'


def _points(one: Findings, name: str, by: str = "step", scale: float = 1) -> list[tuple[float, float]]:
    return [(round(row[by] / scale, 3), row[name]) for row in one.rows if name in row and by in row]


def _happened(runs: Runs, by: str = "step", scale: float = 1) -> list[Event]:
    """Rollbacks and divergence; by time, at the last row before."""
    events = []
    for name, one in runs:
        who, last = f"{shown(name)}: " if len(runs) > 1 else "", None
        for row in one.rows:
            last = row.get(by, last)
            if last is None:
                continue
            if "rollback" in row:
                rate = f", {row['learning_rate']:g}" if "learning_rate" in row else ""
                after = f" after step {row['after']:,}" if "after" in row else ""
                what = f"diverged{after}, and went back to step {row['step']:,} with half the rate{rate}."
            elif "diverged" in row:
                what = f"diverged at step {row['step']:,}, and stopped."
            else:
                continue
            events.append(Event(round(last / scale, 3), f"{who}{what}"))
    return events
