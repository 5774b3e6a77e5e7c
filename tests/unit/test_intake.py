"""Content is wanted, forgotten or refused; a handler sees it whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rocket_sup.http.witness import Witness
from rocket_sup.intake import DISCARDED_CONTENT
from tests.unit.wirebench import CHUNKED, FIELDS, PIECES, Bench


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench with default limits."""
    bench = Bench()
    yield bench
    bench.close()


def post(target: bytes, length: int, *fields: bytes) -> bytes:
    """Write a head that announces content."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST %b HTTP/1.1%bContent-Length: %d\r\n%b\r\n" % (target, FIELDS, length, lines)


def test_a_handler_waits_for_all_of_it(bench: Bench) -> None:
    """The last byte decides."""
    connection, transport = bench.connect()
    connection.data_received(post(b"/echo", 3) + b"ab")
    assert transport.written == b""
    connection.data_received(b"c" + PIECES[0])

    assert b"\r\n\r\nabcHTTP/1.1 200 OK" in transport.written


def test_100_is_sent_once_and_only_when_nothing_has_come(bench: Bench) -> None:
    """And only when the content is wanted."""
    expectation = b"Expect: 100-continue"
    for content, informed in ((b"", 1), (b"a", 0)):
        connection, transport = bench.connect()
        connection.data_received(post(b"/echo", 2, expectation) + content)
        connection.data_received(b"ab"[len(content) :])

        assert transport.written.count(b"HTTP/1.1 100 Continue\r\n\r\n") == informed
        assert transport.written.count(b"HTTP/1.1 200 OK") == 1
    connection, transport = bench.connect()
    connection.data_received(post(b"/nowhere", 2, expectation))
    assert transport.written.startswith(b"HTTP/1.1 404 ")
    assert transport.calls == ["write_eof"]


@pytest.mark.parametrize(("length", "is_kept"), [(DISCARDED_CONTENT, True), (DISCARDED_CONTENT + 1, False)])
def test_content_nobody_wants_is_forgotten_up_to_a_bound(bench: Bench, length: int, is_kept: bool) -> None:
    """The answer says at once what will become of the connection."""
    connection, transport = bench.connect()
    connection.data_received(post(b"/nowhere", length))
    assert (b"Connection: close" not in transport.written) == is_kept
    connection.data_received(b"x" * length + PIECES[0])

    assert transport.written.endswith(b"\r\n\r\nok") == is_kept


@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("when", ["head", "end"])
def test_what_the_witness_sees_otherwise_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, framing: str, when: str
) -> None:
    """Two ends of one message are an attack or a mistake; neither reaches a handler."""
    if when == "head":
        monkeypatch.setattr(Witness, "agrees_on_head", lambda *args: False)
    monkeypatch.setattr(Witness, "agrees_on_piece", lambda *args, is_last: not is_last)
    bench = Bench()  # nothing is known of earlier requests
    try:
        head = b"POST /echo HTTP/1.1" + FIELDS + CHUNKED if framing == "chunks" else post(b"/echo", 3)
        content = b"3\r\nabc\r\n0\r\n\r\n" if framing == "chunks" else b"abc"
        for pieces in ([head + content], [head, content]):
            written = bench.answers(pieces, ends=False, turns=False)

            assert written.startswith(b"HTTP/1.1 400 ")
            assert b"two parsers" in written
    finally:
        bench.close()


def test_the_deadline_moves_with_progress_above_the_floor_only(bench: Bench) -> None:
    """It never lies further away than the rate allows."""
    connection, _ = bench.connect()
    connection.data_received(post(b"/echo", 100_000))
    first = connection.deadline
    connection.data_received(b"x")
    second = connection.deadline
    connection.data_received(b"x" * 50_000)
    third = connection.deadline

    assert second - first < 0.1
    assert third > second
    assert third - first < 1.0  # as long as `timeouts.body` without progress, counted from now
    connection.on_deadline(third)


def test_extensions_are_no_progress(bench: Bench) -> None:
    """However much content came before, and however far away the floor of its rate is."""
    connection, _ = bench.connect()
    connection.data_received(b"POST /echo HTTP/1.1" + FIELDS + CHUNKED + b"c350\r\n" + b"x" * 25_000)
    connection.data_received(b"x" * 25_000)
    deadline = connection.deadline
    connection.data_received(b"\r\n1;a")
    connection.data_received(b"a")

    assert connection.deadline == deadline
    connection.on_deadline(deadline)
