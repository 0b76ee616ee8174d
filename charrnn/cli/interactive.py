"""`charrnn sample --interactive`: one types, and the model goes on from the state that it is in."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from charrnn.cli.terminal import say, visible
from charrnn.errors import CharrnnError, ConfigError

if TYPE_CHECKING:
    from charrnn.model import Model
    from charrnn.network.stack import State

HELP = (
    "Type what the model goes on from; Enter alone lets it go on. Ctrl-C stops it. "
    "/undo takes the last turn back, /temperature 0.5 and /length 300 change how it writes, /quit ends."
)
TAIL = 60  # characters of the text that /undo shows


@dataclass
class Conversation:
    """A text that a person and a model write in turns; each turn can be taken back.

    Turn k draws with seed + k, so that the same turns give the same text.
    """

    model: Model
    options: dict[str, Any]  # of `Model.stream`
    length: int
    seed: int
    unescaped: Callable[[str], str] = str
    write: Callable[[str], object] = sys.stdout.write
    text: str = ""
    state: State | None = None
    _before: list[tuple[str, State | None]] = field(default_factory=list)

    def turn(self, typed: str) -> None:
        """What was typed, and what the model makes of it, into the text; an interrupt ends the model's part.

        CorpusError for a character that the model does not know: then nothing has changed.
        """
        options = {**self.options, "seed": self.seed + len(self._before)}
        characters = self.model.stream(typed, length=self.length, state=self.state, **options)
        before = self.text, self.state
        self.text += typed
        try:
            for character in characters:
                self.text += character
                self.write(character)
                sys.stdout.flush()
        except KeyboardInterrupt:
            pass
        self.write("\n")
        self.state = characters.state
        self._before.append(before)

    def undo(self) -> bool:
        """Takes the last turn back; False if there is none."""
        if not self._before:
            return False
        self.text, self.state = self._before.pop()
        return True

    def command(self, line: str) -> bool:
        """Does what a line that begins with / asks for; False if it asks to end. ConfigError for what is no command."""
        name, _, value = line[1:].strip().partition(" ")
        if name in ("quit", "q", "exit"):
            return False
        if name == "undo":
            tail = self.text[-TAIL:]
            if not self.undo():
                say("there is nothing to take back")
            elif self.text:
                say(f"back to: {visible(self.text[-TAIL:])!r}")
            else:
                say(f"back to the beginning, before {visible(tail)!r}")
        elif name == "temperature":
            self._set_temperature(value)
        elif name == "length":
            if not value.isdecimal() or not int(value):
                raise ConfigError(f"/length {value}: must be a number of characters, as in /length 300")
            self.length = int(value)
        elif name == "help":
            say(HELP)
        else:
            raise ConfigError(f"/{name}: there are /undo, /temperature, /length, /help and /quit")
        return True

    def _set_temperature(self, value: str) -> None:
        from charrnn.inference.sampling import Choice

        try:
            temperature = float(value)
        except ValueError:
            raise ConfigError(f"/temperature {value}: must be a number, as in /temperature 0.5") from None
        Choice(temperature or 1.0)
        self.options |= {"temperature": temperature or 1.0, "greedy": temperature == 0}


def converse(conversation: Conversation, read: Callable[[str], str] = input) -> None:
    """Turns until /quit, the end of the input, or Ctrl-C at the prompt. What is wrong is told, and ends nothing."""
    with contextlib.suppress(ImportError):  # where there is one, the line can be edited, and earlier ones come back
        import readline  # noqa: F401
    say(HELP)
    asks = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = read(asks)
        except (EOFError, KeyboardInterrupt):
            say("")
            return
        try:
            if line.startswith("/"):
                if not conversation.command(line):
                    return
            else:
                conversation.turn(conversation.unescaped(line))
        except CharrnnError as error:
            say(f"error: {error}")
