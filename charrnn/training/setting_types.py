"""The types of settings: how a value is parsed, its bounds, and the error message for a value outside of them.

A value may be text (of a flag or a file), a Python value, or come from JSON; each type reads all three alike.
"""

from __future__ import annotations

import difflib
import math
import operator
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import partial
from numbers import Real
from typing import Annotated, Any, Self, SupportsIndex

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from charrnn.arguments import MOST
from charrnn.errors import ConfigError
from charrnn.training.settings_file import escaped

MAX_TEXT = 4096  # the longest path of Linux, in bytes


def _read_whole(value: Any) -> Any:
    # Not a number, one of more than 4300 digits, or an array.
    with suppress(ValueError, TypeError):
        if isinstance(value, str):
            return int(value)
        if isinstance(value, SupportsIndex) and not isinstance(value, bool):
            return operator.index(value)
    return value


def _read_number(value: Any) -> Any:
    with suppress(ValueError):
        if isinstance(value, str | Real) and not isinstance(value, bool):
            try:
                return float(value)
            except OverflowError:  # of an int
                return math.inf
    return value


def _read_switch(value: Any) -> Any:
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


def _read_widths(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(value.split(","))
    return tuple(value) if isinstance(value, list | tuple | range) else (value,)


def _read_text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _check_text(text: str) -> str:
    with suppress(UnicodeEncodeError):  # a surrogate that stands for no byte of a path (PEP 383)
        data = text.encode("utf-8", "surrogateescape")
        if len(data) <= MAX_TEXT and b"\0" not in data:
            return text
    raise ValueError(f"text of at most {MAX_TEXT:,} bytes in UTF-8, without NUL or lone surrogates")


def one_of(names: Collection[str]) -> AfterValidator:
    """Accepts the names that `names` holds when a value is checked: a registry may grow."""
    return AfterValidator(partial(_known, names))


def _known(names: Collection[str], name: str) -> str:
    if name not in names:
        raise ValueError(f"one of {', '.join(names)}{hint(name, names)}")
    return name


def names_of(metadata: Iterable[object]) -> Collection[str] | None:
    """The names that a field of this pydantic metadata accepts; None if it is no such field."""
    for validator in metadata:
        if isinstance(validator, AfterValidator) and isinstance(validator.func, partial):
            names: Collection[str] = validator.func.args[0]
            return names
    return None


def hint(name: str, names: Iterable[str]) -> str:
    """The nearest of `names` in brackets, if one is near."""
    small = {known.lower(): known for known in names}
    near = [small[key] for key in difflib.get_close_matches(name.lower(), small, 1)]
    return f" (did you mean {near[0]}?)" if near else ""


# In Annotated the last BeforeValidator runs first: it parses the value, and the bounds are checked on the result.
WHOLE, NUMBER = BeforeValidator(_read_whole), BeforeValidator(_read_number)
Count = Annotated[int, Field(ge=1, le=MOST), WHOLE]
Positive = Annotated[float, Field(gt=0, le=MOST), NUMBER]
NotNegative = Annotated[float, Field(ge=0, le=MOST), NUMBER]
Fraction = Annotated[float, Field(ge=0, lt=1), NUMBER]
Switch = Annotated[bool, BeforeValidator(_read_switch)]
Text = Annotated[str, AfterValidator(_check_text), BeforeValidator(_read_text)]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=10**7), WHOLE], ...],
    Field(min_length=1, max_length=1000),
    BeforeValidator(_read_widths),
]


class Checked(BaseModel):
    """A frozen group of settings. A wrong value is a ConfigError of one line, wherever the value comes from.

    The context of a validation may name for each key where its value stands, as in {"tau": "c.yaml, line 3: tau"}.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _in_one_line(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ConfigError(cls._complaint(data, first, info.context or {})) from None

    @classmethod
    def _complaint(cls, data: Any, error: Mapping[str, Any], places: Mapping[str, str]) -> str:
        if not error["loc"]:
            return f"settings {shown(data)}: must be a dictionary of values by name"
        key, kind = str(error["loc"][0]), error["type"]
        if kind in ("extra_forbidden", "invalid_key"):
            return f"unknown setting {shown(key)}{hint(key, cls.model_fields)}"
        value = data[key]
        if kind == "value_error":
            rule = str(error["ctx"]["error"])
        else:
            digits = isinstance(value, str) and value.isdecimal()
            beyond = kind in ("less_than_equal", "finite_number") or (digits and kind == "int_type")
            rule = _rule(cls.model_json_schema()["properties"][key], beyond)
        return f"{places.get(key, key)} {shown(value)}: must be {rule}"


def _rule(schema: Mapping[str, Any], beyond: bool) -> str:
    """What a value must be, by its JSON schema; the largest value allowed is told only where one lies `beyond` it."""
    schema = schema.get("anyOf", [schema])[0]
    if schema["type"] == "array":
        items = schema["items"]
        return (
            f"{schema['minItems']} to {schema['maxItems']:,} widths from {items['minimum']} to {items['maximum']:,}, "
            "separated by commas, as in 128,256"
        )
    words: dict[str, Callable[[Any], str]] = {
        "exclusiveMinimum": "above {:,}".format,
        "minimum": "of at least {:,}".format,
        "exclusiveMaximum": "below {:,}".format,
    }
    if beyond:
        words["maximum"] = "at most {:,}".format
    bounds = " and ".join(say(schema[name]) for name, say in words.items() if name in schema)
    kinds = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "string": "text"}
    return f"{kinds[schema['type']]} {bounds}".rstrip()


def shown(value: object) -> str:
    """A value in a message: in one line, and cut where it is long."""
    try:
        words = escaped(repr(value))
    except Exception:  # as of an int that has more digits than Python prints
        return f"of type {type(value).__name__}"
    return words if len(words) <= 80 else f"{words[:60]}… ({len(words):,} characters)"
