"""Settings: flags over YAML over defaults, and one clear line for each mistake."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from charrnn.errors import ConfigError
from charrnn.training.config import FIELDS, TrainConfig, from_values, resolve
from charrnn.training.flat_yaml import read_flat_yaml

CONFIGS = Path(__file__).parents[1] / "configs"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_flags_go_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "hidden: [128, 64]\nlearning_rate: 1e-3\nval_file: no\n")
    config, origins = resolve(path, {"hidden": "32", "seed": None})
    assert (config.hidden, config.learning_rate, config.val_file, config.seed) == ((32,), 1e-3, "no", 1)
    assert origins["hidden"] == "--hidden"
    assert origins["learning_rate"] == f"{path}, line 2"
    assert origins["seed"] == "default"


def test_every_flag_has_its_key_and_every_key_its_flag() -> None:
    import typer

    from charrnn.cli.main import app

    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    flags = {option for parameter in command.params for option in parameter.opts}
    assert {f"--{name.replace('_', '-')}" for name in FIELDS} <= flags


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_is_read_and_survives_being_written_and_read_again(tmp_path: Path, path: Path) -> None:
    config, _ = resolve(path, {})
    again, _ = resolve(written(tmp_path, config.as_yaml()), {})
    assert again == config
    assert (
        from_values({k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()})
        == config
    )


def test_the_default_recipe_states_the_defaults() -> None:
    assert resolve(CONFIGS / "default.yaml", {})[0] == dataclasses.replace(TrainConfig(), max_steps=TrainConfig().steps)


@pytest.mark.parametrize(
    "text, words",
    [
        ("sed: 1\n", ["line 1", "'sed'", "seed"]),
        ("\nseq-length: 4\n", ["line 2", "seq_length"]),
        ("quux: 1\n", ["line 1", "'quux'", "--print-config"]),
        ("optimizer: adan\n", ["line 1", "optimizer", "adam"]),
        ("seed: 1\nseed: 2\n", ["line 2", "second time"]),
        ("seed: x\n", ["line 1", "seed", "whole number"]),
        ("seed: 1.5\n", ["seed", "whole number"]),
        ("seed: -1\n", ["seed", "at least 0"]),
        ("seed:\n", ["seed", "no value"]),
        ("learning_rate: 1e400\n", ["learning_rate", "above 0"]),
        ("learning_rate: nan\n", ["learning_rate"]),
        ("hidden: [1, 0]\n", ["hidden", "widths"]),
        ("hidden: []\n", ["hidden", "widths"]),
        ("hidden: [[1]]\n", ["line 1", "nested"]),
        ("hidden: &a 3\n", []),
        ("a: &a 3\nb: *a\n", ["line 2", "alias"]),
        ("seed: !!int 3\n", ["line 1", "tag"]),
        ("--- \nseed: 1\n---\nseed: 2\n", ["second document"]),
        ("- 1\n", ["line 1"]),
        ("seed\n", ["line 1", "without a key"]),
        ("seed: {a: 1}\n", ["line 1", "nested"]),
        ("? [a]\n: 1\n", ["line 1"]),
        ("seed: 'x\n", ["c.yaml"]),
        (b"seed: \xff\n", ["byte 6"]),
        ("[" * 50_000, ["line 1"]),
        ("#" * 200_000, ["longer"]),
    ],
)
def test_a_wrong_file_is_one_line_that_names_file_line_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    if not words:  # an anchor alone does no harm
        assert resolve(path, {})[0].hidden == (3,)
        return
    with pytest.raises(ConfigError) as caught:
        resolve(path, {})
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    "flags, words",
    [
        ({"tau": "3"}, "full truncation"),
        ({"truncation": "fixed"}, "needs it"),
        ({"truncation": "slidng", "tau": "3"}, "did you mean sliding"),
        ({"val_frac": "0.5", "test_frac": "0.5"}, "below 1"),
        ({"recompute": "true", "truncation": "sliding", "tau": "2"}, "recompute"),
        ({"alpha": "3"}, "above 3"),
        ({"dropout": "1"}, "--dropout"),
        ({"learning_rate": "inf"}, "--learning-rate"),
        ({"max_minutes": "0"}, "--max-minutes"),
    ],
)
def test_wrong_flags_and_combinations_are_named(flags: dict[str, str | None], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve(None, flags)


def test_an_empty_file_and_one_of_comments_say_nothing(tmp_path: Path) -> None:
    assert read_flat_yaml(written(tmp_path, "")) == []
    assert read_flat_yaml(written(tmp_path, "# seed: 3\n")) == []


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        resolve(tmp_path / "nowhere.yaml", {})
