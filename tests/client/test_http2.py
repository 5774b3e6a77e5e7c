"""HTTP/2: chosen by TLS or known before, many requests on one connection, and servers that go away."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import h2.events
import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from rocket_sup.client import AsyncClient, Limits, Timeout, Tls
from rocket_sup.client.errors import (
    BodyTooLarge,
    ClientError,
    InvalidRequest,
    ProtocolError,
    ReadError,
    ReadTimeout,
    TlsError,
)
from tests.client.certificates import make_certificate
from tests.client.conftest import PATIENCE_S, run
from tests.client.h2server import frames, hypercorn


@pytest.fixture
def plain() -> Iterator[str]:
    """A server that is known to speak HTTP/2, without TLS."""
    with hypercorn() as port:
        yield f"http://127.0.0.1:{port}"


def test_tls_decides(tmp_path: Path) -> None:
    """Whoever offers HTTP/2 gets it, whoever does not gets HTTP/1.1, and nobody gets a stranger's answer."""
    certificate = make_certificate(tmp_path, "server")

    async def main() -> None:
        with hypercorn(certificate) as port:
            base = f"https://localhost:{port}"
            for http2, version in ((True, "HTTP/2"), (False, "HTTP/1.1")):
                async with AsyncClient(base_url=base, http2=http2, tls=Tls(verify=certificate[0])) as client:
                    answer = await client.get("/x", params={"a": 1})
                    assert (200, version) == (answer.status, answer.http_version)
                    assert f"GET /x?a=1 {version[5:]}" == answer.headers["x-said"]
                    assert answer.elapsed.tls > 0
                    assert "b" == client.cookies["a"]
            async with AsyncClient(base_url=base, http2=True) as client:
                with pytest.raises(TlsError, match="not trusted"):
                    await client.get("/")

    run(main)


def test_a_server_that_only_speaks_http1(site: str) -> None:
    """Without TLS nothing can be chosen: HTTP/1.1; many callers at once are served all the same."""

    async def main() -> None:
        async with AsyncClient(base_url=site, http2=True, limits=Limits(max_per_origin=3)) as client:
            answers = await asyncio.gather(*[client.get("/text") for _ in range(20)])
            assert [("HTTP/1.1", "hello")] * 20 == [(found.http_version, found.text) for found in answers]
            assert 3 == client.open_connections

    run(main)


def test_many_requests_on_few_connections(plain: str) -> None:
    """As many at once as the server allows on one; every answer reaches its caller."""

    async def main() -> None:
        async with AsyncClient(base_url=plain, http2="prior") as client:
            answers = await asyncio.gather(
                *[client.post("/e", content=b"%d" % number) for number in range(300)]
            )
            assert [b"%d" % number for number in range(300)] == [answer.content for answer in answers]
            assert client.open_connections <= 6
            assert {"HTTP/2"} == {answer.http_version for answer in answers}

    run(main)


def test_fields_and_methods(plain: str) -> None:
    """What is about an HTTP/1.1 connection is left out; what is sent is sent once."""

    async def main() -> None:
        async with AsyncClient(base_url=plain, http2="prior") as client:
            headers = {"Connection": "keep-alive", "TE": "gzip", "X-A": " b ", "Host": "other"}
            answer = await client.request("PROPFIND", "/", headers=headers)
            names = answer.headers["x-fields"].split(",")
            assert {"x-a", "host", "user-agent", "accept", "accept-encoding"} == set(names)
            assert answer.headers["x-said"].startswith("PROPFIND")
            assert b"" == (await client.head("/large")).content
            with pytest.raises(InvalidRequest):
                await client.connect("/")

    run(main)


async def pieces() -> AsyncIterator[bytes]:
    """A body whose length nobody knows, larger than the first window."""
    for _ in range(20):
        await asyncio.sleep(0)
        yield b"x" * 100_000


def test_large_contents_both_ways(plain: str) -> None:
    """More than any window, whole, streamed, and given up in the middle."""

    async def main() -> None:
        large = b"0123456789" * 300_000
        async with AsyncClient(base_url=plain, http2="prior", timeout=10) as client:
            assert large == (await client.get("/large")).content
            assert large == (await client.post("/", content=large)).content
            assert 2_000_000 == len((await client.post("/", content=pieces())).content)
            async with client.stream("GET", "/large") as answer:
                assert large == b"".join([piece async for piece in answer.aiter_bytes()])
            for _ in range(8):
                async with client.stream("GET", "/large") as answer:
                    async for _ in answer.aiter_bytes():
                        break
            assert large == (await client.get("/large")).content
            assert 1 == client.open_connections

    run(main)


def test_cancelled_callers_and_timeouts(plain: str) -> None:
    """Only their streams end; the connection serves the others."""

    async def main() -> None:
        async with AsyncClient(base_url=plain, http2="prior") as client:
            slow = asyncio.ensure_future(client.get("/slow"))
            assert b"x" == (await client.post("/", content=b"x")).content
            slow.cancel()
            with pytest.raises(ReadTimeout):
                await client.get("/slow", timeout=Timeout(read=0.05))
            assert b"x" == (await client.post("/", content=b"x")).content
            assert 1 == client.open_connections
            with pytest.raises(KeyError, match="mine"):
                await client.post("/", content=failing())
            assert b"x" == (await client.post("/", content=b"x")).content
        async with AsyncClient(base_url=plain, http2="prior", limits=Limits(max_body=1000)) as client:
            with pytest.raises(BodyTooLarge):
                await client.get("/large")

    run(main)


async def failing() -> AsyncIterator[bytes]:
    """A source that breaks."""
    yield b"x"
    raise KeyError("mine")


