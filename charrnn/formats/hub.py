"""A folder as model hubs have it: model.safetensors, config.json, vocab.json, and README.md, the model card.

The card tells what the run itself knows, and nothing else: its losses come from its metrics. Name and settings may come
from anyone; in the card the one is escaped, and the others stand as JSON in a block of code.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING

from charrnn import __version__
from charrnn.errors import shown
from charrnn.formats import tensors
from charrnn.formats.contents import facts, settings

if TYPE_CHECKING:
    from charrnn.formats import Origin
    from charrnn.model import Model

CARD = """---
library_name: charrnn
pipeline_tag: text-generation
tags:
- character-level
- recurrent-neural-network
- {cell}
---
# {name}

A character-level language model: {cell}, {layers}, {parameters:,} parameters, {symbols:,} symbols{unit}. Made with
charrnn {version}.

{losses}## Use

    charrnn import model.safetensors
    charrnn sample model.npz

`model.safetensors` has the names and the layout of PyTorch: the recurrent layers are under `rnn`, the linear one under
`decoder`. `vocab.json` gives the id of each symbol.
{trained}"""
TRAINED = """
## How it was trained

```json
{settings}
```
"""


def content(model: Model, origin: Origin) -> dict[str, bytes]:
    """The files by their names. ConfigError as of a .safetensors file."""
    a = model.architecture
    config = {
        "model_type": "charrnn",
        "vocab_size": a.symbols,
        "num_hidden_layers": len(a.hidden),
        "torch_dtype": model.parameters.vector.dtype.name,
        **{name: value for name, value in facts(model).items() if name != "vocabulary"},
    }
    return {
        "model.safetensors": tensors.content(model, origin),
        "config.json": _json(config),
        "vocab.json": _json({symbol: i for i, symbol in enumerate(model.symbols)}),
        "README.md": _card(model, origin).encode(),
    }


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"


def _card(model: Model, origin: Origin) -> str:
    a, known = model.architecture, settings(model)
    widths = ", ".join(map(str, a.hidden))
    layers = f"{len(a.hidden)} layers of {widths} units" if len(a.hidden) > 1 else f"one layer of {widths} units"
    phi = f", φ {a.activation}" if a.cell == "rnn" else ""
    return CARD.format(
        cell=a.cell,
        name=re.sub(r"([\\`*_{}\[\]()<>#|!&~])", r"\\\1", shown(origin.name)),
        layers=layers + phi,
        parameters=model.parameters.vector.size,
        symbols=a.symbols,
        unit="" if model.unit == "codepoint" else f", each a {model.unit}",
        version=__version__,
        losses=_losses(origin, a.symbols),
        trained=TRAINED.format(settings=json.dumps(known, indent=2)) if known else "",
    )


def _losses(origin: Origin, symbols: int) -> str:
    """The lowest validation loss beside that of a uniform guess, per symbol; empty where none is known."""
    if origin.validation is None:
        return ""
    steps = "" if origin.steps is None else f", in {origin.steps:,} steps"
    return f"""| per symbol | nats | bits | perplexity |
|---|---|---|---|
{_row(f"lowest validation loss{steps}", origin.validation)}
{_row("a uniform guess among its symbols", math.log(symbols))}

"""


def _row(name: str, nats: float) -> str:
    return f"| {name} | {nats:.4f} | {nats / math.log(2):.4f} | {math.exp(min(nats, 700)):.3f} |"
