"""Settings in YAML: what is read, what is refused with its line, and what is written comes back."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from charrnn.errors import ConfigError
from charrnn.training.settings import FIELDS, Settings, resolve
from charrnn.training.settings_file import read


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "c.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text, words",
    [
        ("sed: 1\n", ["line 1", "'sed'", "did you mean seed"]),
        ("\nseq-length: 4\n", ["line 2", "seq_length"]),
        ("quux: 1\n", ["line 1", "'quux'", "config.yaml"]),
        ('"a\\nb": 1\n', ["line 1", r"'a\nb'"]),
        ("optimizer: adan\n", ["line 1: optimizer 'adan': must be one of sgd,", "did you mean adam"]),
        ("seed: 1\nseed: 2\n", ["line 2", "'seed' a second time (first in line 1)"]),
        ("seed: x\n", ["line 1: seed 'x': must be a whole number of at least 0"]),
        ("seed: 1.5\n", ["seed '1.5': must be a whole number"]),
        ("seed: -1\n", ["seed '-1': must be a whole number of at least 0"]),
        ("seed: [1]\n", ["seed ['1']: must be a whole number"]),
        ("seed:\n", ["line 1: seed has no value"]),
        ("cut: ~\n", ["line 1: cut has no value"]),
        ("tau: 'null'\n", ["tau 'null': must be a whole number of at least 1"]),
        ("recompute: yes\n", ["recompute 'yes': must be true or false"]),
        ("learning_rate: 1e400\n", ["learning_rate '1e400': must be a number above 0 and at most 1,000,000,000,000"]),
        ("learning_rate: nan\n", ["learning_rate 'nan'"]),
        ("hidden: [1, 0]\n", ["hidden ['1', '0']: must be 1 to 1,000 widths from 1 to 10,000,000"]),
        ("hidden: []\n", ["hidden", "widths"]),
        ("hidden: [[1]]\n", ["line 1", "nested"]),
        ("hidden:\n  - 3\n  - - 4\n", ["line 3", "nested"]),
        ("val_file: [a]\n", ["val_file ['a']: must be text"]),
        ("a: &a 3\nb: *a\n", ["line 2", "alias"]),
        ("a: &a 3\n*a : 2\n", ["line 2", "alias"]),
        ("seed: *a\n", ["line 1", "alias"]),
        ("\nseed: !!int 3\n", ["line 2", "tag"]),
        ("val_file: !!str null\n", ["line 1", "tag"]),
        ("!!map {seed: 3}\n", ["line 1", "tag"]),
        ("--- \nseed: 1\n---\nseed: 2\n", ["second document"]),
        ("- 1\n", ["line 1", "without a key"]),
        ("seed\n", ["line 1", "without a key"]),
        ("seed: {a: 1}\n", ["line 1", "nested"]),
        ("<<: {seed: 1}\n", ["line 1", "nested"]),
        ("? [a]\n: 1\n", ["line 1"]),
        ("seed: 'x\n", ["line 2"]),
        ("seed: 1\n\ttau: 3\n", ["line 2"]),
        ("seed: 1\x01\n", ["character 7"]),
        (b"seed: \xff\n", ["byte 6"]),
        ("[" * 50_000, ["line 1"]),
        ("{" * 50_000, ["line 1"]),
        ("? " * 40_000, ["line 1"]),
        ("seed: " + "[" * 50_000, ["line 1"]),
        ("#" * 200_000, ["longer"]),
        ("val_frac: 0.5\ntest_frac: 0.5\n", []),
    ],
)
def test_a_wrong_file_is_one_line_that_names_file_line_and_key(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        resolve(path, {})
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message
    assert str(path) in message or not words  # what does not go together may stand in several places


@pytest.mark.parametrize(
    "text, value",
    [
        ("val_file: no\n", "no"),
        ("val_file: 1e3\n", "1e3"),
        ("val_file: 'null'\n", "null"),
        ('val_file: "~"\n', "~"),
        ("val_file: ''\n", ""),
        ("val_file: null\n", None),
        ("val_file: ~\n", None),
        ("val_file:\n", None),
        ("val_file: &anchor x\n", "x"),
        ("\ufeffval_file: x\r\n", "x"),
        ("{val_file: x, seed: 2}\n", "x"),
        ("%YAML 1.1\n---\nval_file: x\n...\n", "x"),
        ("", None),
        ("# val_file: 3\n", None),
        ("---\n", None),
    ],
)
def test_a_scalar_means_what_its_key_says(tmp_path: Path, text: str, value: str | None) -> None:
    assert resolve(written(tmp_path, text), {})[0].val_file == value


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", ".001", "'1e-3'", "+1e-3"])
def test_a_number_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    assert resolve(written(tmp_path, f"learning_rate: {text}\nhidden: 8,4\n"), {})[0].learning_rate == 1e-3


def test_a_file_that_is_missing_or_cannot_be_named_is_one_line(tmp_path: Path) -> None:
    for name in ("nowhere.yaml", "no\nwhere", "a\0b", ""):
        with pytest.raises(ConfigError) as caught:
            resolve(tmp_path / name, {})
        assert "cannot be read" in str(caught.value) and not {"\n", "\0"} & set(str(caught.value))


ODD = [
    *("null", "true", "~", "1e3", "no", "", " ", " a ", "\t", "a\n", "\n\n", "a\rb\r\n", "'", '"', "\\", "'\"\\n"),
    *("#", "a #b", "a: b", "- a", "[a]", "{a}", "&a", "*a", "!a", "%a", "|", ">", "@", "`", "---", "..."),
    *("\x01\x1b\x7f", "\x80\x9f", "\x85\u2028\u2029", "\ufeff", "\xa0", "\u202ea", "\ufffe\uffff", "\U000e0001"),
    *("🙂", "🏳\ufe0f\u200d🌈", "e\u0301", "κόσμος", os.fsdecode(b"caf\xe9/\xff\xfe"), "\udcc3\udca9"),
]
LONG = ["a" * 4096, "\udcff" * 4096, "\U000e0001" * 1024]


def odd_names() -> Iterator[str]:
    yield from ODD + LONG
    rng = random.Random(7)
    pieces = ODD + [chr(code) for code in range(1, 0x250)] + ["𝄞", "\ud7ff", "\ue000", "\U0010ffff"]
    for _ in range(400):
        yield "".join(rng.choices(pieces, k=rng.randrange(1, 12)))


def test_settings_with_any_names_survive_yaml_and_json(tmp_path: Path) -> None:
    names = list(odd_names())
    for val_file, test_file, encoding in zip(names, names[1:] + names[:1], names[5:] + names[:5], strict=True):
        settings = Settings(val_file=val_file, test_file=test_file, encoding=encoding)
        assert (settings.val_file, settings.test_file, settings.encoding) == (val_file, test_file, encoding)
        text = settings.as_yaml()
        assert text.count("\n") == len(FIELDS) + 1
        assert resolve(written(tmp_path, text), {})[0] == settings
        assert Settings.from_plain(json.loads(json.dumps(settings.plain()))) == settings


def test_the_longest_settings_fit_into_a_file(tmp_path: Path) -> None:
    longest = "\udcff" * 4096
    settings = Settings(val_file=longest, test_file=longest, encoding=longest, hidden=[10**7] * 1000)
    assert resolve(written(tmp_path, settings.as_yaml()), {})[0] == settings


def test_other_readers_of_yaml_see_the_same_names() -> None:
    for name in odd_names():
        if not any("\ud800" <= character <= "\udfff" for character in name):
            assert yaml.safe_load(Settings(val_file=name).as_yaml())["val_file"] == name


def test_settings_with_any_numbers_survive_yaml_and_json(tmp_path: Path) -> None:
    rng = random.Random(3)
    for _ in range(50):
        settings = Settings(
            hidden=[rng.randint(1, 10**7) for _ in range(rng.randint(1, 4))],
            learning_rate=10 ** rng.uniform(-300, 12),
            epochs=rng.choice([None, rng.uniform(1e-9, 1e12)]),
            seed=rng.randrange(2**63),
            recompute=rng.random() < 0.5,
            max_steps=rng.choice([None, rng.randint(1, 10**12)]),
        )
        assert resolve(written(tmp_path, settings.as_yaml()), {})[0] == settings
        assert Settings.from_plain(json.loads(json.dumps(settings.plain()))) == settings


def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    rng = random.Random(11)
    whole = Settings(val_file="a b", tau=3, truncation="fixed", hidden=(8, 4)).as_yaml()
    refused = 0
    for _ in range(600):
        text = list(whole)
        for _ in range(rng.randint(1, 4)):
            text[rng.randrange(len(text))] = rng.choice("[]{}:,#&*!|>'\"%@`-? \n\t\\0a\x01\x85é")
        path = written(tmp_path, "".join(text))
        try:
            resolve(path, {})
        except ConfigError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1
    assert 300 < refused < 600


def test_the_reader_gives_each_entry_its_line(tmp_path: Path) -> None:
    entries = read(written(tmp_path, "a: 1\n\n# c\nb:\n  - 2\n  - x\n'c': \n"))
    assert [(entry.key, entry.value, entry.line) for entry in entries] == [
        ("a", "1", 1),
        ("b", ["2", "x"], 4),
        ("c", None, 7),
    ]
