"""Server-Sent Events, by the examples of the standard (WHATWG HTML §9.2.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from rocket_sup.client.errors import DecodingError
from rocket_sup.client.events import EventParser, ServerSentEvent, aiter_events, iter_events
from rocket_sup.client.messages import Response

KIND = {"Content-Type": "text/event-stream; charset=latin-1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: YHOO\ndata: +2\ndata: 10\n\n", [ServerSentEvent("YHOO\n+2\n10")]),
        (": comment\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
         [ServerSentEvent("first", id="1"), ServerSentEvent("second"), ServerSentEvent(" third")]),
        ("data\n\ndata\ndata\n\ndata:", [ServerSentEvent(""), ServerSentEvent("\n")]),
        ("data:test\n\ndata: test\n\n", [ServerSentEvent("test"), ServerSentEvent("test")]),
        ("event: add\ndata: 73\n\nevent: only\n\ndata: x\n\n",
         [ServerSentEvent("73", "add"), ServerSentEvent("x")]),
        ("\ufeffdata: ü\nretry: 250\nretry: soon\nid: a\0b\nunknown: x\n\n",
         [ServerSentEvent("ü", retry_ms=250)]),
        ("id: 7\n\ndata: x\n\ndata: y\n\n", [ServerSentEvent("x", id="7"), ServerSentEvent("y", id="7")]),
    ],
)  # fmt: skip
def test_events(text: str, expected: list[ServerSentEvent]) -> None:
    """From a stream, in any cut, and from what is there."""

    async def cut() -> AsyncIterator[bytes]:
        for byte in text.encode():
            yield bytes([byte])

    async def collect() -> list[ServerSentEvent]:
        return [event async for event in aiter_events(Response(200, KIND, stream=cut()))]

    parser = EventParser()
    assert expected == [event for line in text.split("\n")[:-1] if (event := parser.feed(line))]
    assert expected == asyncio.run(collect())
    assert expected == list(iter_events(Response(200, KIND, text.encode())))


def test_what_is_no_stream_of_events() -> None:
    """A page of an error is none."""
    with pytest.raises(DecodingError, match="text/html"):
        list(iter_events(Response(200, {"Content-Type": "text/html"})))
    assert [1] == ServerSentEvent("[1]").json()
    with pytest.raises(DecodingError):
        ServerSentEvent("{").json()
