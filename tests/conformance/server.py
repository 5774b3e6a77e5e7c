"""A real server on a real socket, and a client that sees every byte.

The server runs in a thread with a loop of its own; the client is a plain socket, so that what is sent and
what came back are exactly what the test says. Nothing here interprets more of an answer than its framing.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config
from rocket_sup.engine.contract import Accepted, Engine, Wire, WireBrief
from rocket_sup.log import EventLog
from rocket_sup.router import Router

PATIENCE_S = 10.0  # only a test that fails waits this long


@dataclass
class Answer:
    """One answer as received."""

    status: int
    reason: str
    version: str
    fields: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        """Return the only value of a field; None when there is none."""
        values = [value for found, value in self.fields if found.lower() == name.lower()]
        assert len(values) <= 1, f"{name} more than once: {values}"
        return values[0] if values else None


class Client:
    """One connection to the server."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(address)
        self._received = b""

    def send(self, data: bytes) -> Client:
        """Send bytes as they are."""
        self.socket.sendall(data)
        return self

    def end(self) -> Client:
        """Send nothing more."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def read(self, *, to: str = "GET") -> Answer:
        """Read one final answer; informational ones have a method of their own."""
        answer = self._read_head()
        assert answer.status >= 200, "an informational answer that was not asked for"
        length = answer.get("content-length")
        if answer.status == 204:
            assert length is None, "Content-Length on 204"
        elif answer.get("transfer-encoding") is not None:
            assert (length, answer.get("transfer-encoding")) == (None, "chunked")
            if to != "HEAD":
                answer.body = b"".join(self._take_chunks())
        elif answer.status != 304:
            assert length is not None
            if to != "HEAD":
                answer.body = self._take(int(length))
        return answer

    def read_informational(self) -> Answer:
        """Read one 1xx answer."""
        answer = self._read_head()
        assert 100 <= answer.status < 200
        assert answer.fields == []
        return answer

    def read_rest(self) -> bytes:
        """Read until the server closes its side."""
        while piece := self.socket.recv(65536):
            self._received += piece
        rest, self._received = self._received, b""
        return rest

    def expect_end(self) -> None:
        """Fail unless the server sends nothing more and closes its side."""
        assert self.read_rest() == b""

    def expect_silence(self, seconds: float) -> None:
        """Fail if anything arrives, or the connection ends, within a time."""
        assert self._received == b""
        self.socket.settimeout(seconds)
        try:
            arrived = self.socket.recv(1)
        except TimeoutError:
            self.socket.settimeout(PATIENCE_S)
            return
        raise AssertionError(f"received {arrived!r}")

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    def _read_head(self) -> Answer:
        while b"\r\n\r\n" not in self._received:
            piece = self.socket.recv(65536)
            assert piece, f"the connection ended within a head: {self._received!r}"
            self._received += piece
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, reason = line.split(" ", 2)
        fields = []
        for each in lines:
            name, colon, value = each.partition(": ")
            assert colon, f"not a field line as we write them: {each!r}"
            fields.append((name, value))
        return Answer(int(status), reason, version, fields, b"")

    def _take_chunks(self) -> Iterator[bytes]:
        while True:
            while b"\r\n" not in self._received:
                more = self._take(len(self._received) + 1)
                self._received = more + self._received
            line, _, self._received = self._received.partition(b"\r\n")
            chunk = self._take(int(line, 16) + 2)
            assert chunk.endswith(b"\r\n"), "a chunk longer than it says, or trailers"
            if len(chunk) == 2:
                return
            yield chunk[:-2]

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            piece = self.socket.recv(65536)
            assert piece, f"the connection ended within content: {self._received!r}"
            self._received += piece
        taken, self._received = self._received[:size], self._received[size:]
        return taken


@dataclass
class Server:
    """The wire of an engine behind a listening socket, in a thread."""

    router: Router
    config: Config
    log_path: str
    engine: Engine
    unix_path: str | None = None
    access_log: AccessLog | None = None
    address: Any = None
    wire: Wire = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)
    closed: int = 0
    stopped_accepting: int = 0

    def start(self) -> None:
        """Serve; `address` is known afterwards."""
        self._clients: list[Client] = []
        self._log = EventLog(level="debug", format="json", file=self.log_path)
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(PATIENCE_S)

    def connect(self) -> Client:
        """Return a new connection; it is closed when the server stops."""
        client = Client(self.address)
        self._clients.append(client)
        return client

    def call(self, function: Callable[[], Any]) -> Any:
        """Run a function in the server's loop and return its result."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE_S)

    def wait_until(self, condition: Callable[[], object], *, patience_s: float = PATIENCE_S) -> None:
        """Let the server's loop turn until a condition holds; it is asked in the loop."""

        async def wait() -> None:
            while not condition():  # noqa: ASYNC110 - any condition: there is no event to wait for
                await asyncio.sleep(0.002)

        asyncio.run_coroutine_threadsafe(wait(), self.loop).result(patience_s)

    def events(self) -> list[dict[str, Any]]:
        """Everything logged so far."""
        with open(self.log_path, "rb") as file:
            return [orjson.loads(line) for line in file]

    def stop(self) -> None:
        """Close everything; the descriptors are gone afterwards."""
        for client in self._clients:
            client.close()
        self.call(self._leave_queue)
        if self._accepting is not None:
            self.wait_until(self._accepting.done)
        self._listening.close()
        self.call(self.wire.abort_all)
        self.wait_until(lambda: not self.wire.connection_count())
        self.call(self.wire.stop)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()
        self._log.close()
        assert not self._thread.is_alive()

    def _run(self, ready: threading.Event) -> None:
        """Be the server; the loop is made here, because a ring knows the thread that made it."""
        self.loop = self.engine.new_loop()
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._open())
        self.loop.call_soon(ready.set)
        self.loop.run_forever()

    async def _open(self) -> None:
        self.router.freeze()
        self.wire = self.engine.make_wire(
            WireBrief(
                router=self.router,
                config=self.config,
                loop=self.loop,
                log=self._log,
                access_log=self.access_log,
                on_closed=self._on_closed,
                on_stop_accepting=self._on_stop_accepting,
            )
        )
        self.wire.is_telling = True
        self.wire.start()
        family = socket.AF_UNIX if self.unix_path else socket.AF_INET
        self._listening = socket.socket(family, socket.SOCK_STREAM)
        self._listening.bind(self.unix_path or ("127.0.0.1", 0))
        self._listening.listen(128)
        self._listening.setblocking(False)
        self.address = self._listening.getsockname()
        self._accepting: asyncio.Task[None] | None = None
        if self.wire.doorman is not None:
            self.wire.doorman.watch(self._listening.fileno(), self._on_stuck)
        else:
            self._accepting = self.loop.create_task(self._accept())

    def _leave_queue(self) -> None:
        if self.wire.doorman is not None:
            self.wire.doorman.unwatch(self._listening.fileno())
        elif self._accepting is not None:
            self._accepting.cancel()

    def _on_stuck(self, listening_fd: int, accepted: Accepted) -> None:
        raise AssertionError(f"stuck: {accepted}")

    async def _accept(self) -> None:
        while True:
            sock, _ = await self.loop.sock_accept(self._listening)
            self.wire.open(sock)

    def _on_closed(self) -> None:
        self.closed += 1

    def _on_stop_accepting(self) -> None:
        self.stopped_accepting += 1


def request(line: str, *fields: str, content: bytes = b"") -> bytes:
    """Write a request with a Host; fields as they are on the wire."""
    return "\r\n".join([line, "Host: example.test", *fields, "", ""]).encode("latin-1") + content


def get(target: str = "/", *fields: str) -> bytes:
    """Write a GET request."""
    return request(f"GET {target} HTTP/1.1", *fields)


def post(target: str, content: bytes, *fields: str) -> bytes:
    """Write a POST request with Content-Length."""
    return request(f"POST {target} HTTP/1.1", f"Content-Length: {len(content)}", *fields, content=content)


def chunked(target: str, raw: bytes, *fields: str) -> bytes:
    """Write a POST request with chunks as they are on the wire."""
    return request(f"POST {target} HTTP/1.1", "Transfer-Encoding: chunked", *fields, content=raw)
