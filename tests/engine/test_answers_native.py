"""Native answers, dates and counters are those of the portable engine."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rocket_sup.http import semantics
from rocket_sup.http.semantics import CLOSE, PERSIST, PERSIST_1_0, Heads, http_date, serialise
from rocket_sup.response import ENCODERS
from rocket_sup.service import Statistics

native = pytest.importorskip(
    "rocket_sup.engine._native", reason="the native module is not built (cargo build --release -p rocket-py)"
)

CONNECTIONS = (PERSIST, PERSIST_1_0, CLOSE)
DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


@given(st.integers(0, 253402300799))
def test_dates_are_the_same(unix_s: int) -> None:
    """In every second up to the year 9999."""
    assert http_date(unix_s).encode() == native.http_date(unix_s)


@pytest.mark.parametrize("is_head", [False, True])
def test_every_status_has_the_same_answer(is_head: bool) -> None:
    """With its reason, or without one."""
    for status in range(200, 1000):
        expected = serialise(status, DATE, b"", b"ok", connection=PERSIST, is_head=is_head, length=2)
        assert expected == native.answer(status, DATE, b"", b"ok", 0, is_head, 2)


@settings(max_examples=50)
@given(
    status=st.integers(200, 999),
    date_line=st.sampled_from([b"", DATE]),
    fields=st.sampled_from([b"", b"A: b\r\n", b"A: b\r\nSet-Cookie: c\r\n"]),
    body=st.binary(max_size=300),
    connection=st.integers(0, 2),
    is_head=st.booleans(),
    length=st.integers(0, 1 << 63),
)
def test_answers_are_the_same(
    status: int, date_line: bytes, fields: bytes, body: bytes, connection: int, is_head: bool, length: int
) -> None:
    """Field by field, whatever they say about the connection."""
    expected = serialise(
        status, date_line, fields, body, connection=CONNECTIONS[connection], is_head=is_head, length=length
    )

    assert expected == native.answer(status, date_line, fields, body, connection, is_head, length)


@settings(max_examples=50)
@given(st.binary(max_size=5000))
def test_the_short_way_is_the_same(body: bytes) -> None:
    """A 200 for what a handler returned."""
    heads = Heads(ENCODERS)
    heads.refresh(0.0, 784111777.0)

    assert heads.persistent_answer(bytes, body) == native.plain_answer(
        heads.date_line, semantics.BINARY, body
    )


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(100, 999), st.floats(0, 1e9) | st.floats(0, 1e-3)), max_size=50))
def test_counters_are_the_same(answers: list[tuple[int, float]]) -> None:
    """Requests, classes of statuses, and the histogram of durations."""
    portable = Statistics()
    for status, duration_s in answers:
        portable.count(status, duration_s)

    assert (portable.requests, portable.statuses, portable.latency) == native.count_answers(answers)
