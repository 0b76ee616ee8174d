"""A page by itself: the weights, the network as a script beside its equations, and nothing from elsewhere.

The weights are float32, base64; the script computes in double precision, charrnn in that of the weights. The logits of
a float32 model differ in the seventh digit, so greedy texts are the same unless two characters are equally probable to
that digit. Chance is another generator's: the same seed gives the same text on the page, and not that of the command.

Vocabulary, name and settings may come from anyone. They reach the page as JSON without `<`, or as text in which what
HTML would obey is escaped and what does not print is shown as an escape. A content security policy allows the two
scripts and the one style sheet by their SHA-256, and nothing else: no connection, no image, no frame, no form.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from charrnn import __version__
from charrnn.errors import ConfigError, shown
from charrnn.formats.contents import as_float32, check_own, settings

if TYPE_CHECKING:
    from charrnn.formats import Origin
    from charrnn.model import Model

# φ as the page computes it, and as it prints it.
PHI = {
    "tanh": ("Math.tanh", "tanh(<var>z</var>)"),
    "relu": ("(z) => Math.max(z, 0)", "max(<var>z</var>, 0)"),
    "sigmoid": ("sigmoid", "σ(<var>z</var>)"),
    "identity": ("(z) => z", "<var>z</var>"),
}
BEGINNING = "The "  # stands in the field where the model knows its characters


def content(model: Model, origin: Origin) -> bytes:
    """The page, UTF-8. ConfigError for a cell or φ that is not built in, and for weights beyond float32."""
    a = model.architecture
    check_own(model, "a page runs", PHI)
    if model.unit == "byte":
        raise ConfigError("unit byte: a page shows characters; train a model of unit codepoint or grapheme for one")
    weights = as_float32(model, "a page").parameters.vector.astype("<f4")
    layers = [a.layer_names(layer) for layer in range(1, len(a.hidden) + 1)]
    data = {
        "symbols": list(model.symbols),
        "hidden": a.hidden,
        "shapes": list(a.shapes().items()),
        "layers": layers,
        "prompt": BEGINNING if set(BEGINNING) <= set(model.symbols) and model.end is None else "",
        "end": model.end,
        "normalize": "" if model.normalize == "none" else model.normalize.upper(),
    }
    computed, printed = PHI[a.activation]
    network = filled(template("network.js"), cell=filled(template(f"{a.cell}.js"), phi=computed))
    script, style = template("page.js"), template("page.css")
    scripts = " ".join(_source(text) for text in (network, script))
    page = filled(
        template("page.html"),
        policy=f"default-src 'none'; script-src {scripts}; style-src {_source(style)}; base-uri 'none'; "
        "form-action 'none'",
        version=__version__,
        title=_text(origin.name),
        parameters=f"{weights.size:,}",
        style=style,
        equations=filled(
            template("equations.html"),
            cell=filled(template(f"{a.cell}.html"), phi=printed),
            shapes=_shapes(layers, a.shapes()),
        ),
        facts=_facts(model, origin),
        model=json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        weights=base64.b64encode(weights.tobytes()).decode(),
        network=network,
        page=script,
    )
    return page.encode()


def template(name: str) -> str:
    """A file of the folder template/."""
    return files("charrnn.formats").joinpath("template", name).read_text("utf-8")


def filled(text: str, **values: str) -> str:
    """`text` with each {{name}} replaced, once: what is put in is left as it is. KeyError for a name without value."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], text)


def _source(text: str) -> str:
    """The text of a script or style element, as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(value: object) -> str:
    """Foreign text for HTML: short, escaped, and without characters that do not print."""
    return html.escape(shown(value))


def _shapes(layers: list[dict[str, str]], shapes: Mapping[str, tuple[int, ...]]) -> str:
    """The weights' names and shapes, and what the code calls them, as rows of a table."""
    called = {name: own for names in layers for own, name in names.items()}
    called |= dict(zip(list(shapes)[-2:], ("W_ha", "b_a"), strict=True))
    return "".join(
        f"<tr><td>{name}</td><td>{' × '.join(map(str, shape))}</td><td>{called[name]}</td></tr>"
        for name, shape in shapes.items()
    )


def _facts(model: Model, origin: Origin) -> str:
    """Sizes, loss and settings, as HTML. Names of files are left out: the page is made to be given away."""
    a = model.architecture
    facts = {
        "network": f"{a.cell}, {len(a.hidden)} layer{'s' if len(a.hidden) > 1 else ''} of "
        f"{', '.join(map(str, a.hidden))} units" + (f", φ = {a.activation}" if a.cell == "rnn" else ""),
        "parameters": f"{model.parameters.vector.size:,}",
        "vocabulary": f"{a.symbols:,} characters",
    }
    if origin.steps is not None:
        facts["trained for"] = f"{origin.steps:,} steps"
    if origin.validation is not None:
        nats = origin.validation
        facts["validation loss"] = (
            f"{nats:.4f} nats, or {nats / math.log(2):.4f} bits, per character; "
            f"perplexity {math.exp(min(nats, 700)):.3f}"
        )
    known = settings(model)
    trained = f"<details><summary>How it was trained</summary>{_list(known)}</details>" if known else ""
    return _list(facts) + trained


def _list(values: Mapping[str, object]) -> str:
    rows = (f"<dt>{_text(name)}</dt><dd>{_text(_plain(value))}</dd>" for name, value in values.items())
    return f"<dl>{''.join(rows)}</dl>"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)
