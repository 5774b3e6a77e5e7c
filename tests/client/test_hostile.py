"""Servers that break the rules, lie, stall and vanish: the right error, in time, and in little memory."""

from __future__ import annotations

import asyncio
import gzip
import select
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from rocket_sup.client import AsyncClient, Limits, Timeout
from rocket_sup.client.errors import (
    BodyTooLarge,
    ClientError,
    DecompressionBomb,
    Disconnected,
    IncompleteBody,
    ProtocolError,
    ReadError,
    ReadTimeout,
    TotalTimeout,
    WriteTimeout,
)
from tests.client.conftest import Speak, run

OK = b"HTTP/1.1 200 OK\r\n"
QUICK = Timeout(connect=5, read=0.2, write=0.2, pool=5)


def says(*pieces: bytes, closes: bool = True) -> object:
    """A server that sends these and ends the connection."""

    def speak(sock: socket.socket, head: bytes) -> None:
        for piece in pieces:
            sock.sendall(piece)
        if closes:
            sock.shutdown(socket.SHUT_WR)

    return speak


@pytest.mark.parametrize(
    ("wire", "kind"),
    [
        (b"", Disconnected),
        (b"HTTP/1.1 20", ProtocolError),
        (b"SSH-2.0-OpenSSH_9\r\n", ProtocolError),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", ProtocolError),
        (OK + b"Content-Length: 10\r\n\r\nabc", IncompleteBody),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", ProtocolError),
        (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nab", ProtocolError),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", IncompleteBody),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n", ProtocolError),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", ProtocolError),
        (OK + b"X: \0\r\n\r\n", ProtocolError),
    ],
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_broken_answers(hostile: Speak, wire: bytes, kind: type[ClientError], is_streamed: bool) -> None:
    """Half of an answer is none, and what two readers could understand in two ways is none either."""
    server = hostile(says(wire))

    async def main() -> None:
        async with AsyncClient(timeout=QUICK) as client:
            with pytest.raises(kind) as caught:
                await read(client, server.url, is_streamed)
            assert caught.type is kind
            assert client.open_connections == 0 or await gone(client)

    run(main)


async def read(client: AsyncClient, url: str, is_streamed: bool) -> bytes:
    """Get the content in one way or the other."""
    if not is_streamed:
        return (await client.get(url)).content
    async with client.stream("GET", url) as answer:
        return await answer.aread()


async def gone(client: AsyncClient) -> bool:
    """Wait until a connection that was ended is gone."""
    while client.open_connections:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.001)
    return True


def endless(start: bytes, piece: bytes) -> object:
    """A server that never stops."""

    def speak(sock: socket.socket, head: bytes) -> None:
        sock.sendall(start)
        while True:
            sock.sendall(piece)

    return speak


@pytest.mark.parametrize(
    ("start", "piece", "kind"),
    [
        (OK, b"X-Field: value\r\n" * 1000, ProtocolError),
        (OK, b"X" * 65536, ProtocolError),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100, ProtocolError),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5;", b"x" * 65536, ProtocolError),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 1000, ProtocolError),
        (OK + b"\r\n", b"x" * 65536, BodyTooLarge),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n", BodyTooLarge),
    ],
)
def test_answers_without_end(hostile: Speak, start: bytes, piece: bytes, kind: type[ClientError]) -> None:
    """Whatever grows has a limit, and memory stays below a few times that."""
    server = hostile(endless(start, piece))

    async def main() -> None:
        async with AsyncClient(timeout=QUICK, limits=Limits(max_body=1_000_000)) as client:
            tracemalloc.start()
            try:
                with pytest.raises(kind):
                    await client.get(server.url)
                assert tracemalloc.get_traced_memory()[1] < 8_000_000
            finally:
                tracemalloc.stop()

    run(main)


def test_a_reader_who_is_behind_stops_the_server(hostile: Speak) -> None:
    """A stream that nobody reads fills no memory, and may rest longer than the read timeout."""
    server = hostile(endless(OK + b"\r\n", b"x" * 65536))

    async def main() -> None:
        async with AsyncClient(timeout=QUICK) as client:
            tracemalloc.start()
            try:
                async with client.stream("GET", server.url) as answer:
                    await asyncio.sleep(0.4)
                    size = 0
                    async for piece in answer.aiter_bytes():
                        size += len(piece)
                        if size > 20_000_000:
                            break
                assert tracemalloc.get_traced_memory()[1] < 8_000_000
            finally:
                tracemalloc.stop()

    run(main)


