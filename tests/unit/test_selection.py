"""What of a representation answers a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.headers import Headers
from rocket_sup.http.ranges import Span
from rocket_sup.http.selection import Representation, ask_of, select
from rocket_sup.http.validators import Validators

THERE = Representation(1000, "a/b", Validators('"v"', 784111777))


def status(method: str = "GET", **fields: str) -> int:
    """The outcome for some fields."""
    headers = Headers({name.replace("_", "-"): value for name, value in fields.items()})
    return select(ask_of(method, headers), THERE, lambda: "X").status


@pytest.mark.parametrize(
    ("expected", "fields"),
    [
        (200, {}),
        (206, {"range": "bytes=0-0"}),
        (416, {"range": "bytes=1000-"}),
        (304, {"if_none_match": '"v"', "range": "bytes=0-0"}),
        (412, {"if_match": '"w"', "range": "bytes=1000-"}),
        (206, {"if_match": '"v"', "range": "bytes=0-0"}),
        (206, {"if_range": '"v"', "range": "bytes=0-0"}),
        (200, {"if_range": '"w"', "range": "bytes=1000-"}),
    ],
)
def test_rfc9110_13_2_2_conditions_come_before_ranges(expected: int, fields: dict[str, str]) -> None:
    """And If-Range between them."""
    assert expected == status(**fields)


def test_rfc9110_14_2_only_get_has_ranges() -> None:
    """HEAD is answered as if for the whole."""
    assert 200 == status("HEAD", range="bytes=0-0")


def test_rfc9110_13_1_3_a_date_that_stands_twice_is_none() -> None:
    """While the lines of a list are one list."""
    date = ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")
    tags = [("If-None-Match", '"u"'), ("If-None-Match", '"v"')]

    assert 200 == select(ask_of("GET", Headers([date, date])), THERE, str).status
    assert 304 == select(ask_of("GET", Headers(tags)), THERE, str).status


def test_the_whole_of_nothing_has_no_parts() -> None:
    """And of something one."""
    empty = Representation(0, "a/b", Validators())

    assert () == select(ask_of("GET", Headers()), empty, str).parts
    assert (Span(0, 1000),) == select(ask_of("GET", Headers()), THERE, str).parts


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), min_size=1, max_size=20))
def test_the_length_is_that_of_all_parts(pairs: list[tuple[int, int]]) -> None:
    """So that the content can be announced before any of it is read."""
    field = ",".join(f"{min(pair)}-{max(pair)}" for pair in pairs)
    selection = select(ask_of("GET", Headers({"Range": f"bytes={field}"})), THERE, lambda: "X")
    content = bytes(range(250)) * 4
    sent = b"".join(
        part if isinstance(part, bytes) else content[part.offset : part.end] for part in selection.parts
    )

    assert (206, len(sent)) == (selection.status, selection.length)
    assert ("multipart" in selection.media_type) is (not selection.content_range)
