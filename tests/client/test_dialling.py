"""Making connections: several addresses, silent hosts, and bodies that wait until they are asked for."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from rocket_sup.client import AsyncClient, Timeout
from rocket_sup.client.errors import ConnectError, ConnectTimeout, ResourcesExhausted, TotalTimeout
from tests.client.conftest import Speak, run


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have the name "several" resolve to these."""

    async def ask(loop: object, host: str, *_: object, **__: object) -> list[Any]:
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(kind, 1, 6, "", (address, 0)) for kind, address in zip(kinds, addresses, strict=True)]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", ask)


def test_the_first_address_that_answers(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses is passed over at once, a silent one after a moment; losers leave nothing."""
    connect = asyncio.selector_events.BaseSelectorEventLoop.sock_connect

    async def silent(loop: Any, sock: socket.socket, address: Any) -> None:
        if address[0] == "127.0.0.7":
            await asyncio.sleep(30)
        await connect(loop, sock, address)

    monkeypatch.setattr(asyncio.selector_events.BaseSelectorEventLoop, "sock_connect", silent)
    url = site.replace("127.0.0.1", "several")

    async def main() -> None:
        for addresses in (["127.0.0.6", "127.0.0.1"], ["127.0.0.7", "127.0.0.1"], ["127.0.0.1", "127.0.0.7"]):
            resolving_to(monkeypatch, *addresses)
            async with AsyncClient(timeout=5) as client:
                assert "hello" == (await client.get(f"{url}/text")).text
        resolving_to(monkeypatch, "127.0.0.5", "127.0.0.6")
        async with AsyncClient(timeout=5) as client:
            with pytest.raises(ConnectError, match=r"127\.0\.0\.5"):
                await client.get(f"{url}/text")
        resolving_to(monkeypatch, "127.0.0.7")
        for timeout, kind in ((Timeout(connect=0.05), ConnectTimeout), (Timeout(total=0.05), TotalTimeout)):
            async with AsyncClient(timeout=timeout) as client:
                with pytest.raises(kind):
                    await client.get(f"{url}/text")

    run(main)


def test_nothing_is_left_to_connect_with(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors and ports that ran out have an error of their own, which says which."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main() -> None:
        async with AsyncClient() as client:
            with monkeypatch.context() as patch:
                patch.setattr(socket, "socket", refuse)
                with pytest.raises(ResourcesExhausted) as caught:
                    await client.get(f"{site}/text")
            assert "EMFILE" == caught.value.cause_name
            assert 0 == client.open_connections
            assert "hello" == (await client.get(f"{site}/text")).text

    run(main)


@pytest.mark.parametrize("asks", [True, False])
def test_a_body_that_waits_to_be_asked_for(hostile: Speak, asks: bool) -> None:
    """With Expect it is sent after 100; a server that refuses is spared it (RFC 9110 §10.1.1)."""
    bodies: list[bytes] = []

    def speak(sock: socket.socket, head: bytes) -> None:
        assert b"Expect: 100-continue" in head
        if asks:
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            bodies.append(sock.recv(100))
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            sock.sendall(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            bodies.append(sock.recv(100))

    server = hostile(speak)

    async def main() -> None:
        async with AsyncClient(timeout=5) as client:
            headers = {"Expect": "100-continue", "Content-Length": "4"}
            answer = await client.put(server.url, content=iter([b"body"]), headers=headers)
            assert ("ok" if asks else "no") == answer.text

    run(main)
    for thread in server.threads:
        thread.join(5)
    assert ([b"body"] if asks else [b""]) == bodies
