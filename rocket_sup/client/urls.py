"""Absolute http and https URLs: read once, checked, and cut into what a request needs.

What stands in the request line and in Host is ASCII: other characters of the path and query are
percent-encoded as UTF-8, a host in another script is written in Punycode. Knows nothing of sockets.
Specified in RFC 3986 and RFC 9110 §4.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote, unquote, urljoin

from rocket_sup.client.errors import UrlError
from rocket_sup.http.query import format_query

DEFAULT_PORTS: Final[Mapping[str, int]] = {"http": 80, "https": 443}
Origin = tuple[str, str, int]
ParamValue = str | int | float | bool | None
Params = str | Mapping[str, ParamValue | Sequence[ParamValue]] | Iterable[tuple[str, ParamValue]]

# Groups: scheme, userinfo, IPv6 address, other host, port, path and query, fragment. RFC 3986 appendix B,
# for http and https only.
_URL: Final = re.compile(
    r"(https?)://(?:([^/?#@]*+)@)?(?:\[([0-9A-Fa-f:.]++)(?:%25[^\]]*)?\]|([^/?#@:\[\]]++))(?::([0-9]*+))?"
    r"([/?][^#]*+)?(?:#(.*+))?",
    re.IGNORECASE | re.DOTALL,
)
_HOST: Final = re.compile(r"[a-z0-9\-._~!$&'()*+,;=%]++")
_UNSAFE: Final = re.compile(r"[^\x21\x24-\x3b\x3d\x3f-\x5a\x5b\x5d\x5f\x61-\x7a\x7e]|%(?![0-9A-Fa-f]{2})")
_KEPT: Final = "!#$%&'()*+,/:;=?@[]~"


class Url:
    """One absolute URL.

    Attributes:
        scheme: "http" or "https".
        host: ASCII in lower case, an IPv6 address without its brackets.
        port: the number, whether it was written or not.
        target: path and query as they stand in the request line.
        userinfo: what stood before "@", decoded, or None.
        fragment: what stood after "#"; never sent.
    """

    __slots__ = ("authority", "fragment", "host", "origin", "port", "scheme", "target", "userinfo")

    def __init__(self, text: str) -> None:
        """Read an absolute URL.

        Raises:
            UrlError: it is not one that can be asked for.
        """
        match = _URL.fullmatch(text.strip())
        if match is None:
            raise UrlError(f"{text!r} is not an absolute http or https URL (RFC 9110 §4.2)")
        scheme, userinfo, ipv6, name, port, target, fragment = match.groups()
        self.scheme = scheme.lower()
        self.port = _port(port, text) if port else DEFAULT_PORTS[self.scheme]
        self.host = ipv6.lower() if ipv6 else _host(name, text)
        self.userinfo = None if userinfo is None else _userinfo(userinfo)
        self.fragment = fragment or ""
        if not target:
            target = "/"
        elif target[0] == "?":
            target = "/" + target
        self.target: str = _encoded(target) if _UNSAFE.search(target) else target
        shown = f"[{self.host}]" if ipv6 else self.host
        self.authority: str = shown if self.port == DEFAULT_PORTS[self.scheme] else f"{shown}:{self.port}"
        self.origin: Origin = (self.scheme, self.host, self.port)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query without its "?"."""
        return self.target.partition("?")[2]

    @property
    def authority_form(self) -> str:
        """Host and port, also where it is the default: the target of CONNECT (RFC 9112 §3.2.3)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def join(self, reference: str) -> Url:
        """Resolve a reference, as a Location field has it (RFC 3986 §5).

        A fragment is inherited when the reference has none (RFC 9110 §10.2.2).
        """
        joined = Url(urljoin(str(self), reference.strip()))
        if self.fragment and "#" not in reference:
            joined.fragment = self.fragment
        return joined

    def with_params(self, params: Params) -> Url:
        """Add parameters to the query."""
        added = params.lstrip("?") if isinstance(params, str) else format_query(_pairs(params))
        if not added:
            return self
        copy = Url.__new__(Url)
        for name in Url.__slots__:
            setattr(copy, name, getattr(self, name))
        target = f"{self.target}{'&' if '?' in self.target else '?'}{added}"
        copy.target = _encoded(target) if _UNSAFE.search(target) else target
        return copy

    def __str__(self) -> str:
        fragment = f"#{self.fragment}" if self.fragment else ""
        return f"{self.scheme}://{self.authority}{self.target}{fragment}"

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Url):
            return str(self) == str(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


def _port(digits: str, text: str) -> int:
    port = int(digits) if len(digits) <= 5 else 65536
    if not 0 < port <= 65535:
        raise UrlError(f"{text!r}: the port is not between 1 and 65535")
    return port


def _host(name: str, text: str) -> str:
    host = name.lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise UrlError(f"{text!r}: {name!r} is no name of a host: {error}") from None
    if _HOST.fullmatch(host) is None:
        raise UrlError(f"{text!r}: {name!r} is no name of a host (RFC 3986 §3.2.2)")
    return host


def _userinfo(text: str) -> tuple[str, str]:
    user, _, password = text.partition(":")
    return unquote(user), unquote(password)


def _encoded(target: str) -> str:
    target = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", target)
    return quote(target.partition("#")[0], safe=_KEPT)


def _pairs(params: Mapping[str, object] | Iterable[tuple[str, object]]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in params.items() if isinstance(params, Mapping) else params:
        values = value if isinstance(value, list | tuple) else (value,)
        found += [(str(name), _param(each)) for each in values]
    return found


def _param(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
