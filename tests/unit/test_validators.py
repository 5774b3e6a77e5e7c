"""Conditional requests: comparison, dates, and the order in which conditions are judged."""

from __future__ import annotations

import calendar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.semantics import http_date
from rocket_sup.http.validators import (
    Conditions,
    Outcome,
    Validators,
    entity_tags,
    equal_strongly,
    equal_weakly,
    evaluate,
    joined,
    parse_date,
    range_applies,
    single,
)

NOW = Validators('"a"', 784111777)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.mark.parametrize(
    ("one", "other", "strong", "weak"),
    [
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
    ],
)
def test_rfc9110_8_8_3_2_comparison(one: str, other: str, strong: bool, weak: bool) -> None:
    """The table of the specification."""
    assert (strong, weak) == (equal_strongly(one, other), equal_weakly(one, other))


@pytest.mark.parametrize("text", [DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])
def test_rfc9110_5_6_7_three_formats(text: str) -> None:
    """The three examples of the specification are one moment."""
    assert 784111777 == parse_date(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "784111777", DATE.lower(), DATE.replace("GMT", "UTC"), f" {DATE}", f"{DATE}\n"),
        *(DATE.replace("06", "31"), DATE.replace("06", "00"), DATE.replace("08:", "24:")),
        *(DATE.replace("49:37", "60:37"), DATE.replace(":37", ":61"), DATE.replace("1994", "0000")),
        *(DATE.replace("1994", "\u0661\u0669\u0669\u0664"), "Wed, 30 Feb 1994 00:00:00 GMT"),
    ],
)
def test_what_is_no_date_is_none(text: str) -> None:
    """Also digits of other scripts, and days that no month has."""
    assert parse_date(text) is None


def test_years_of_two_digits_turn_at_seventy() -> None:
    """1970 to 2069."""
    assert 0 == parse_date("Thursday, 01-Jan-70 00:00:00 GMT")
    assert calendar.timegm((2069, 12, 31, 0, 0, 0)) == parse_date("Tuesday, 31-Dec-69 00:00:00 GMT")


@given(st.integers(0, 253402300799))
def test_a_date_that_we_write_is_read_back(moment: int) -> None:
    """Any second up to the year 9999."""
    assert moment == parse_date(http_date(moment))


@given(st.text())
def test_any_text_is_a_date_or_none(text: str) -> None:
    """Nothing a client sends raises."""
    parse_date(text)


@pytest.mark.parametrize(
    ("field", "tags"),
    [
        ('"a"', ['"a"']),
        ('"a", W/"b" ,"c"', ['"a"', 'W/"b"', '"c"']),
        (', ,"a",, "b",', ['"a"', '"b"']),
        ('""', ['""']),
        ('"a, b"', ['"a, b"'][:0]),
        ('"a" "b"', []),
        ('"a", b, "c"', ['"a"']),
        ('w/"a"', []),
        ("", []),
    ],
)
def test_rfc9110_8_8_3_lists_of_entity_tags(field: str, tags: list[str]) -> None:
    """What follows a malformed one is not read; `W` is case-sensitive, and a blank is in no tag."""
    assert tags == entity_tags(field)


tags = st.builds(
    lambda weak, text: f'{weak}"{text}"',
    st.sampled_from(["", "W/"]),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"')),
)


@given(st.lists(tags))
def test_a_list_of_tags_is_cut_at_its_commas(listed: list[str]) -> None:
    """Commas inside a tag are part of it."""
    assert listed == entity_tags(", ".join(listed))


@pytest.mark.parametrize(
    ("conditions", "is_read", "outcome"),
    [
        ({}, True, "PROCEED"),
        ({"if_match": '"a"'}, True, "PROCEED"),
        ({"if_match": "*"}, False, "PROCEED"),
        ({"if_match": 'W/"a"'}, True, "FAILED"),
        ({"if_match": '"b", "a"'}, True, "PROCEED"),
        # If-Unmodified-Since counts only without If-Match
        ({"if_match": '"a"', "if_unmodified_since": BEFORE}, True, "PROCEED"),
        ({"if_match": '"b"', "if_unmodified_since": AFTER}, True, "FAILED"),
        ({"if_unmodified_since": DATE}, False, "PROCEED"),
        ({"if_unmodified_since": BEFORE}, False, "FAILED"),
        ({"if_unmodified_since": "soon"}, False, "PROCEED"),
        # then If-None-Match
        ({"if_none_match": 'W/"a"'}, True, "NOT_MODIFIED"),
        ({"if_none_match": '"a"'}, False, "FAILED"),
        ({"if_none_match": "*"}, True, "NOT_MODIFIED"),
        ({"if_none_match": '"b"'}, True, "PROCEED"),
        ({"if_match": '"a"', "if_none_match": '"a"'}, True, "NOT_MODIFIED"),
        ({"if_match": '"b"', "if_none_match": '"a"'}, True, "FAILED"),
        # If-Modified-Since counts only without If-None-Match, and for reading
        ({"if_none_match": '"b"', "if_modified_since": DATE}, True, "PROCEED"),
        ({"if_modified_since": DATE}, True, "NOT_MODIFIED"),
        ({"if_modified_since": AFTER}, True, "NOT_MODIFIED"),
        ({"if_modified_since": BEFORE}, True, "PROCEED"),
        ({"if_modified_since": DATE}, False, "PROCEED"),
        ({"if_modified_since": "soon"}, True, "PROCEED"),
    ],
)
def test_rfc9110_13_2_2_precedence(conditions: dict[str, str], is_read: bool, outcome: str) -> None:
    """One outcome for any combination."""
    assert Outcome[outcome] is evaluate(Conditions(**conditions), NOW, is_read=is_read)


def test_what_is_not_there_yet_matches_nothing() -> None:
    """`If-None-Match: *` lets a resource be made once."""
    assert Outcome.FAILED is evaluate(Conditions(if_match="*"), None, is_read=False)
    assert Outcome.PROCEED is evaluate(Conditions(if_none_match="*"), None, is_read=False)
    assert Outcome.PROCEED is evaluate(Conditions(if_unmodified_since=DATE), None, is_read=False)


def test_without_a_date_no_date_decides() -> None:
    """Nor does an entity tag when there is none."""
    undated = Validators()

    assert Outcome.PROCEED is evaluate(Conditions(if_modified_since=DATE), undated, is_read=True)
    assert Outcome.PROCEED is evaluate(Conditions(if_none_match='""'), undated, is_read=True)


@pytest.mark.parametrize(
    ("field", "applies"),
    [
        (None, True),
        ('"a"', True),
        ('"b"', False),
        ('W/"a"', False),
        (DATE, True),
        (AFTER, False),
        (BEFORE, False),
        ("x", False),
    ],
)
def test_rfc9110_13_1_5_if_range(field: str | None, applies: bool) -> None:
    """Strong comparison, or exactly the date."""
    assert applies is range_applies(field, NOW)


def test_a_weak_validator_never_allows_a_part() -> None:
    """Not even its own."""
    assert not range_applies('W/"a"', Validators('W/"a"'))


def test_lines_of_a_field() -> None:
    """Lists are joined; what may stand once is none when it stands twice."""
    assert (None, "a, b") == (joined([]), joined(["a", "b"]))
    assert (None, "a", None) == (single([]), single(["a"]), single(["a", "b"]))
