"""Server-Sent Events: read one after the other from a streamed response.

Specified in WHATWG HTML §9.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from rocket_sup.client.errors import DecodingError
from rocket_sup.client.messages import Response


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event.

    Attributes:
        data: its lines, joined by LF.
        event: its type, "message" when it has none.
        id: the last id that the stream has named; sent back as Last-Event-ID by whoever connects again.
        retry_ms: how long to wait before connecting again, where the server has just said so.
    """

    data: str
    event: str = "message"
    id: str = ""
    retry_ms: int | None = None

    def json(self) -> Any:  # Any: a JSON document has any type
        """The data as JSON. Raises: DecodingError: it is none."""
        try:
            return orjson.loads(self.data)
        except orjson.JSONDecodeError as error:
            raise DecodingError(f"the event is not JSON: {error}") from None


class EventParser:
    """Takes lines, gives events. Pure."""

    def __init__(self) -> None:
        self._data: list[str] = []
        self._event = ""
        self._id = ""
        self._retry_ms: int | None = None
        self._is_first = True

    def feed(self, line: str) -> ServerSentEvent | None:
        """Take one line, without its end; an empty one ends an event."""
        if self._is_first:
            self._is_first = False
            line = line.removeprefix("\ufeff")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._retry_ms = int(value[:12])
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        data, event, retry = self._data, self._event or "message", self._retry_ms
        self._data, self._event, self._retry_ms = [], "", None
        if not data:
            return None
        return ServerSentEvent("\n".join(data), event, self._id, retry)


async def aiter_events(response: Response) -> AsyncIterator[ServerSentEvent]:
    """Give the events of a streamed response as they come.

    Raises:
        DecodingError: it is no stream of events.
    """
    _check(response)
    parser = EventParser()
    async for line in response.aiter_lines():
        event = parser.feed(line)
        if event is not None:
            yield event


def iter_events(response: Response) -> Iterator[ServerSentEvent]:
    """The same for a thread, with a response of `Client.stream`."""
    _check(response)
    parser = EventParser()
    lines: Iterable[str] = response.iter_lines()
    for line in lines:
        event = parser.feed(line)
        if event is not None:
            yield event


def _check(response: Response) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "text/event-stream":
        found = kind or "of no type"
        raise DecodingError(f"the answer is {found}, not text/event-stream", request=response.request)
    response.encoding = "utf-8"  # whatever it says (WHATWG HTML §9.2.4)