class Scripted:
    """A server whose frames a test chooses: a function for each connection, the last one for all others."""

    def __init__(self, *connections: Callable[[H2Connection, h2.events.Event], None]) -> None:
        self.connections = list(connections)
        self.count = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.threads: list[threading.Thread] = []
        self.accepting = threading.Thread(target=self.accept)
        self.accepting.start()

    def accept(self) -> None:
        """Take connections until the listening socket is shut."""
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE_S)
            on_event = self.connections[min(self.count, len(self.connections) - 1)]
            self.count += 1
            self.threads.append(threading.Thread(target=self.serve, args=(sock, on_event)))
            self.threads[-1].start()

    def serve(self, sock: socket.socket, on_event: Callable[[H2Connection, h2.events.Event], None]) -> None:
        """One connection."""
        with sock:
            try:
                frames(on_event)(sock)
            except (OSError, h2.exceptions.ProtocolError):  # the client had enough
                return

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.accepting.join(PATIENCE_S)
        self.listening.close()
        for thread in self.threads:
            thread.join(PATIENCE_S)


def answers(machine: H2Connection, event: h2.events.Event) -> None:
    """Answer every request."""
    if isinstance(event, h2.events.RequestReceived):
        machine.send_headers(event.stream_id, [(":status", "200")])
        machine.send_data(event.stream_id, b"ok", end_stream=True)


def refuses(machine: H2Connection, event: h2.events.Event) -> None:
    """Refuse every stream."""
    if isinstance(event, h2.events.RequestReceived):
        machine.reset_stream(event.stream_id, ErrorCodes.REFUSED_STREAM)


def refuses_the_first(machine: H2Connection, event: h2.events.Event) -> None:
    """Refuse one stream, answer the others."""
    if isinstance(event, h2.events.RequestReceived):
        refuses(machine, event) if event.stream_id == 1 else answers(machine, event)


def goes_away(machine: H2Connection, event: h2.events.Event) -> None:
    """GOAWAY at the first request, which was not looked at."""
    if isinstance(event, h2.events.RequestReceived):
        machine.close_connection(last_stream_id=0)


def resets(machine: H2Connection, event: h2.events.Event) -> None:
    """Half of an answer."""
    if isinstance(event, h2.events.RequestReceived):
        machine.send_headers(event.stream_id, [(":status", "200")])
        machine.send_data(event.stream_id, b"half")
        machine.reset_stream(event.stream_id, ErrorCodes.INTERNAL_ERROR)


def lies(machine: H2Connection, event: h2.events.Event) -> None:
    """A length that is not that of the content."""
    if isinstance(event, h2.events.RequestReceived):
        machine.send_headers(event.stream_id, [(":status", "200"), ("content-length", "5")])
        machine.send_data(event.stream_id, b"toolong")


def allows_two(machine: H2Connection, event: h2.events.Event) -> None:
    """No more than two streams at once, said at once."""
    if isinstance(event, h2.events.RemoteSettingsChanged):
        machine.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    if isinstance(event, h2.events.RequestReceived):
        assert machine.open_inbound_streams <= 2
        answers(machine, event)


@pytest.mark.parametrize("first", [refuses_the_first, goes_away])
def test_what_was_not_looked_at_is_sent_again(first: Callable[..., None]) -> None:
    """A refused stream and one that GOAWAY leaves out, whatever the method (RFC 9113 §8.7)."""

    async def main() -> None:
        with Scripted(first, answers) as server:
            async with AsyncClient(http2="prior", timeout=5) as client:
                assert "ok" == (await client.post(server.url, content=b"x")).text

    run(main)


def test_a_connection_that_served_and_broke() -> None:
    """A request that is safe to repeat is asked again, another one is not."""

    def once(machine: H2Connection, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            if event.stream_id == 1:
                answers(machine, event)
            else:
                machine.close_connection(ErrorCodes.PROTOCOL_ERROR, last_stream_id=event.stream_id)

    async def main() -> None:
        with Scripted(once) as server:
            async with AsyncClient(http2="prior", timeout=5) as client:
                assert ["ok", "ok"] == [(await client.get(server.url)).text for _ in range(2)]
                assert 2 == server.count
                with pytest.raises(ReadError, match="PROTOCOL_ERROR"):
                    await client.post(server.url, content=b"x")

    run(main)


@pytest.mark.parametrize(
    ("script", "kind"), [(resets, ReadError), (lies, ProtocolError), (refuses, ReadError)]
)
def test_broken_answers(script: Callable[..., None], kind: type[ClientError]) -> None:
    """Half of an answer is none; a server that refuses everything is told so in the end."""

    async def main() -> None:
        with Scripted(script) as server:
            async with AsyncClient(http2="prior", timeout=5) as client:
                with pytest.raises(kind):
                    await client.get(server.url)

    run(main)


def test_the_limit_of_the_server_holds() -> None:
    """Whoever finds no room waits."""

    async def main() -> None:
        with Scripted(allows_two) as server:
            async with AsyncClient(http2="prior", timeout=5, limits=Limits(max_per_origin=1)) as client:
                await client.get(server.url)
                found = await asyncio.gather(*[client.get(server.url) for _ in range(30)])
                assert ["ok"] * 30 == [answer.text for answer in found]
                assert 1 == server.count

    run(main)


def test_a_server_that_does_not_speak_it(site: str) -> None:
    """Prior knowledge that is wrong."""

    async def main() -> None:
        async with AsyncClient(base_url=site, http2="prior", timeout=5) as client:
            with pytest.raises((ProtocolError, ReadError)):
                await client.get("/text")

    run(main)
