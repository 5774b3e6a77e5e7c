"""Who the client is behind proxies: what their header fields say, and how far it is believed.

Each proxy appends whom it received the request from. The list is walked from its end, which the nearest proxy
wrote, for as long as it names proxies that are trusted; the first that is not is the client. Nothing to the
left of it was written by anybody we know. An entry that is no address ends the walk where it got to.

Specified in RFC 7239 for `Forwarded`; `X-Forwarded-*` is what everybody does.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from rocket_sup.http.grammar import HOST

Address = tuple[str, int]
IsTrusted = Callable[[str], bool]

_X_FORWARDED: Final = re.compile(rb"\r\n(?i:X-Forwarded-(For|Proto|Host)):[\t ]*+([^\r]*+)")
_FORWARDED: Final = re.compile(rb"\r\n(?i:Forwarded):[\t ]*+([^\r]*+)")
# forwarded-pair = token "=" ( token / quoted-string ), then ";" or "," or the end           RFC 7239 §4
_PAIR: Final = re.compile(
    r'[\t ]*+([!#$%&\'*+.^_`|~0-9A-Za-z-]++)=(?:"((?:[^"\\]|\\.)*+)"|([^",;\t ]*+))[\t ]*+(;|,|\Z)'
)
_SCHEMES: Final = frozenset({"http", "https"})
# WebSockets are asked for over HTTP; some proxies name what they were asked for.
_SAME_AS: Final = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class Origin:
    """What trusted proxies say about a request.

    Attributes:
        client: address and port, 0 when nobody said it; None when nobody said anything.
        scheme: "http" or "https"; None when nobody said it.
        host: `host[:port]`, valid; None when nobody said it.
    """

    client: Address | None = None
    scheme: str | None = None
    host: str | None = None


NOTHING: Final = Origin()


@dataclass(slots=True)
class _Hop:
    """What one proxy says about whom it received the request from."""

    node: str = ""
    proto: str = ""
    host: str = ""


def from_x_forwarded(fields: bytes, is_trusted: IsTrusted, *, takes_host: bool = False) -> Origin:
    """Read X-Forwarded-For, -Proto and -Host.

    Args:
        fields: field lines, each preceded by CRLF, from a peer that is trusted.
        is_trusted: says of an address whether it is a proxy of ours.
        takes_host: read the host as well.
    """
    lists: dict[bytes, list[str]] = {b"for": [], b"proto": [], b"host": []}
    for name, value in _X_FORWARDED.findall(fields):
        lists[name.lower()].extend(each.strip("\t ") for each in value.decode("latin-1").split(","))
    nodes, protos, hosts = lists.values()
    index, client = _walk(nodes, is_trusted)
    scheme = _scheme(_beside(protos, index, len(nodes)))
    return Origin(client, scheme, _host(_beside(hosts, index, len(nodes))) if takes_host else None)


def from_forwarded(fields: bytes, is_trusted: IsTrusted, *, takes_host: bool = False) -> Origin:
    """Read Forwarded (RFC 7239); see `from_x_forwarded`. A field that is malformed says nothing."""
    text = b",".join(_FORWARDED.findall(fields)).decode("latin-1")
    hops = _hops(text) if text else []
    if not hops:
        return NOTHING
    index, client = _walk([hop.node for hop in hops], is_trusted)
    return Origin(client, _scheme(hops[index].proto), _host(hops[index].host) if takes_host else None)


def read_node(text: str) -> Address | None:
    """Read an address with or without a port: `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`."""
    host, port = text, ""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        if port and not port.startswith(":"):
            return None
        port = port[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    return str(address), number if number <= 65535 else 0


def _walk(nodes: list[str], is_trusted: IsTrusted) -> tuple[int, Address | None]:
    """Find the client in a list of nodes: its index, and its address if any node said one."""
    index, client = len(nodes) - 1, None
    for place in range(len(nodes) - 1, -1, -1):
        address = read_node(nodes[place])
        if address is None:
            break
        index, client = place, address
        if not is_trusted(address[0]):
            break
    return index, client


def _beside(values: list[str], index: int, nodes: int) -> str:
    """Take the value that belongs to a node; of a list of another length the last, which is the nearest
    proxy's.
    """
    if not values:
        return ""
    return values[index] if len(values) == nodes else values[-1]


def _hops(text: str) -> list[_Hop]:
    """Cut a Forwarded field into its elements; none when it is malformed anywhere."""
    hops = [_Hop()]
    position = 0
    while position < len(text):
        match = _PAIR.match(text, position)
        if match is None:
            return []
        name, quoted, token, after = match.groups()
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else token
        hop = hops[-1]
        match name.lower():
            case "for":
                hop.node = value
            case "proto":
                hop.proto = value
            case "host":
                hop.host = value
        position = match.end()
        if after == ",":
            hops.append(_Hop())
        elif not after:
            break
    return hops


def _scheme(text: str) -> str | None:
    scheme = _SAME_AS.get(text.lower(), text.lower())
    return scheme if scheme in _SCHEMES else None


def _host(text: str) -> str | None:
    return text if HOST.fullmatch(text.encode("latin-1")) is not None else None


class TrustedPeers:
    """Addresses and networks that are believed; asked again and again about the same few."""

    _REMEMBERED: Final = 4096

    def __init__(self, entries: Iterable[str]) -> None:
        """Read what the configuration lists.

        Raises:
            ValueError: an entry is no address, no network, neither "unix" nor "*"; the text says which.
        """
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        self.everybody = self.unix = False
        for entry in entries:
            if entry == "*":
                self.everybody = self.unix = True
            elif entry == "unix":
                self.unix = True
            else:
                try:
                    self._networks.append(ipaddress.ip_network(entry))
                except ValueError as error:
                    raise ValueError(
                        f'"{entry}" is neither an address nor a network nor "unix" nor "*": {error}'
                    ) from None
        self._known: dict[str, bool] = {}

    def trusts(self, address: str) -> bool:
        """Say whether an address is believed."""
        if self.everybody:
            return True
        known = self._known.get(address)
        if known is None:
            known = self._is_in_a_network(address)
            if len(self._known) >= self._REMEMBERED:
                self._known.clear()
            self._known[address] = known
        return known

    def _is_in_a_network(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])  # without the zone of a link-local one
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped  # a client over IPv4 of a socket for both
        return any(address in network for network in self._networks)
