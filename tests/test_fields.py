"""JSON that nobody vouches for is parsed within bounds, and its values are taken for no other type than they have."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from charrnn.storage import fields


def parse(text: str) -> object:
    return fields.parse_json(text.encode(), 200_000)


@pytest.mark.parametrize(
    "value",
    [None, True, 1, -(2**127), 0.1, 5e-324, "", 'a"b\\', '["', "\\", ["[[[[" * 20], {"a": [{}, []]}, "é日\ud800"],
)
def test_what_json_writes_comes_back(value: object) -> None:
    assert parse(json.dumps(value)) == value
    assert parse(json.dumps([value], ensure_ascii=True, indent=2)) == [value]


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"\\"]":'])
def test_nesting_is_bounded_whatever_the_interpreter_would_bear(opening: str) -> None:
    for depth in (33, 1_000, 20_000):
        with pytest.raises(ValueError, match="more than 32 deep"):
            parse(opening * depth)
    assert parse("[" * 32 + "]" * 32)
    with pytest.raises(ValueError, match="32 deep"):
        parse("[" * 33 + "]" * 33)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON"),
        ("[1,]", "no JSON"),
        ("{'a': 1}", "no JSON"),
        ('"' * 99_999, "no JSON"),
        ('"\\', "no JSON"),
        ("1 2", "no JSON"),
        ("NaN", "not finite"),
        ("[-Infinity]", "not finite"),
        ("1e400", "not finite"),
        ("1" * 101, "more than 100 digits"),
        ("[" + "1" * 199_000 + "]", "more than 100 digits"),
        ("[" + "0," * 100_000 + "0]", "more than the 200000 allowed"),
    ],
)
def test_what_is_no_json_or_too_much_of_it_is_a_value_error(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_bytes_that_are_no_utf_8_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="byte 1 is not UTF-8"):
        fields.parse_json(b'"\xff"', 10)


VALUES = {"text": "a", "one": 1, "half": 0.5, "one point": 1.0, "yes": True, "none": None, "minus": -1, "list": [1]}
VALUES |= {
    "object": {"a": 1},
    "huge": 2**60,
    "beyond": 10**400,
    "nan": float("nan"),
    "inf": float("inf"),
    "most": sys.float_info.max,
}


@pytest.mark.parametrize(
    ("ask", "right"),
    [
        (fields.text, {"text"}),
        (fields.whole, {"one"}),
        (fields.number, {"one", "half", "one point", "minus", "huge", "most"}),
        (fields.mapping, {"object"}),
    ],
)
def test_each_question_takes_only_its_own_type(ask: object, right: set[str]) -> None:
    assert callable(ask)
    for name, value in VALUES.items():
        if name in right:
            assert ask(VALUES, name) == value
        else:
            with pytest.raises(ValueError, match=f"^{name} is ") as caught:
                ask(VALUES, name)
            assert len(str(caught.value)) < 250
    with pytest.raises(ValueError, match="missing"):
        ask(VALUES, "other")


def test_numbers_have_bounds() -> None:
    assert fields.whole({"n": 3}, "n", 3, 3) == 3
    assert fields.number({"n": 3}, "n", 3) == 3
    for value in (2, 4):
        with pytest.raises(ValueError, match=f"n is {value}; it must be a whole number from 3 to 3"):
            fields.whole({"n": value}, "n", 3, 3)
    with pytest.raises(ValueError, match="at least 3"):
        fields.number({"n": 2.5}, "n", 3)


def test_fields_are_read_without_numpy() -> None:
    program = "import sys, charrnn.storage.fields, charrnn.storage.durable; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
