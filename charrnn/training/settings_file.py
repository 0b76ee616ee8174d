"""The YAML of settings: one `key: value` a line, where a list may be a value, and nothing else.

The reader resolves no types: the text of a value means what its key says, so that `1e-3` is a number and `no` a name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from charrnn.errors import ConfigError

MAX_BYTES = 100_000


@dataclass(frozen=True)
class Entry:
    """A key, the text of its value (a list of texts for a list, None for nothing or null), and its line from 1."""

    key: str
    value: str | list[str] | None
    line: int


def read(path: Path) -> list[Entry]:
    """The entries of the file in order; ConfigError with file and line if it is anything but flat YAML."""
    shown = escaped(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{shown}: cannot be read ({reason}); check the path") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{shown}: longer than {MAX_BYTES:,} bytes, so it is no configuration; check the path")
    try:
        return _entries(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{shown}: character {error.position} is a control character; delete it") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = escaped(error.problem or "not YAML")
        raise ConfigError(f"{shown}, line {line}: {problem}; write one `key: value` a line") from error


def write(values: Mapping[str, Any]) -> str:
    """The lines that `read` takes back; what is None becomes a comment."""
    return "".join(f"# {key}:\n" if value is None else f"{key}: {as_written(value)}\n" for key, value in values.items())


def as_written(value: Any) -> str:
    """A value as it stands in the file. Text is always quoted: `null`, `1e3` or `a: b` may be the name of a file."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f'"{escaped(value, also=chr(34) + chr(92))}"'
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def escaped(text: str, also: str = "") -> str:
    """Text in one line: characters that cannot be seen, and those in `also`, in the escapes of YAML."""

    def escape(c: str) -> str:
        if c in also:
            return "\\" + c
        code = ord(c)
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    return "".join(c if c.isprintable() and c not in also else escape(c) for c in text)


class _FlatLoader(yaml.BaseLoader):
    """Composes a mapping of scalars to scalars and lists of them; what goes deeper is refused before it is entered."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node. `index` is None for the key of a mapping, and the node of its key for a value."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        scalar, tagged = isinstance(event, yaml.ScalarEvent), getattr(event, "tag", None) not in (None, "!")
        if isinstance(event, yaml.AliasEvent) or tagged:
            raise _wrong("an alias or a tag, which a configuration does not need", event)
        if parent is None and (event.value if scalar else not isinstance(event, yaml.MappingStartEvent)):
            raise _wrong("a value without a key", event)
        is_value = isinstance(parent, yaml.MappingNode) and index is not None
        if parent is not None and not scalar and not (is_value and isinstance(event, yaml.SequenceStartEvent)):
            raise _wrong("a nested value, which a configuration does not need", event)
        return super().compose_node(parent, index)


def _entries(text: str) -> list[Entry]:
    documents = list(yaml.compose_all(text, _FlatLoader))
    if len(documents) > 1:
        raise _wrong("a second document", documents[1])
    entries: dict[str, Entry] = {}
    for key, value in documents[0].value if documents and documents[0].value else ():
        line = key.start_mark.line + 1
        if key.value in entries:
            name = escaped(repr(key.value))
            raise _wrong(f"{name} a second time (first in line {entries[key.value].line})", key)
        nothing = isinstance(value, yaml.ScalarNode) and value.style is None and value.value in ("", "~", "null")
        items = value.value if isinstance(value, yaml.ScalarNode) else [item.value for item in value.value]
        entries[key.value] = Entry(key.value, None if nothing else items, line)
    return list(entries.values())


def _wrong(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
