"""Proxies: what is said to them, and what they may answer."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from rocket_sup.client.detours import HttpProxy, SocksProxy, detour_of
from rocket_sup.client.errors import ProxyError, UrlError
from rocket_sup.client.urls import Url

HTTPS = Url("https://host/x")


def led(detour: Any, url: Url, *answers: bytes) -> list[bytes]:
    """Lead through a proxy that gives these answers; return what it was told."""
    told: list[bytes] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)

            async def proxy() -> None:
                for answer in answers:
                    told.append(await loop.sock_recv(theirs, 4096))
                    await loop.sock_sendall(theirs, answer)
                theirs.shutdown(socket.SHUT_WR)

            speaking = loop.create_task(proxy())
            try:
                await detour.lead(loop, ours, url)
            finally:
                speaking.cancel()
                await asyncio.wait([speaking])

    asyncio.run(main())
    return told


def test_what_a_url_says() -> None:
    """Kind, place and credentials."""
    http, socks = detour_of("http://me:p%40w@proxy"), detour_of("socks5h://[::1]:9")
    assert isinstance(http, HttpProxy)
    assert isinstance(socks, SocksProxy)

    assert ("proxy", 8080, (("Proxy-Authorization", "Basic bWU6cEB3"),)) == (
        http.host,
        http.port,
        http.fields,
    )
    assert ("::1", 9, ()) == (socks.host, socks.port, socks.fields)
    for text in ("ftp://proxy", "proxy:80", "http://", "http://proxy:x"):
        with pytest.raises(UrlError):
            detour_of(text)


def test_connect() -> None:
    """Host and port, credentials; nothing for http URLs, which the proxy is asked itself."""
    proxy = HttpProxy("proxy", 1, ("me", "pw"))

    (told,) = led(proxy, HTTPS, b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n")
    assert told == (
        b"CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\nProxy-Authorization: Basic bWU6cHc=\r\n\r\n"
    )
    assert [] == led(proxy, Url("http://host/"))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Who are you\r\n\r\n", "407 Who are you"), (b"SSH-2.0\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "without an answer"), (b"HTTP/1.1 200 OK\r\n\r\nhello", "speaks before"),
        (b"x" * 40000, "without an answer"),
    ],
)  # fmt: skip
def test_proxies_that_do_not(answer: bytes, says: str) -> None:
    """It is said what they said."""
    with pytest.raises(ProxyError, match=says):
        led(HttpProxy("proxy", 1), HTTPS, answer)


BOUND = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://host/", b"\x03\x04host\x01\xbb"), ("http://1.2.3.4/", b"\x01\x01\x02\x03\x04\x00\x50"),
        ("http://[::1]:1/", b"\x04" + bytes(15) + b"\x01\x00\x01"),
    ],
)  # fmt: skip
def test_socks(url: str, asked: bytes) -> None:
    """Names are resolved by the proxy (RFC 1928 §4)."""
    assert [b"\x05\x01\x00", b"\x05\x01\x00" + asked] == led(SocksProxy("p", 1), Url(url), b"\x05\x00", BOUND)


def test_socks_with_credentials() -> None:
    """A name and a password (RFC 1929), and an answer with a name in it."""
    named = b"\x05\x00\x00\x03\x02ab\x00\x00"

    told = led(SocksProxy("p", 1, ("me", "pw")), HTTPS, b"\x05\x02", b"\x01\x00", named)

    assert [b"\x05\x01\x02", b"\x01\x02me\x02pw"] == told[:2]


@pytest.mark.parametrize(
    ("credentials", "answers", "says"),
    [
        (None, [b"\x05\xff"], "not speak SOCKS 5"), (None, [b"HT"], "not speak SOCKS 5"),
        (("a", "b"), [b"\x05\x02", b"\x01\x01"], "refuses the name"),
        (None, [b"\x05\x00", b"\x05\x05\x00\x01"], "refused"),
        (None, [b"\x05\x00", b"\x05\x63\x00\x01"], "error 99"),
        (None, [b"\x05\x00", b"\x05"], "ended the connection"),
    ],
)  # fmt: skip
def test_socks_that_does_not(credentials: Any, answers: list[bytes], says: str) -> None:
    """Each refusal has its words."""
    with pytest.raises(ProxyError, match=says):
        led(SocksProxy("p", 1, credentials), HTTPS, *answers)