def test_a_bomb_over_the_wire(hostile: Speak) -> None:
    """A hundred kilobytes that claim to be a hundred megabytes."""
    bomb = gzip.compress(bytes(100_000_000))
    server = hostile(says(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb), bomb))

    async def main() -> None:
        async with AsyncClient(limits=Limits(max_decoded=1_000_000)) as client:
            for is_streamed in (False, True):
                with pytest.raises(DecompressionBomb):
                    await read(client, server.url, is_streamed)

    run(main)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"HTTP/1.1 200",
        OK + b"Content-Length: 5\r\n\r\nab",
        OK + b"\r\nab",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_a_server_that_falls_silent(hostile: Speak, wire: bytes) -> None:
    """In each phase the read timeout ends the wait, not sooner and not much later."""
    server = hostile(says(wire, closes=False))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with AsyncClient(timeout=QUICK) as client:
            started = loop.time()
            with pytest.raises(ReadTimeout):
                await client.get(server.url)
            assert 0.19 <= loop.time() - started < 5

    run(main)


def test_a_slow_drip_ends_at_the_total_timeout(hostile: Speak) -> None:
    """Each byte comes in time, the answer never."""

    def drip(sock: socket.socket, head: bytes) -> None:
        sock.sendall(OK + b"Content-Length: 1000\r\n\r\n")
        while True:
            sock.sendall(b"x")
            sock.settimeout(0.02)
            try:
                sock.recv(1)
                return
            except TimeoutError:
                continue

    server = hostile(drip)

    async def main() -> None:
        async with AsyncClient(timeout=Timeout(read=5, total=0.3)) as client:
            with pytest.raises(TotalTimeout):
                await client.get(server.url)

    run(main)


@pytest.mark.parametrize("wire", [OK + b"Content-Length: 10\r\n\r\nabc", OK + b"\r\nabc", OK])
def test_a_reset_in_the_middle(hostile: Speak, wire: bytes) -> None:
    """A broken connection is no end of content, also where only its end would tell."""

    def reset(sock: socket.socket, head: bytes) -> None:
        sock.sendall(wire)
        sock.recv(1)  # the client says that it has read so far
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    server = hostile(reset)

    async def body() -> AsyncIterator[bytes]:
        await asyncio.sleep(0.05)
        yield b"x"
        await asyncio.sleep(10)

    async def main() -> None:
        async with AsyncClient(timeout=Timeout(read=5)) as client:
            with pytest.raises(ReadError):
                await client.post(server.url, content=body())

    run(main)


def test_a_server_that_reads_nothing(hostile: Speak) -> None:
    """A body that nobody takes ends at the write timeout, sent whole or in pieces."""
    server = hostile(lambda sock, head: block(sock))

    async def endless_body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536

    async def main() -> None:
        async with AsyncClient(timeout=Timeout(read=5, write=0.2)) as client:
            for content in (b"x" * 30_000_000, endless_body()):
                with pytest.raises(WriteTimeout):
                    await client.post(server.url, content=content)

    run(main)


def block(sock: socket.socket) -> None:
    """Wait without reading until the client is gone."""
    poller = select.poll()
    poller.register(sock, 0)
    poller.poll(5000)


def test_an_answer_before_the_body_was_sent(hostile: Speak) -> None:
    """It counts; the connection is not used again."""
    server = hostile(says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", closes=False))
    ended: list[bool] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    async def main() -> None:
        async with AsyncClient(timeout=QUICK) as client:
            answer = await client.post(server.url, content=body())
            assert (413, "no") == (answer.status, answer.text)
            await gone(client)
        assert [True] == ended

    run(main)


def test_bytes_that_nobody_asked_for(hostile: Speak) -> None:
    """What comes behind an answer is never taken for the next one."""
    first = OK + b"Content-Length: 1\r\n\r\na"
    server = hostile(says(first + OK + b"Content-Length: 4\r\n\r\nevil", closes=False))

    async def main() -> None:
        async with AsyncClient(timeout=QUICK) as client:
            for _ in range(3):
                assert "a" == (await client.get(server.url)).text

    run(main)
    assert 3 == len(server.sockets)


def test_a_kept_connection_that_ended(hostile: Speak) -> None:
    """An idempotent request is sent again on a fresh one; another is not, unless nothing was sent."""

    def once(sock: socket.socket, head: bytes) -> None:
        if sock.fileno() in seen:
            seen.remove(sock.fileno())
            sock.close()
            return
        seen.append(sock.fileno())
        sock.sendall(OK + b"Content-Length: 2\r\n\r\nok")

    seen: list[int] = []
    server = hostile(once)

    async def main() -> None:
        async with AsyncClient(timeout=Timeout(read=5)) as client:
            assert "ok" == (await client.get(server.url)).text
            assert "ok" == (await client.get(server.url)).text
            with pytest.raises(Disconnected) as caught:
                await client.post(server.url, content=b"x")
            assert caught.value.request is not None
            assert caught.value.was_idle

    run(main)
    assert 4 == len(server.received)


def test_the_source_of_a_body_fails(hostile: Speak) -> None:
    """Its error reaches the caller, and the half of a request is ended."""
    server = hostile(says(closes=False))

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("mine")

    async def main() -> None:
        async with AsyncClient(timeout=QUICK) as client:
            with pytest.raises(KeyError, match="mine"):
                await client.post(server.url, content=body())
            await gone(client)

    run(main)
