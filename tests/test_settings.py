"""Settings: flags over YAML over defaults, checked wherever they come from, and one clear line for each mistake."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charrnn.errors import ConfigError
from charrnn.network.truncation import Truncation
from charrnn.registry import HAVE_LAGS, NEED_TAU, TRUNCATIONS
from charrnn.training.settings import Settings, parse, resolve

CONFIGS = Path(__file__).parents[1] / "configs"


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def complaint_about(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        Settings(**values)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    return message


def test_given_values_go_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, "hidden: [128, 64]\nlearning_rate: 1e-3\nval_file: no\nbatch_size: 8\n")
    settings, origins = resolve(path, {"hidden": "32", "seed": None})
    assert (settings.hidden, settings.learning_rate, settings.val_file, settings.seed) == ((32,), 1e-3, "no", 1)
    assert (origins["hidden"], origins["seed"]) == ("given", "default")
    assert origins["learning_rate"] == f"{path}, line 2"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_survives_being_written_as_yaml_and_as_json(tmp_path: Path, path: Path) -> None:
    settings, _ = resolve(path, {})
    assert resolve(written(tmp_path, settings.as_yaml()), {})[0] == settings
    assert Settings.from_plain(json.loads(json.dumps(settings.plain(), allow_nan=False))) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_the_default_recipe_states_the_defaults() -> None:
    stated = resolve(CONFIGS / "default.yaml", {})[0]
    usual = Settings(max_steps=Settings().steps).fitted(steps_per_epoch=245)
    assert stated == usual


def test_a_recipe_is_found_by_its_name_from_anywhere_and_a_file_of_that_name_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("quick", "quick.yaml"):
        assert resolve(Path(name), {})[0] == resolve(CONFIGS / "quick.yaml", {})[0]
    (tmp_path / "quick").write_text("hidden: 7\n")
    assert resolve(Path("quick"), {})[0].hidden == (7,)
    with pytest.raises(
        ConfigError, match=r"quik: no such file and no recipe \(did you mean quick\?\); recipes: deep, "
    ):
        resolve(Path("quik"), {})


@pytest.mark.parametrize("hidden", ["128,64", " 128, 64", [128, 64], (128, 64), ["128", "64"], [np.int64(128), 64]])
def test_widths_are_read_from_text_and_from_sequences(hidden: Any) -> None:
    assert Settings(hidden=hidden).hidden == (128, 64)
    assert (
        Settings(hidden=128).hidden == Settings(hidden="128").hidden == Settings(hidden=np.int32(128)).hidden == (128,)
    )


def test_numbers_of_numpy_and_paths_become_plain_values() -> None:
    settings = Settings(seed=np.uint8(7), learning_rate=np.float32(0.5), epochs=3, val_file=Path("a") / "b")
    assert json.dumps(settings.plain()["seed"]) == "7"
    assert [type(value) for value in (settings.seed, settings.learning_rate, settings.epochs)] == [int, float, float]
    assert settings.val_file == os.path.join("a", "b")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"tau": 3}, "tau: full truncation takes none"),
        ({"truncation": "fixed"}, "tau: fixed truncation needs it"),
        (
            {"truncation": "slidng", "tau": "3"},
            "truncation 'slidng': must be one of full, fixed, sliding, random (did you",
        ),
        ({"val_frac": "0.5", "test_frac": 0.5}, "val_frac and test_frac: together they must be below 1"),
        ({"recompute": "True", "truncation": "sliding", "tau": "2"}, "recompute: sliding"),
        ({"cell": "gruu"}, "cell 'gruu': must be one of rnn"),
        ({"alpha": 3}, "alpha 3: must be a number above 3"),
        ({"dropout": "1"}, "dropout '1': must be a number of at least 0 and below 1"),
        ({"decay": 1}, "decay 1: must be a number above 0 and below 1"),
        ({"learning_rate": "inf"}, "learning_rate 'inf': must be a number above 0 and at most 1,000,000,000,000"),
        ({"learning_rate": True}, "learning_rate True: must be a number"),
        ({"grad_clip": -1}, "grad_clip -1: must be a number of at least 0"),
        ({"epochs": 10**400}, "epochs 1000"),
        ({"max_minutes": float("nan")}, "max_minutes nan: must be a number above 0 and at most"),
        ({"max_steps": "9" * 400}, "and at most 1,000,000,000,000"),
        ({"max_steps": "9" * 5000}, "and at most 1,000,000,000,000"),
        ({"max_steps": 10**5000}, "and at most 1,000,000,000,000"),
        (
            {"tau": "1" + "0" * 20, "truncation": "fixed"},
            "tau '100000000000000000000': must be a whole number of at least 1",
        ),
        ({"seed": 2**63}, "and at most 9,223,372,036,854,775,807"),
        ({"seed": True}, "seed True: must be a whole number of at least 0"),
        ({"seed": 3.0}, "seed 3.0: must be a whole number"),
        ({"seed": "None"}, "seed 'None': must be a whole number"),
        ({"shards": 0}, "shards 0: must be a whole number of at least 1"),
        ({"threads": 10**6}, "threads 1000000: must be a whole number of at least 1 and at most 4,096"),
        ({"hidden": [10**7 + 1]}, "widths from 1 to 10,000,000"),
        ({"hidden": [1] * 1001}, "1 to 1,000 widths"),
        ({"hidden": [True]}, "widths"),
        ({"hidden": {8: 4}}, "widths"),
        ({"hidden": 2.5}, "widths"),
        ({"recompute": 1}, "recompute 1: must be true or false"),
        ({"val_file": "a\0b"}, "without NUL"),
        ({"val_file": "\ud800"}, "lone surrogates"),
        ({"val_file": "a" * 5000}, "(5,002 characters): must be text of at most 4,096 bytes"),
        ({"test_file": b"a"}, "test_file b'a': must be text"),
        ({"activation": ["tanh"]}, "activation ['tanh']: must be text"),
        ({"optimizer": "a\nb"}, r"optimizer 'a\nb': must be one of"),
        ({"sed": 3}, "unknown setting 'sed' (did you mean seed?)"),
    ],
)
def test_wrong_values_and_combinations_are_named(values: dict[str, Any], message: str) -> None:
    assert message in complaint_about(**values)
    with pytest.raises(ConfigError):
        Settings.model_validate(values)
    with pytest.raises(ConfigError):
        Settings().replace(**values)
    with pytest.raises(ConfigError):
        resolve(None, values)


@pytest.mark.parametrize("values", [5, None, [("seed", 1)], {3: 4}])
def test_what_is_no_dictionary_of_settings_is_refused_in_one_line(values: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.model_validate(values)
    assert len(str(caught.value).splitlines()) == 1


def test_one_value_is_checked_on_its_own_and_its_place_is_named() -> None:
    assert parse("tau", "3", "--tau") == 3  # though no truncation is given that takes it
    with pytest.raises(ConfigError, match=r"^--tau '0': must be a whole number of at least 1$"):
        parse("tau", "0", "--tau")


def test_settings_cannot_be_changed_and_a_copy_is_checked() -> None:
    settings = Settings(hidden=8)
    with pytest.raises(Exception, match="frozen"):
        settings.seed = 3  # type: ignore[misc]
    assert settings.replace(seed="3", hidden="4") == Settings(hidden=4, seed=3)
    assert hash(settings) == hash(Settings(hidden=8))


def test_plain_settings_of_an_older_charrnn_get_defaults_and_those_of_a_newer_one_are_refused() -> None:
    assert Settings.from_plain({"seed": 3}) == Settings(seed=3)
    with pytest.raises(ConfigError, match="unknown settings gates, zoom; use a newer charrnn"):
        Settings.from_plain({"zoom": 1, "seed": 3, "gates": 2})
    for value in ("x", None, [1], {}):
        with pytest.raises(ConfigError, match=r"^seed .*: must be a whole number of at least 0$"):
            Settings.from_plain({"seed": value})


class Plain(Truncation):
    pass


@dataclass(frozen=True)
class WithTau(Truncation):
    tau: int


@dataclass(frozen=True)
class PerhapsTau(Truncation):
    tau: int = 4


class WithLags(Truncation):
    lags = 3


@pytest.mark.parametrize(
    ("own", "given", "words"),
    [
        (Plain, {"tau": 3}, "tau: mine truncation takes none"),
        (WithTau, {}, "tau: mine truncation needs it"),
        (WithLags, {"recompute": True}, "recompute: mine truncation needs all states"),
        (Plain, {"recompute": True}, None),
        (WithTau, {"tau": 3}, None),
        (PerhapsTau, {}, None),
        (PerhapsTau, {"tau": 3}, None),
        (WithLags, {}, None),
    ],
)
def test_a_truncation_of_ones_own_says_by_its_fields_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, own: type[Truncation], given: dict[str, Any], words: str | None
) -> None:
    monkeypatch.setitem(TRUNCATIONS, "mine", own)
    if words is None:
        assert Settings(truncation="mine", **given).truncation == "mine"
    else:
        assert words in complaint_about(truncation="mine", **given)


def test_what_is_known_of_the_truncations_before_they_are_imported_is_what_their_classes_say() -> None:
    needs = [
        name for name in ("full", "fixed", "sliding", "random") if "tau" in signature(TRUNCATIONS[name]).parameters
    ]
    assert tuple(needs) == NEED_TAU
    assert tuple(name for name in needs if TRUNCATIONS[name].lags is not Truncation.lags) == HAVE_LAGS


@pytest.mark.parametrize("hidden", [b"8", bytearray(b"8"), np.array([8, 8]), np.array([8.0]), {8}, "8,b"])
def test_widths_are_numbers_in_a_list_and_nothing_else(hidden: Any) -> None:
    assert "must be 1 to 1,000 widths" in complaint_about(hidden=hidden)
