"""Reading one value: each kind, typed as in TOML and as text, right and wrong."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rocket_sup.options import GIB, MIB, Kind, Option, any_of, did_you_mean, option, plain, read, shown

PORT = Option(Kind.INTEGER, "A port.", minimum=0, maximum=65535)
SECONDS = Option(Kind.NUMBER, "A time.", "seconds", 0, 60)
SIZE = Option(Kind.BYTES, "A size.", "bytes", 0, 1024 * GIB)
WORD = Option(Kind.CHOICE, "A word.", choices=("wait", "reject"))


@pytest.mark.parametrize(
    ("described", "raw", "expected"),
    [
        (PORT, 8080, 8080),
        (PORT, "8080", 8080),
        (PORT, "65_535", 65535),
        (SECONDS, 5, 5.0),
        (SECONDS, 0.5, 0.5),
        (SECONDS, "2.5", 2.5),
        (SIZE, 1048576, MIB),
        (SIZE, "512", 512),
        (SIZE, "512K", 512 * 1024),
        (SIZE, "16 MiB", 16 * MIB),
        (SIZE, "1gb", GIB),
        (SIZE, "7B", 7),
        (WORD, "wait", "wait"),
        (Option(Kind.TEXT, ""), "x", "x"),
        (Option(Kind.BOOLEAN, ""), True, True),
        (Option(Kind.BOOLEAN, ""), "Yes", True),
        (Option(Kind.BOOLEAN, ""), "0", False),
        (Option(Kind.LIST, ""), ["a", "b"], ("a", "b")),
        (Option(Kind.LIST, ""), "a, b", ("a", "b")),
        (Option(Kind.COMMAND, ""), "python 'my worker.py'", ("python", "my worker.py")),
        (Option(Kind.COMMAND, ""), ["python", ""], ("python", "")),
        (Option(Kind.SHUTDOWN, ""), "brutal_kill", "brutal_kill"),
        (Option(Kind.SHUTDOWN, ""), "infinity", "infinity"),
        (Option(Kind.SHUTDOWN, ""), 7, 7.0),
        (Option(Kind.TABLE, ""), {"A": "1"}, {"A": "1"}),
    ],
)
def test_a_right_value_gets_its_final_type(described: Option, raw: object, expected: object) -> None:
    """TOML's types and the texts of the environment lead to the same value."""
    actual = read(described, raw)

    assert (expected, type(expected)) == (actual, type(actual))


@pytest.mark.parametrize(
    ("described", "raw", "complaint"),
    [
        (PORT, 99999, "99999 is outside the range 0 to 65535"),
        (PORT, -1, "-1 is outside the range 0 to 65535"),
        (PORT, True, "true is not an integer (0 to 65535)"),
        (PORT, "80a", '"80a" is not an integer (0 to 65535)'),
        (PORT, 1.5, "1.5 is not an integer (0 to 65535)"),
        (SECONDS, 61, "61 is outside the range 0 to 60 seconds"),
        (SECONDS, "soon", '"soon" is not a number (0 to 60 seconds)'),
        (SECONDS, float("nan"), "nan is not a number (0 to 60 seconds)"),
        (SECONDS, "inf", '"inf" is not a number (0 to 60 seconds)'),
        (SECONDS, False, "false is not a number (0 to 60 seconds)"),
        (SIZE, "1X", '"1X" is not a size such as 1048576, "512K", "16M" or "1G" (0 to 1T bytes)'),
        (SIZE, "2000T", '"2000T" is outside the range 0 to 1T bytes'),
        (WORD, "wiat", '"wiat" is not "wait" or "reject"; did you mean "wait"?'),
        (WORD, 3, '3 is not "wait" or "reject"'),
        (Option(Kind.TEXT, ""), 3, "3 is not text in quotes"),
        (Option(Kind.TEXT, ""), "a\0b", "has a NUL character in it"),
        (Option(Kind.BOOLEAN, ""), "maybe", '"maybe" is not true or false'),
        (Option(Kind.BOOLEAN, ""), 1, "1 is not true or false"),
        (Option(Kind.LIST, ""), [1], "[1] is not a list of texts"),
        (Option(Kind.LIST, ""), "a,,b", "is not a list of texts"),
        (Option(Kind.COMMAND, ""), "it's", '"it\'s" cannot be split into words: No closing quotation'),
        (Option(Kind.COMMAND, ""), [], "the command is empty"),
        (Option(Kind.COMMAND, ""), "", "the command is empty"),
        (Option(Kind.COMMAND, ""), 5, "5 is not a command such as"),
        (Option(Kind.SHUTDOWN, ""), "brutal", 'or "infinity"; did you mean "brutal_kill"?'),
        (Option(Kind.SHUTDOWN, "", "seconds", 0, 9), 10, "10 is outside the range 0 to 9 seconds"),
        (Option(Kind.SHUTDOWN, ""), [], '[] is not a number of seconds, "brutal_kill" or "infinity"'),
        (Option(Kind.TABLE, ""), "A=1", '"A=1" is not a table such as { NAME = "value" }'),
        (Option(Kind.TABLE, ""), {"A": 1}, '"A" must be a name'),
        (Option(Kind.TABLE, ""), {"A=B": "1"}, '"A=B" must be a name'),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(described: Option, raw: object, complaint: str) -> None:
    """The sentence names the value, and the range or the words that would do."""
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read(described, raw)


def test_a_long_value_is_shortened_in_an_error() -> None:
    """A page of text in the wrong place does not become a page of error."""
    assert 80 == len(shown("x" * 1000))


def test_words_are_listed_as_people_do() -> None:
    """One, two, and three words."""
    assert ('"a"', '"a" or "b"', '"a", "b" or "c"') == (
        any_of(["a"]),
        any_of(["a", "b"]),
        any_of(["a", "b", "c"]),
    )


def test_only_a_near_word_is_suggested() -> None:
    """A guess that is not near would mislead."""
    assert '; did you mean "port"?' == did_you_mean("prot", ["port", "host"])
    assert "" == did_you_mean("zebra", ["port", "host"])


@pytest.mark.parametrize(("value", "expected"), [(5.0, "5"), (0.5, "0.5"), (7, "7")])
def test_numbers_are_written_plainly(value: float, expected: str) -> None:
    """No needless fraction."""
    assert expected == plain(value)


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (PORT, "0 to 65535"),
        (WORD, '"wait" or "reject"'),
        (Option(Kind.TEXT, ""), ""),
        (Option(Kind.BYTES, "", "bytes", 64, 16 * MIB), "64 to 16M"),
        (Option(Kind.BYTES, "", "bytes", 1500, 2048), "1500 to 2K"),
    ],
)
def test_the_range_is_written_as_a_value_would_be(described: Option, expected: str) -> None:
    """What the range says can be copied into the file."""
    assert expected == described.range_text()


def test_a_mutable_default_is_made_anew_for_each_object() -> None:
    """Two children must not share one table of variables."""
    made: Any = option({}, Kind.TABLE, "A table.")  # a dataclass field, typed as its default

    assert dict is made.default_factory
