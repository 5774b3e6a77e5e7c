"""A client without a place can read why, and holds nothing for long."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rocket_sup import rejection


def run(check: object) -> None:
    """Run a check in a loop of its own."""
    asyncio.run(asyncio.wait_for(check(), 10))  # type: ignore[operator]


def test_the_answer_is_readable_while_the_client_sends() -> None:
    """503 with Retry-After, then the end; what the client sent meanwhile destroys nothing."""

    async def check() -> None:
        ours, theirs = socket.socketpair()
        theirs.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        rejection.reject(ours, 7)
        theirs.sendall(b"more" * 1000)
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        received = b""
        while piece := await loop.sock_recv(theirs, 65536):
            received += piece
        theirs.close()
        while ours.fileno() >= 0:  # noqa: ASYNC110 - nothing tells when a socket is closed
            await asyncio.sleep(0.001)  # the end of the other side is noticed by the loop

        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\nDate: ")
        assert b"\r\nRetry-After: 7\r\n" in head + b"\r\n"
        assert head.endswith(b"Connection: close")
        assert b"Content-Length: %d\r\n" % len(body) in head

    run(check)


@pytest.mark.slow
def test_a_client_that_stays_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment the socket is closed."""
    monkeypatch.setattr(rejection, "LINGER_S", 0.05)

    async def check() -> None:
        ours, theirs = socket.socketpair()
        rejection.reject(ours, 1)
        while ours.fileno() >= 0:  # noqa: ASYNC110 - nothing tells when a socket is closed
            await asyncio.sleep(0.01)  # closing is its own business
        theirs.close()

        assert not rejection._lingering

    run(check)


def test_a_client_that_has_left_is_forgotten() -> None:
    """Sending fails; the socket is closed at once."""

    async def check() -> None:
        ours, theirs = socket.socketpair()
        theirs.close()
        rejection.reject(ours, 1)

        assert ours.fileno() < 0
        assert not rejection._lingering

    run(check)


def test_politeness_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of sockets there is only the answer."""
    monkeypatch.setattr(rejection, "MAX_LINGERING", 0)

    async def check() -> None:
        ours, theirs = socket.socketpair()
        rejection.reject(ours, 1)

        assert ours.fileno() < 0
        assert theirs.recv(65536).startswith(b"HTTP/1.1 503 ")
        theirs.close()

    run(check)
