"""In turns: what was written stands, what is taken back is as if it had never been."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import charrnn as command

import charrnn
from charrnn.cli.interactive import Conversation, converse
from charrnn.errors import ConfigError, CorpusError
from charrnn.network.parameters import Architecture, initial

SYMBOLS = "\nabcdeht "


@pytest.fixture
def model() -> charrnn.Model:
    parameters = initial(Architecture(len(SYMBOLS), (6,), cell="gru"), np.random.default_rng(2), np.float64)
    return charrnn.Model(parameters, "".join(sorted(SYMBOLS)))


def conversation(model: charrnn.Model, **options: Any) -> Conversation:
    return Conversation(model, dict(options), 12, 5, write=lambda text: None)


def test_each_turn_goes_on_from_the_state_after_all_before_it(model: charrnn.Model) -> None:
    """The whole text, read at once as one prompt, would have gone on in the same way."""
    talk = conversation(model, greedy=True)
    for typed in ("the ", "a", ""):
        talk.turn(typed)
    assert len(talk.text) == 3 * 12 + 5
    assert talk.text.endswith(model.sample(12, talk.text[:-12], greedy=True))


def test_turns_draw_with_seeds_one_after_another(model: charrnn.Model) -> None:
    talk = conversation(model)
    talk.turn("the ")
    talk.turn("a")
    assert talk.text.endswith(model.sample(12, talk.text[:-12], seed=6))


def test_a_turn_taken_back_leaves_text_state_and_chance_as_they_were(model: charrnn.Model) -> None:
    talk, again = conversation(model), conversation(model)
    talk.turn("the ")
    before = talk.text
    talk.turn("bad")
    assert talk.undo() and talk.text == before
    talk.turn("cat")
    again.turn("the ")
    again.turn("cat")
    assert talk.text == again.text
    assert talk.undo() and talk.undo() and not talk.undo() and talk.text == "" and talk.state is None


def test_an_interrupt_ends_the_models_part_and_the_next_turn_goes_on_from_there(model: charrnn.Model) -> None:
    written: list[str] = []

    def write(text: str) -> None:
        written.append(text)
        if len(written) == 4:
            raise KeyboardInterrupt

    talk = Conversation(model, {"greedy": True}, 12, 5, write=write)
    talk.turn("the ")
    assert len(talk.text) == len("the ") + 4
    talk.turn("")
    assert talk.text.endswith(model.sample(12, talk.text[:-12], greedy=True))


def test_a_character_that_the_model_does_not_know_changes_nothing(model: charrnn.Model) -> None:
    talk = conversation(model)
    talk.turn("the ")
    text, state = talk.text, talk.state
    with pytest.raises(CorpusError, match="Ω"):
        talk.turn("Ω")
    assert talk.text == text and talk.state is state
    assert talk.undo() and not talk.undo()


@pytest.mark.parametrize("line", ["/temperature x", "/temperature -1", "/length 0", "/length x", "/foo", "/"])
def test_a_wrong_command_is_told_and_changes_nothing(model: charrnn.Model, line: str) -> None:
    talk = conversation(model, temperature=0.7)
    with pytest.raises(ConfigError):
        talk.command(line)
    assert (talk.options["temperature"], talk.length) == (0.7, 12)


def test_temperature_0_is_greedy_and_any_other_is_not(model: charrnn.Model) -> None:
    talk = conversation(model, temperature=0.7)
    talk.command("/temperature 0")
    talk.turn("the ")
    assert talk.text == "the " + model.sample(12, "the ", greedy=True)
    talk.undo()
    talk.command("/temperature 0.9")
    talk.turn("the ")
    assert (
        talk.text == "the " + model.sample(12, "the ", temperature=0.9, seed=5) != model.sample(12, "the ", greedy=True)
    )


def test_commands_change_how_it_writes_and_end_it(model: charrnn.Model, capsys: pytest.CaptureFixture[str]) -> None:
    talk = conversation(model)
    lines: Iterator[str] = iter(["/temperature 0.5", "/length 3", "the ", "Ω", "/nope", "", "/quit", "never"])
    converse(talk, lambda _: next(lines))
    assert (talk.options["temperature"], talk.length, len(talk.text)) == (0.5, 3, 4 + 3 + 3)
    assert next(lines) == "never"
    assert capsys.readouterr().err.count("error: ") == 2


def test_the_end_of_the_input_ends_it(model: charrnn.Model) -> None:
    def ended(_: str) -> str:
        raise EOFError

    converse(conversation(model), ended)


def test_the_command_writes_turns_data_and_texts_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t").write_text("the cat sat on the mat.\n" * 60)
    small: dict[str, Any] = dict(hidden=(8,), seq_length=10, batch_size=4, max_steps=20, threads=1)
    model = charrnn.train("t", out="runs/t", **small).model
    done = command("sample", "t", "-i", "--greedy", "--length", "7", stdin=b"the \n\n/quit\n")
    first = model.sample(7, "the ", greedy=True)
    assert done.out == f"{first}\n{model.sample(7, 'the ' + first, greedy=True)}\n" and done.code == 0
    data = json.loads(command("sample", "t", "--json", "--num-samples", "2", "--length", "9", "--seed", "4").out)
    assert [sample["text"] for sample in data["samples"]] == model.samples(2, 9, seed=4, temperature=0.8)
    assert data["run"] == "runs/t"
    endless = model.stream("the ", length=None, greedy=True)
    assert "".join(islice(endless, 700)) == model.sample(700, "the ", greedy=True)
    for arguments in (["--length", "0", "--json"], ["-i", "--json"], ["-i", "--pieces", "2"]):
        refused = command("sample", "t", *arguments)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
