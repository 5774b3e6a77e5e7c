"""Query strings: what is read, what is refused, and the way back."""

from __future__ import annotations

import time
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.query import format_query, parse_query

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", ()),
        ("a=1", (("a", "1"),)),
        ("a=1&a=2&b=", (("a", "1"), ("a", "2"), ("b", ""))),
        ("a", (("a", ""),)),
        ("=1", (("", "1"),)),
        ("=", (("", ""),)),
        ("&&a=1&", (("a", "1"),)),
        ("a=b=c", (("a", "b=c"),)),
        ("a=1;b=2", (("a", "1;b=2"),)),
        ("a+b=c+d", (("a b", "c d"),)),
        ("a%2Bb=%26%3D", (("a+b", "&="),)),
        ("q=caf%C3%A9", (("q", "café"),)),
        ("q=%2520", (("q", "%20"),)),
        ("q=%00", (("q", "\0"),)),
    ],
)
def test_pairs(text: str, pairs: tuple[tuple[str, str], ...]) -> None:
    """Cut at `&` and the first `=`, then decoded once."""
    assert pairs == parse_query(text).pairs()


@pytest.mark.parametrize(
    "text",
    ["a=%", "a=%4", "%zz=1", "a=100%", "a=%FF", "a=%C3", "a=%C3&b=%A9", "a=%C0%AF", "a=%ED%A0%80", "a=%+1"],
)
def test_what_is_not_text_is_the_senders_fault(text: str) -> None:
    """Malformed escapes, invalid and overlong UTF-8 are answered with 400."""
    with pytest.raises(RemoteProtocolError) as refused:
        parse_query(text)

    assert refused.value.status == 400


@given(st.lists(st.tuples(TEXT, TEXT)))
def test_formatted_pairs_come_back(pairs: list[tuple[str, str]]) -> None:
    """Writing and reading are inverse for any text, and what is written is plain ASCII."""
    written = format_query(pairs)

    assert tuple(pairs) == parse_query(written).pairs()
    assert written.isascii()
    assert not set(written) & set(" \"'<>#?/\\;\r\n")


@given(st.text(st.sampled_from("ab=&+;%2C3A9"), max_size=20))
def test_readable_queries_are_read_as_the_standard_library_does(text: str) -> None:
    """Where the strict reader accepts, a lenient one agrees."""
    try:
        pairs = parse_query(text).pairs()
    except RemoteProtocolError:
        return

    assert parse_qsl(text, keep_blank_values=True) == list(pairs)


def test_the_number_of_fields_is_bounded() -> None:
    """One more than allowed is refused; empty ones do not count."""
    assert len(parse_query("a&b&c", max_fields=3)) == 3
    assert len(parse_query("&&&a&b&c&&&", max_fields=3)) == 3
    with pytest.raises(RemoteProtocolError, match="more than 3 fields") as refused:
        parse_query("a&b&c&d", max_fields=3)
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["&" * 1_000_000, "a&" * 500_000, "a=" + "%41" * 300_000, "+" * 1_000_000])
def test_a_megabyte_is_answered_quickly(text: str) -> None:
    """The cost is linear in the text, whatever is in it."""
    started = time.perf_counter()
    try:
        parse_query(text)
    except RemoteProtocolError:
        pass
    elapsed_s = time.perf_counter() - started

    assert elapsed_s < 1.0  # measured: 5 to 60 ms
