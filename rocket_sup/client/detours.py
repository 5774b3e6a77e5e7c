"""Proxies that connections go through: HTTP (CONNECT, or the whole URL in the request line) and SOCKS 5.

The proxy is always given the name of the host: it resolves it, not we. Specified in RFC 9110 §9.3.6, RFC 9112
§3.2.2, RFC 1928 and RFC 1929.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from base64 import b64encode
from typing import Final
from urllib.parse import unquote, urlsplit

from rocket_sup.client.errors import ProxyError, UrlError
from rocket_sup.client.urls import Url

_MOST_HEAD: Final = 16384
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r\n")
_SOCKS_ERRORS: Final = (
    *("succeeded", "general failure", "not allowed by its rules", "network unreachable", "host unreachable"),
    *("connection refused", "time to live expired", "command not supported", "address type not supported"),
)


class HttpProxy:
    """A proxy that speaks HTTP.

    Attributes:
        fields: what requests that are not tunnelled say to it.
    """

    def __init__(self, host: str, port: int, credentials: tuple[str, str] | None = None) -> None:
        self.host = host
        self.port = port
        self.fields: tuple[tuple[str, str], ...] = ()
        if credentials is not None:
            token = b64encode(":".join(credentials).encode()).decode("ascii")
            self.fields = (("Proxy-Authorization", f"Basic {token}"),)

    async def lead(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, url: Url) -> None:
        """Have it connect to the host of an https URL; others are asked of the proxy itself.

        Raises:
            ProxyError: it does not.
        """
        if url.scheme == "http":
            return
        lines = [f"CONNECT {url.authority_form} HTTP/1.1", f"Host: {url.authority_form}"]
        lines += [f"{name}: {value}" for name, value in self.fields]
        await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        received = b""
        while b"\r\n\r\n" not in received:
            piece = await loop.sock_recv(sock, 4096)
            if not piece or len(received) > _MOST_HEAD:
                raise ProxyError(f"the proxy {self.host} ended or went on without an answer to CONNECT")
            received += piece
        match = _STATUS.match(received)
        if match is None:
            raise ProxyError(f"the proxy {self.host} does not speak HTTP/1")
        if not match[1].startswith(b"2"):
            said = f"{match[1].decode()} {(match[2] or b'').decode('latin-1')}".strip()
            raise ProxyError(f"the proxy {self.host} refuses to connect to {url.authority_form}: {said}")
        if not received.endswith(b"\r\n\r\n"):
            raise ProxyError(f"the proxy {self.host} speaks before the server was asked anything")


class SocksProxy:
    """A proxy that speaks SOCKS 5, with a name and a password if need be."""

    fields: tuple[tuple[str, str], ...] = ()

    def __init__(self, host: str, port: int, credentials: tuple[str, str] | None = None) -> None:
        self.host = host
        self.port = port
        self._credentials = credentials

    async def lead(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, url: Url) -> None:
        """Have it connect to the host of a URL.

        Raises:
            ProxyError: it does not.
        """
        method = 2 if self._credentials is not None else 0
        await loop.sock_sendall(sock, bytes([5, 1, method]))
        version, chosen = await self._read(loop, sock, 2)
        if version != 5 or chosen != method:
            raise ProxyError(
                f"the proxy {self.host} does not speak SOCKS 5, or not without other credentials"
            )
        if self._credentials is not None:
            user, password = (text.encode()[:255] for text in self._credentials)
            message = bytes([1, len(user)]) + user + bytes([len(password)]) + password
            await loop.sock_sendall(sock, message)
            if (await self._read(loop, sock, 2))[1] != 0:
                raise ProxyError(f"the proxy {self.host} refuses the name or the password")
        await loop.sock_sendall(sock, b"\x05\x01\x00" + _address(url.host) + url.port.to_bytes(2, "big"))
        _, status, _, kind = await self._read(loop, sock, 4)
        if status != 0:
            why = _SOCKS_ERRORS[status] if status < len(_SOCKS_ERRORS) else f"error {status}"
            raise ProxyError(f"the proxy {self.host} does not connect to {url.authority_form}: {why}")
        sizes = {1: 4, 4: 16}
        size = sizes[kind] if kind in sizes else (await self._read(loop, sock, 1))[0]
        await self._read(loop, sock, size + 2)

    async def _read(self, loop: asyncio.AbstractEventLoop, sock: socket.socket, size: int) -> bytes:
        received = b""
        while len(received) < size:
            piece = await loop.sock_recv(sock, size - len(received))
            if not piece:
                raise ProxyError(f"the proxy {self.host} ended the connection")
            received += piece
        return received


def detour_of(text: str) -> HttpProxy | SocksProxy:
    """Read the URL of a proxy: http://[user:password@]host:port or socks5://...

    Raises:
        UrlError: it is none.
    """
    parts = urlsplit(text)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UrlError(f"{text!r} is no URL of a proxy: {error}") from None
    user = parts.username
    credentials = None if user is None else (unquote(user), unquote(parts.password or ""))
    if not host:
        raise UrlError(f"{text!r} is no URL of a proxy")
    if parts.scheme == "http":
        return HttpProxy(host, port or 8080, credentials)
    if parts.scheme in ("socks5", "socks5h"):
        return SocksProxy(host, port or 1080, credentials)
    raise UrlError(f"{text!r}: a proxy speaks http or socks5")


def _address(host: str) -> bytes:
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("ascii")[:255]
        return bytes([3, len(name)]) + name
    return (b"\x01" if parsed.version == 4 else b"\x04") + parsed.packed
