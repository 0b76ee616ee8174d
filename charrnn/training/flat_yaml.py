"""A strict reader for flat YAML: keys with one value each, or a list of plain values.

It listens to the parser's events and resolves nothing itself: the text of a value means what its key says, so that
`1e-3` is a number and `no` a word. Aliases, nesting, tags and repeated keys are errors, each with its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import ConfigError

MAX_BYTES = 100_000


@dataclass(frozen=True)
class Entry:
    """A key, the text of its value (a list's joined by commas, None for nothing or null), and its line from 1."""

    key: str
    text: str | None
    line: int


def read_flat_yaml(path: Path) -> list[Entry]:
    """The entries of the file in order; ConfigError with file and line if it is anything but flat YAML."""
    import yaml

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: longer than {MAX_BYTES:,} bytes, so it is no configuration; check the path")
    entries: dict[str, Entry] = {}
    key: tuple[str, int] | None = None
    items: list[str] | None = None
    depth = documents = 0

    def wrong(line: int, what: str) -> ConfigError:
        return ConfigError(f"{path}, line {line}: {what}; write one `key: value` a line")

    try:
        for event in yaml.parse(data.decode("utf-8"), Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise wrong(line, "a second document")
            elif isinstance(event, yaml.MappingStartEvent) and depth == 0:
                depth = 1
            elif isinstance(event, yaml.MappingEndEvent):
                depth = 0
            elif isinstance(event, yaml.SequenceStartEvent) and key and items is None:
                items = []
            elif isinstance(event, yaml.SequenceEndEvent) and key:
                entries[key[0]] = Entry(key[0], ",".join(items or []), key[1])
                key = items = None
            elif isinstance(event, yaml.ScalarEvent) and event.tag in (None, "!"):
                if items is not None:
                    items.append(event.value)
                elif key:
                    nothing = event.style is None and event.value in ("", "~", "null")
                    entries[key[0]] = Entry(key[0], None if nothing else event.value, key[1])
                    key = None
                elif depth == 0:
                    if event.value:
                        raise wrong(line, "a value without a key")
                elif event.value in entries:
                    raise wrong(line, f"{event.value!r} a second time (first in line {entries[event.value].line})")
                else:
                    key = event.value, line
            elif not isinstance(event, yaml.StreamStartEvent | yaml.StreamEndEvent | yaml.DocumentEndEvent):
                raise wrong(line, "an alias, a tag or a nested value, which a configuration does not need")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise wrong(mark.line + 1 if mark else 1, problem) from error
    return list(entries.values())
