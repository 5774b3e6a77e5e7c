"""The client's side of a WebSocket, against bytes that a server could send."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from rocket_sup.errors import WebSocketClosed
from rocket_sup.testing.websocket import WebSocketSession, handshake

Talk = Callable[[WebSocketSession], Awaitable[object]]


def talk(received: bytes, what: Talk) -> tuple[object, bytes]:
    """Say something to a server that has sent these bytes and closed; also what it got."""

    async def run() -> tuple[object, bytes]:
        ours, theirs = socket.socketpair()
        theirs.sendall(received)
        theirs.shutdown(socket.SHUT_WR)
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            return await what(WebSocketSession(reader, writer, b"", None)), theirs.recv(100_000)
        finally:
            writer.close()
            theirs.close()

    return asyncio.run(run())


async def receive(session: WebSocketSession) -> object:
    """One message, and something sent, so that there is something to be seen."""
    message = await session.receive()
    await session.send("x")
    return message


@pytest.mark.parametrize(
    ("received", "message"),
    [
        (b"\x81\x02ab", "ab"),
        (b"\x82\x02ab", b"ab"),
        (b"\x01\x01a\x00\x00\x80\x01b", "ab"),
        (b"\x02\x01a\x89\x01p\x80\x01b", b"ab"),
        (b"\x82\x7e\x00\x80" + b"x" * 128, b"x" * 128),
        (b"\x82\x7f" + (70_000).to_bytes(8, "big") + b"x" * 70_000, b"x" * 70_000),
        (b"\x8a\x00\x81\x02ab", "ab"),
    ],
)
def test_a_message_is_received_however_it_is_framed(received: bytes, message: str | bytes) -> None:
    """Fragments, long lengths, pings between."""
    assert talk(received, receive)[0] == message


def test_a_ping_is_answered() -> None:
    """Masked, as everything a client sends."""
    sent = talk(b"\x89\x01p\x81\x00", receive)[1]
    key, payload = sent[2:6], sent[6:7]

    assert sent[:2] == b"\x8a\x81"
    assert bytes([payload[0] ^ key[0]]) == b"p"


@pytest.mark.parametrize(
    ("received", "code"), [(b"\x88\x05\x03\xf1bye", 1009), (b"\x88\x00", 1005), (b"", 1006)]
)
def test_the_end_has_a_code(received: bytes, code: int) -> None:
    """Also when there was no Close."""
    with pytest.raises(WebSocketClosed) as caught:
        talk(received, lambda session: session.receive())

    assert caught.value.code == code


def test_closing_waits_for_the_server_to_close() -> None:
    """Messages on their way are dropped; again does nothing."""

    async def close(session: WebSocketSession) -> int:
        await session.close(1001, "away")
        await session.close()
        assert session.closed is not None
        return session.closed.code

    assert talk(b"\x81\x02ab\x88\x02\x03\xe9", close)[0] == 1001


def test_a_masked_frame_of_a_server_fails_the_test() -> None:
    """RFC 6455 §5.1."""
    with pytest.raises(AssertionError, match="masked"):
        talk(b"\x81\x82abcdef", lambda session: session.receive())


def test_a_server_that_did_not_understand_is_told() -> None:
    """A 101 alone is no handshake."""

    async def run() -> None:
        ours, theirs = socket.socketpair()
        theirs.sendall(b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            await handshake(reader, writer, "/", ("a",), None, None)
        finally:
            writer.close()
            theirs.close()

    with pytest.raises(AssertionError, match="handshake"):
        asyncio.run(run())
