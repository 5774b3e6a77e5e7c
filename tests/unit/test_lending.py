"""A connection that lends itself: the same answers however the bytes are cut, and deadlines for whoever
keeps the exchange waiting. The promises of a conduit are tested in tests/conformance.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rocket_sup.lending import READ_AHEAD
from rocket_sup.phases import CLOSED, CONTENT, IDLE, LENT, LINGER
from rocket_sup.router import Handler, Route, Router
from tests.unit.wirebench import FIELDS, LENT_PIECES, Bench, Watched


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """A bench with default limits."""
    bench = Bench()
    yield bench
    bench.close()


sessions = st.builds(
    lambda pieces, last: b"".join(pieces) + last,
    st.lists(st.sampled_from(LENT_PIECES[:7]), min_size=1, max_size=6),
    st.sampled_from([b"", *LENT_PIECES[7:]]),
)


@settings(deadline=None)
@given(sessions, st.lists(st.integers(0, 600), max_size=8), st.booleans(), st.booleans())
@example(b"".join(LENT_PIECES[:8]), list(range(600)), True, True)
@example(b"".join(LENT_PIECES[:7] + LENT_PIECES[8:]), list(range(700)), False, True)
def test_any_way_of_cutting_the_bytes_gives_the_same_answers(
    bench: Bench, session: bytes, cuts: list[int], ends: bool, turns: bool
) -> None:
    """Content in both framings, read and unread, answers in pieces, broken content, the client's end."""
    positions = [0, *sorted({min(cut, len(session)) for cut in cuts} | {len(session)})]
    pieces = [session[a:b] for a, b in pairwise(positions) if a < b]
    whole = bench.answers([session], ends=ends, turns=True)

    assert bench.answers(pieces, ends=ends, turns=turns) == whole
    assert bench.service.statistics.in_flight == 0


def test_the_sessions_take_every_step(bench: Bench) -> None:
    """From lending to whatever may follow."""
    test_any_way_of_cutting_the_bytes_gives_the_same_answers(bench)
    for path in (b"/unread", b"/lent"):
        connection, _ = bench.connect()
        connection.data_received(b"POST %b HTTP/1.1" % path + FIELDS + b"Content-Length: 5\r\n\r\na")
        bench.turn()
        connection.connection_lost(None)

    assert {step[1] for step in Watched.steps if step[0] is LENT} >= {IDLE, CONTENT, LINGER, CLOSED}


BEGUN = b"POST /lent HTTP/1.1" + FIELDS + b"Content-Length: 50\r\n\r\n"


def taken(bench: Bench, data: bytes = BEGUN) -> Any:
    """A connection that is lent, its transport, and whoever has it."""
    connection, transport = bench.connect()
    connection.data_received(data)
    bench.turn()
    assert connection._phase is LENT
    assert connection._loan is not None
    return connection, transport, connection._loan.receiver


def test_what_is_sent_early_is_held_and_then_paused(bench: Bench) -> None:
    """Requests behind the content wait, bounded."""
    connection, transport, _ = taken(bench, LENT_PIECES[1][:-1])
    connection.data_received(b"e" + b"x" * READ_AHEAD)

    assert transport.calls == ["pause_reading"]
    assert connection.held_bytes()[0] == READ_AHEAD


@pytest.mark.parametrize("blocked", [False, True])
def test_the_deadline_is_that_of_whoever_keeps_it_waiting(bench: Bench, blocked: bool) -> None:
    """Content that is wanted; but a client that has to read first cannot be told to send."""
    connection, transport, reader = taken(bench)
    timeouts = bench.service.timeouts
    content = connection.deadline
    if blocked:
        transport.unsent = 100
        connection.pause_writing()
        assert connection.deadline >= content
        assert transport.calls == []  # it is read on: whoever has it decides
        transport.unsent = 50
        connection.on_deadline(connection.deadline)
        assert reader.told == []
        transport.unsent = 0
        connection.resume_writing()
        bench.turn()
        assert reader.told == ["room"]
    connection._loan.pause_reading()
    assert connection.deadline == float("inf")
    connection._loan.resume_reading()
    assert connection.deadline - content <= timeouts.body
    connection.on_deadline(connection.deadline)

    assert reader.told[-1] == 408
    bench.turn()
    assert transport.calls == ["write_eof"]


def test_time_in_which_nothing_is_wanted_does_not_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But a client cannot win time by it."""
    connection, _, _ = taken(bench)
    loan = connection._loan
    now = [loan.content_since]
    monkeypatch.setattr("rocket_sup.lending._monotonic", lambda: now[0])
    timeouts = bench.service.timeouts
    for _ in range(5):
        now[0] += 10.0
        loan.pause_reading()
        now[0] += 100.0
        loan.resume_reading()
        connection.data_received(b"x")

    assert loan.content_since == pytest.approx(now[0] - 50.0)
    assert connection.deadline == pytest.approx(
        now[0] - 50.0 + timeouts.body + loan.incoming.received / timeouts.body_min_rate
    )
    connection.abort()
    connection.connection_lost(None)


def test_whoever_fails_when_told_costs_nobody_else(bench: Bench) -> None:
    """The connection is counted out, and what runs is cancelled."""
    connection, _, reader = taken(bench)

    def fail(error: Exception | None) -> None:
        raise KeyError("why")

    reader.on_gone = fail
    connection.abort()
    connection.connection_lost(None)
    bench.turn()

    assert connection not in bench.service.connections
    assert bench.service.statistics.in_flight == 0


def test_a_wrong_signature_is_the_application_s_fault() -> None:
    """500, as of any handler."""

    async def no_conduit(request: object) -> str:
        return "never"

    bench = Bench()
    router = Router()
    router.sole_route = Route("*", "", cast(Handler, no_conduit), takes_conduit=True)
    router.freeze()
    bench.service.router, bench.service.find = router, router.find
    answer = bench.answers([LENT_PIECES[1] + LENT_PIECES[0]], ends=False, turns=True)

    assert answer.count(b"HTTP/1.1 500 ") == 2
    bench.close()
