"""Addresses of names: asked once at a time for each name, and believed for a while.

The system's resolver is asked in a thread. It tells no lifetimes, so the client has one (`Limits.dns_ttl_s`).
A name that has no address is asked for again the next time: failures are not kept.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import OrderedDict
from typing import Final

from rocket_sup.client.errors import ResolveError

Address = tuple[socket.AddressFamily, str]
_MOST_NAMES: Final = 4096  # of a client that visits a million hosts, the last ones


class Resolver:
    """Finds addresses, those that are to be tried first in front."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ttl_s: float) -> None:
        self._loop = loop
        self._ttl_s = ttl_s
        self._known: OrderedDict[str, tuple[float, list[Address]]] = OrderedDict()
        self._asked: dict[str, asyncio.Task[list[Address]]] = {}

    async def resolve(self, host: str) -> list[Address]:
        """Return the addresses of a host, families alternating, the resolver's favourite first.

        Raises:
            ResolveError: there is none.
        """
        literal = _literal(host)
        if literal is not None:
            return [literal]
        known = self._known.get(host)
        if known is not None and known[0] > self._loop.time():
            return known[1]
        asked = self._asked.get(host)
        if asked is None:
            asked = self._asked[host] = self._loop.create_task(self._ask(host))
            asked.add_done_callback(lambda _: self._asked.pop(host, None))
        # One caller who gives up must not take the answer from the others.
        return await asyncio.shield(asked)

    async def close(self) -> None:
        """Wait for what is being asked: the thread that asks cannot be stopped."""
        if self._asked:
            await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _ask(self, host: str) -> list[Address]:
        try:
            found = await self._loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ResolveError(f"{host}: {error.strerror or error}") from None
        addresses: list[Address] = []
        for family, _, _, _, sockaddr in found:
            if family in (socket.AF_INET, socket.AF_INET6):
                addresses.append((family, str(sockaddr[0])))
        ordered = alternating(list(dict.fromkeys(addresses)))
        if not ordered:
            raise ResolveError(f"{host}: no address of a family that is known here")
        self._known[host] = (self._loop.time() + self._ttl_s, ordered)
        self._known.move_to_end(host)
        if len(self._known) > _MOST_NAMES:
            self._known.popitem(last=False)
        return ordered


def alternating(addresses: list[Address]) -> list[Address]:
    """Order addresses so that families alternate, beginning with the first one's (RFC 8305 §4)."""
    if not addresses:
        return []
    first = [address for address in addresses if address[0] == addresses[0][0]]
    second = [address for address in addresses if address[0] != addresses[0][0]]
    ordered = []
    for place in range(max(len(first), len(second))):
        ordered += first[place : place + 1] + second[place : place + 1]
    return ordered


def _literal(host: str) -> Address | None:
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (socket.AF_INET if parsed.version == 4 else socket.AF_INET6), host
