"""What can be chosen by name, and added to: cells, activations, starting weights, truncations, optimisers, schedules.

A name of charrnn's own stands for a place, `module:attribute`, which is imported when it is first asked for: so the
names are known before NumPy is loaded. Your own are added as they are, from any script:

    from charrnn.registry import OPTIMIZERS
    OPTIMIZERS["lion"] = Lion  # then: charrnn.train("corpus.txt", optimizer="lion")
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

from charrnn.errors import UnknownNameError


class Registry(MutableMapping[str, Any]):
    """Things of one `kind` by name. `check`, a place too, is called with the name and each thing that is added."""

    def __init__(self, kind: str, places: dict[str, str], check: str | None = None) -> None:
        self.kind = kind
        self._things: dict[str, Any] = dict(places)
        self._check = check

    def __getitem__(self, name: str) -> Any:
        """What `name` stands for; UnknownNameError with the names that there are."""
        if name not in self._things:
            near = difflib.get_close_matches(str(name), self._things, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UnknownNameError(f"{self.kind} {name!r}: must be one of {', '.join(self)}{hint}")
        thing = self._things[name]
        if isinstance(thing, str):
            thing = self._things[name] = _imported(thing)
        return thing

    def __setitem__(self, name: str, thing: Any) -> None:
        if self._check:
            _imported(self._check)(name, thing)
        self._things[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._things[name]

    def __contains__(self, name: object) -> bool:
        return name in self._things

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)


def _imported(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


def _in(module: str, **attributes: str) -> dict[str, str]:
    return {name: f"charrnn.{module}:{attribute}" for name, attribute in attributes.items()}


CELLS = Registry(
    "cell",
    {
        **_in("network.cells.rnn", rnn="RNN"),
        **_in("network.cells.gru", gru="GRU"),
        **_in("network.cells.lstm", lstm="LSTM"),
    },
    check="charrnn.network.cells.contract:check",
)
ACTIVATIONS = Registry(
    "activation", _in("network.activations", tanh="TANH", relu="RELU", sigmoid="SIGMOID", identity="IDENTITY")
)
INITS = Registry("init", _in("network.initial", orthogonal="orthogonal", uniform="uniform", gaussian="gaussian"))
TRUNCATIONS = Registry(
    "truncation", _in("network.truncation", full="Full", fixed="Fixed", sliding="Sliding", random="Random")
)
OPTIMIZERS = Registry(
    "optimizer",
    _in("training.optimizers", sgd="SGD", momentum="Momentum", adagrad="Adagrad", rmsprop="RMSprop", adam="Adam"),
)
SCHEDULES = Registry(
    "schedule", _in("training.schedules", constant="constant", step="step", cosine="cosine", plateau="plateau")
)

# What a symbol is, and the normal form of Unicode that a text is brought into before it is cut into symbols.
UNITS = ("codepoint", "grapheme", "byte")
NORMALIZATIONS = ("none", "nfc", "nfkc")
LONGEST_SYMBOL = 32  # code points; the longest that a language or an emoji needs has a dozen
BYTES = "".join(map(chr, range(256)))  # the symbols of the unit byte
