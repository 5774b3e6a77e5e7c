"""What is believed about the client of a proxy in front of us: the section [proxy].

Nothing is, by default. A proxy that sets one family of fields lets a client's own of the other family pass,
so that exactly one family is read; the host is believed only if that is said, because many proxies hand on
what a client claims about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rocket_sup.options import Kind, option

NEARBY: Final = ("127.0.0.1", "::1", "unix")


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Who the client is when a proxy stands in front; see docs/proxies.md."""

    trusted: tuple[str, ...] = option(
        (),
        Kind.LIST,
        'Peers that are believed: addresses, networks ("10.0.0.0/8"), "unix" for any Unix socket, "*" for'
        " everybody.",
        special="[]: 127.0.0.1, ::1 and unix",
        flags=("--forwarded-allow-ips",),
    )
    headers: str = option(
        "auto",
        Kind.CHOICE,
        "Fields from which client and scheme are taken: X-Forwarded-For and -Proto, or Forwarded (RFC 7239);"
        " auto takes the former if trusted says whose.",
        choices=("auto", "off", "x-forwarded", "forwarded"),
        flags=("--proxy-headers",),
    )
    host: bool = option(
        False,
        Kind.BOOLEAN,
        "Take the host as well; your proxy has to set it, or remove what clients send.",
    )
    protocol: bool = option(
        False,
        Kind.BOOLEAN,
        "Trusted peers begin each connection with the PROXY protocol, version 1 or 2.",
        flags=("--proxy-protocol",),
    )

    @property
    def peers(self) -> tuple[str, ...]:
        """Who is believed."""
        return self.trusted or NEARBY

    @property
    def family(self) -> str:
        """The fields that are read: "off", "x-forwarded" or "forwarded"."""
        if self.headers != "auto":
            return self.headers
        return "x-forwarded" if self.trusted else "off"
