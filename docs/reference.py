"""The pages commands.md and python.md, as far as they are made of what the program itself says: `make reference`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import charrnn
from charrnn import errors
from charrnn.cli.commands import COMMANDS, load
from charrnn.report.markdown import table, with_block

DOCS = Path(__file__).parent


def commands() -> str:
    """What the help of every command says, as Markdown."""
    listed = [(f"[{name}](#charrnn-{name})", entry.sentence) for name, entry in COMMANDS.items()]
    return "\n".join([table(("command", "what it does"), listed), *map(_command, COMMANDS)])


def _command(name: str) -> str:
    command = load(name)
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(["charrnn", name, *command.collect_usage_pieces(context)])
    examples = "".join(f"    {line}  # {meaning}\n" for line, meaning in COMMANDS[name].examples)
    parts = [
        f"## charrnn {name}\n",
        f"```text\n{usage}\n```\n",
        f"{_escaped(inspect.cleandoc(command.help))}\n",
        examples,
    ]
    for section, records in command.sections(context).items():
        rows = [_row(record) for record in records]
        columns = [0, 1, 2] if any(default for _, default, _ in rows) else [0, 2]
        heads = (section.lower(), "default", "meaning")
        parts.append(table([heads[i] for i in columns], ([row[i] for i in columns] for row in rows)))
    return "\n".join(parts)


def _row(record: tuple[str, str]) -> tuple[str, str, str]:
    """An option with its default, which its help has in round or in square brackets at its end."""
    text, _, extra = record[1].partition("  [")
    default = re.search(r" \(default ([^()]+)\)$", text)
    text, defaults, limits = text[: default.start()] if default else text, [default[1]] if default else [], []
    for item in extra.rstrip("]").split("; ") if extra else []:
        if item.startswith("default: "):
            defaults.append(item.removeprefix("default: "))
        else:
            limits.append(f" ({item})")
    return f"`{record[0]}`", _escaped("".join(defaults)), _escaped(text + "".join(limits))


def _escaped(text: str) -> str:
    return re.sub(r"([\\*|<])", r"\\\1", text)


def python() -> str:
    """Every public name, and of each class what is public in it, as Markdown: signatures and docstrings."""
    things = {name: getattr(charrnn, name) for name in charrnn.__all__}
    kinds: dict[str, Callable[[Any], bool]] = {
        "Functions": inspect.isfunction,
        "Classes": inspect.isclass,
        "What can be chosen by name": lambda thing: isinstance(thing, Mapping),
    }
    parts = []
    for heading, is_one in kinds.items():
        parts.append(f"## {heading}\n")
        for name in [name for name in things if is_one(things[name])]:
            parts += _registry(name, things[name]) if isinstance(things[name], Mapping) else _thing(name, things[name])
    return "\n".join(parts)


def _registry(name: str, registry: Mapping[str, Any]) -> list[str]:
    return [f"### {name}\n", f"Each {registry.kind} by its name: {', '.join(registry)}.\n"]  # type: ignore[attr-defined]


def _thing(name: str, thing: Any) -> Iterator[str]:
    yield f"### {name}\n"
    yield _signature(name, thing)
    yield _words(thing)
    if thing is charrnn.CharrnnError:
        kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, thing)]
        yield table(("of charrnn.errors", "when"), [(f"`{kind.__name__}`", kind.__doc__ or "") for kind in kinds[1:]])
    for member, value in _members(thing) if inspect.isclass(thing) else ():
        if isinstance(value, property | cached_property):
            function: Any = value.fget if isinstance(value, property) else value.func
            yield f"#### {name}.{member}\n"
            yield f"    {name}.{member}: {_plain(inspect.signature(function).return_annotation)}\n"
        else:
            function = getattr(value, "__func__", value)
            yield f"#### {name}.{member}()\n"
            yield _signature(f"{name}.{member}", function)
        yield _words(function)


def _members(kind: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(kind).items():
        function = inspect.isfunction(value) or isinstance(value, property | cached_property | classmethod)
        if function and not name.startswith("_"):
            yield name, value


def _words(thing: Any) -> str:
    return f"{inspect.cleandoc(thing.__doc__)}\n"


def _signature(name: str, thing: Any) -> str:
    if hasattr(thing, "model_fields"):  # of pydantic, which takes every setting by its name
        return f"    {name}(**settings)\n"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return f"    {name}(message)\n"
    found = inspect.signature(thing)
    shown, starred = [], False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
        starred = parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        shown.append(_plain(str(parameter)))
    returns = "" if inspect.isclass(thing) else f" -> {_plain(found.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returns}"
    if len(line) > 100:
        line = "\n".join([f"{name}(", *(f"    {part}," for part in shown), f"){returns}"])
    return "".join(f"    {part}\n" for part in line.splitlines())


def _plain(annotation: Any) -> str:
    """An annotation as it is written, without the quotes that the module puts around it."""
    text = re.sub(r"(^|: )'([^']*)'", r"\1\2", str(annotation))
    return re.sub(r"<factory>", "{}", text)


PAGES = {"commands.md": commands, "python.md": python}


def page(name: str) -> str:
    """The page as it should be: what is written by hand in it, and what is made, up to date."""
    return with_block((DOCS / name).read_text("utf-8"), "reference", PAGES[name]())


if __name__ == "__main__":
    for name in PAGES:
        (DOCS / name).write_text(page(name), "utf-8")
