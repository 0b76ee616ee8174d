"""What can be chosen by name, and added to: cells, activations, starting weights, truncations, optimisers, schedules.

A name of charrnn's own stands for a place, `module:attribute`, which is imported when it is first asked for: so the
names are known before NumPy is loaded. Your own are added as they are, from any script:

    from charrnn.registry import OPTIMIZERS
    OPTIMIZERS["lion"] = Lion  # then: charrnn.train("corpus.txt", optimizer="lion")

What is added is checked at once: its name, since a checkpoint and a settings file must hold it, and the thing itself.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

from charrnn.errors import ConfigError, UnknownNameError, shown

NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")
NAME_RULE = "1 to 60 letters, digits, and _ . -"


class Registry(MutableMapping[str, Any]):
    """Things of one `kind` by name. `check`, a place too, is called with the name and each thing that is added; without
    one, a thing must be a function."""

    def __init__(self, kind: str, places: dict[str, str], check: str | None = None) -> None:
        self.kind = kind
        self._things: dict[str, Any] = dict(places)
        self._check = check

    def __getitem__(self, name: str) -> Any:
        """What `name` stands for; UnknownNameError with the names that there are."""
        self._must_have(name)
        thing = self._things[name]
        if isinstance(thing, str):
            thing = self._things[name] = _imported(thing)
        return thing

    def loaded(self, name: str) -> Any | None:
        """What `name` stands for, or None if it would have to be imported."""
        self._must_have(name)
        thing = self._things[name]
        return None if isinstance(thing, str) else thing

    def __setitem__(self, name: str, thing: Any) -> None:
        """TypeError or ValueError for a name that could not be saved, or a thing of another kind."""
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"{self.kind} {shown(repr(name))}: a name must be {NAME_RULE}")
        if self._check:
            _imported(self._check)(name, thing)
        elif not callable(thing):
            raise TypeError(f"{self.kind} {name}: must be a function, is {shown(thing)}")
        self._things[name] = thing

    def __delitem__(self, name: str) -> None:
        self._must_have(name)
        del self._things[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._things

    def _must_have(self, name: str) -> None:
        if name not in self:
            near = difflib.get_close_matches(str(name), self._things, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UnknownNameError(f"{self.kind} {shown(repr(name))}: must be one of {', '.join(self)}{hint}")

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
    "activation",
    _in("network.activations", tanh="TANH", relu="RELU", sigmoid="SIGMOID", identity="IDENTITY"),
    check="charrnn.network.activations:check",
)
INITS = Registry("init", _in("network.initial", orthogonal="orthogonal", uniform="uniform", gaussian="gaussian"))
TRUNCATIONS = Registry(
    "truncation",
    _in("network.truncation", full="Full", fixed="Fixed", sliding="Sliding", random="Random"),
    check="charrnn.network.truncation:check",
)
OPTIMIZERS = Registry(
    "optimizer",
    _in("training.optimizers", sgd="SGD", momentum="Momentum", adagrad="Adagrad", rmsprop="RMSprop", adam="Adam"),
    check="charrnn.training.optimizers:check",
)
SCHEDULES = Registry(
    "schedule",
    _in(
        "training.schedules",
        constant="constant",
        trapezoid="trapezoid",
        cosine="cosine",
        step="step",
        plateau="plateau",
    ),
)

# What the classes of charrnn's own truncations say, known before NumPy is loaded.
NEED_TAU, HAVE_LAGS = ("fixed", "sliding", "random"), ("sliding",)


def check_truncation(name: str, tau: object, recompute: bool = False) -> None:
    """ConfigError if a truncation cannot do with these settings; a class says so by a field `tau` and by its `lags`."""
    made = TRUNCATIONS.loaded(name)
    if made is None:
        takes = needs = name in NEED_TAU
        lags = name in HAVE_LAGS
    else:
        field = inspect.signature(made).parameters.get("tau")
        takes, needs = field is not None, field is not None and field.default is inspect.Parameter.empty
        lags = made.lags is not _imported("charrnn.network.truncation:Truncation").lags
    if recompute and lags:
        raise ConfigError(f"recompute: {name} truncation needs all states; leave recompute out")
    if tau is not None and not takes:
        raise ConfigError(f"tau: {name} truncation takes none; leave it out, or choose another truncation")
    if tau is None and needs:
        raise ConfigError(f"tau: {name} truncation needs it; give it a number of steps, as in 32")


# What a symbol is, and the normal form of Unicode that a text is brought into before it is cut into symbols.
UNITS = ("codepoint", "grapheme", "byte")
NORMALIZATIONS = ("none", "nfc", "nfkc")
LONGEST_SYMBOL = 32  # code points; the longest that a language or an emoji needs has a dozen
BYTES = "".join(map(chr, range(256)))  # the symbols of the unit byte
