"""A service with its loop, and connections whose transport keeps what is written: the wire as a machine.

The steps of every connection made here are checked against the table of phases as they are taken. Real
sockets are the business of tests/conformance.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

from rocket_sup.conduit import Conduit
from rocket_sup.config import Config, LimitsConfig
from rocket_sup.connection import Connection
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.log import EventLog
from rocket_sup.phases import PHASES, Phase
from rocket_sup.request import Request
from rocket_sup.router import Handler, Route, Router
from rocket_sup.service import Service, Statistics


class Transport:
    """Takes everything, and says what was done."""

    def __init__(self) -> None:
        self.written = b""
        self.unsent = 0
        self.calls: list[str] = []
        self.is_closed = False

    def set_write_buffer_limits(self, high: int) -> None:
        """Accept them."""

    def get_extra_info(self, name: str) -> object:
        """A client without a socket."""
        return ("192.0.2.1", 4711) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        """What the client has not taken."""
        return self.unsent

    def write(self, data: bytes) -> None:
        """Keep it."""
        assert not self.is_closed
        assert "write_eof" not in self.calls
        self.written += data

    def write_eof(self) -> None:
        """Note it."""
        self.calls.append("write_eof")

    def close(self) -> None:
        """Note it."""
        self.is_closed = True
        self.calls.append("close")

    abort = close

    def pause_reading(self) -> None:
        """Note it."""
        assert "pause_reading" not in self.calls
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        """Take the note away."""
        self.calls.remove("pause_reading")

    def is_closing(self) -> bool:
        """Say whether it was closed."""
        return self.is_closed


class Watched(Connection):
    """A connection whose steps are checked against the table."""

    steps: ClassVar[set[tuple[Phase, Phase]]] = set()

    @property
    def _phase(self) -> Phase:
        return self.__dict__["phase"]  # type: ignore[no-any-return]

    @_phase.setter
    def _phase(self, phase: Phase) -> None:
        before = self.__dict__.get("phase")
        self.__dict__["phase"] = phase
        if before is not None and before is not phase:
            Watched.steps.add((before, phase))
            assert phase in PHASES[before], f"{before.name} -> {phase.name}"


class Reader:
    """Reads content on a conduit, and knows nothing else."""

    def __init__(self, conduit: Conduit) -> None:
        self.content = b""
        self.told: list[object] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        conduit.attach(self)

    def on_content(self, data: bytes) -> None:
        """Keep it."""
        self.content += data

    def on_content_end(self, trailers: bytes) -> None:
        """That was all."""
        self._end(trailers)

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """There will be no more."""
        self._end(error.status)

    def on_room(self) -> None:
        """Note it."""
        self.told.append("room")

    def on_left(self) -> None:
        """Note it."""
        self.told.append("left")

    def on_gone(self, error: Exception | None) -> None:
        """There will be no more."""
        self._end("gone")

    def _end(self, how: object) -> None:
        self.told.append(how)
        if not self.done.done():
            self.done.set_result(None)


async def lent(request: Request, conduit: Conduit) -> object:
    """Take the conduit: read all content, and answer with it."""
    reader = Reader(conduit)
    conduit.resume_reading()
    await reader.done
    if "gone" in reader.told or 400 in reader.told:
        return 400, b"broken"
    body = reader.content
    conduit.begin()
    close = b"" if conduit.keep_alive else b"Connection: close\r\n"
    conduit.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), close, body))
    conduit.finish(200, len(body))
    return None


async def unread(request: Request, conduit: Conduit) -> object:
    """Take the conduit, and answer without reading."""
    return "unread"


async def hidden() -> str:
    """A coroutine that a plain handler returns."""
    return "hidden"


async def no_request() -> str:
    """A handler that forgot its parameter."""
    return "never"


def make_router() -> Router:
    """Routes for plain requests and content; one suspends."""
    app = Router()
    app.get("/")(lambda request: "ok")
    app.get("/items/:id")(lambda request: request.path_params)
    app.post("/echo")(lambda request: request.body)
    app.get("/fail")(lambda request: 1 / 0)
    app.get("/hidden")(lambda request: hidden())
    app.get("/unsendable")(lambda request: object())
    app.get("/surrogate")(lambda request: "\ud800")
    app.get("/signature")(no_request)

    @app.get("/async")
    async def soon(request: Request) -> object:
        await asyncio.sleep(0)
        return 201, request.query_string

    app.get("/pieces")(lambda request: iter(["a", "b"]))
    for method, path, handler in (
        ("POST", "/lent", lent),
        ("GET", "/lent", lent),
        ("POST", "/unread", unread),
    ):
        app.add_route(Route(method, path, cast(Handler, handler), takes_conduit=True))
    app.freeze()
    return app


ROUTER = make_router()
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FIELDS = b"\r\nHost: a\r\n"
PIECES = [
    b"GET / HTTP/1.1" + FIELDS + b"\r\n",
    b"GET /items/5?x HTTP/1.1" + FIELDS + b"Connection: keep-alive\r\nUser-Agent: u\r\n\r\n",
    b"HEAD / HTTP/1.1" + FIELDS + b"\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /echo HTTP/1.1" + FIELDS + b"Content-Length: 5\r\n\r\nabcde",
    b"POST /echo HTTP/1.1"
    + FIELDS
    + b"Transfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n1\r\nd\r\n0\r\nX: 1\r\n\r\n",
    b"POST /nowhere HTTP/1.1" + FIELDS + b"Content-Length: 5\r\n\r\nabcde",
    b"OPTIONS * HTTP/1.1" + FIELDS + b"\r\n",
    b"GET /async?q HTTP/1.1" + FIELDS + b"\r\n",
    b"GET /fail HTTP/1.1" + FIELDS + b"\r\n",
    b"\r\nGET http://b/ HTTP/1.1" + FIELDS + b"\r\n",
    # The last of each:
    b"GET / HTTP/1.1" + FIELDS + b"Connection: close\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"POST /echo HTTP/1.1" + FIELDS + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /echo HTTP/1.1" + FIELDS + b"Content-Length: 99999999\r\n\r\n",
    b"POST /nowhere HTTP/1.1" + FIELDS + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1" + FIELDS + b"Content-Length: 5\r\n\r\nab",
    b"GET / HT",
]
# Of exchanges that are lent; the last two end the connection.
LENT_PIECES = [
    b"GET /lent HTTP/1.1" + FIELDS + b"\r\n",
    b"POST /lent HTTP/1.1" + FIELDS + b"Content-Length: 5\r\n\r\nabcde",
    b"POST /lent HTTP/1.1" + FIELDS + CHUNKED + b"3;a\r\nabc\r\n1\r\nd\r\n0\r\nX: 1\r\n\r\n",
    b"POST /unread HTTP/1.1" + FIELDS + b"Content-Length: 5\r\n\r\nabcde",
    b"GET /pieces HTTP/1.1" + FIELDS + b"\r\n",
    b"HEAD /pieces HTTP/1.1" + FIELDS + b"\r\n",
    b"GET / HTTP/1.1" + FIELDS + b"\r\n",
    b"POST /unread HTTP/1.1" + FIELDS + CHUNKED + b"0\r\n\r\n",
    b"POST /lent HTTP/1.1" + FIELDS + CHUNKED + b"zz\r\n",
]


class Bench:
    """A service with its loop, and connections made by hand."""

    def __init__(self, **limits: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.log = EventLog(level="error", file="/dev/null")
        config = Config(limits=LimitsConfig(**limits))
        self.service = Service(
            ROUTER,
            config,
            loop=self.loop,
            log=self.log,
            access_log=None,
            statistics=Statistics(),
            on_closed=lambda: None,
            on_stop_accepting=lambda: None,
        )
        # One date for the whole test, whenever it runs.
        self.service.heads.refresh(0.0, 784111777.0)
        self.service.heads.expires = float("inf")

    def connect(self) -> tuple[Watched, Transport]:
        """Make a connection."""
        transport = Transport()
        connection = Watched(self.service)
        connection.connection_made(cast(Any, transport))
        return connection, transport

    def turn(self) -> None:
        """Let everything that is due happen; nothing here takes more than some turns."""

        async def turns() -> None:
            for _ in range(40):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    def answers(self, pieces: list[bytes], *, ends: bool, turns: bool) -> bytes:
        """Receive pieces; return all that was written."""
        connection, transport = self.connect()
        for piece in pieces:
            if not transport.is_closed:
                connection.data_received(piece)
            if turns:
                self.turn()
        self.turn()
        if ends and not transport.is_closed and not connection.eof_received():
            transport.close()
        self.turn()
        connection.connection_lost(None)
        self.turn()
        return transport.written

    def close(self) -> None:
        """Close the loop."""
        self.service.stop()
        self.loop.close()
        self.log.close()
