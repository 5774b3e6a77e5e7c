"""The PROXY protocol: how a proxy that understands no HTTP says for whom it has opened a connection.

A line of text (version 1) or a binary block (version 2) stands before the first byte of the client. `feed`
takes received bytes until it is whole, and is bounded: of more than the longest preamble there is nothing to
wait for. Whoever is allowed to send one is decided elsewhere; whoever is has to.

Specified in haproxy.org/download/2.8/doc/proxy-protocol.txt.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from rocket_sup.errors import RemoteProtocolError

MAX_LINE: Final = 107  # of version 1, §2.1: "the worst case"
MAX_BLOCK: Final = 4096  # of version 2, with TLVs; 536 without options is the specification's usual case

LONGEST: Final = 16 + MAX_BLOCK  # bytes of any preamble

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_HEADER_BYTES: Final = 16
_LINE: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*+)?|TCP([46]) ([^ ]++) ([^ ]++) ([0-9]{1,5}+) ([0-9]{1,5}+))"
)
_LOCAL, _PROXIED = 0x20, 0x21
# Family and protocol, §2.2: bytes of one address; other families name nobody we could.
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESS_BYTES: Final = {_TCP4: 4, _TCP6: 16}


@dataclass(frozen=True, slots=True)
class Announced:
    """A whole preamble.

    Attributes:
        client: address and port; None when the proxy speaks for itself, or does not know.
        end: index of the first byte of the client.
    """

    client: tuple[str, int] | None
    end: int


def read_preamble(received: bytes) -> Announced | None:
    """Read what a proxy announces.

    Args:
        received: everything since the connection was opened.

    Returns: None while it is not whole.
    Raises:
        RemoteProtocolError: it is not, or will never be, a preamble.
    """
    if received.startswith(_SIGNATURE):
        return _read_block(received)
    if received.startswith(b"PROXY "):
        return _read_line(received)
    if _SIGNATURE.startswith(received) or b"PROXY ".startswith(received):
        return None
    raise RemoteProtocolError("a trusted proxy did not begin with the PROXY protocol (§2)")


def _read_line(received: bytes) -> Announced | None:
    end = received.find(b"\r\n", 0, MAX_LINE)
    if end < 0:
        if len(received) >= MAX_LINE or b"\n" in received:
            raise RemoteProtocolError(f"the PROXY line does not end within {MAX_LINE} bytes (§2.1)")
        return None
    match = _LINE.fullmatch(received, 0, end)
    if match is None:
        raise RemoteProtocolError("the PROXY line is malformed (§2.1)")
    family, source, _, port, _ = match.groups()
    if family is None:
        return Announced(None, end + 2)
    try:
        address = ipaddress.ip_address(source.decode("latin-1"))
    except ValueError:
        raise RemoteProtocolError("the PROXY line has no valid address (§2.1)") from None
    if address.version != int(family) or int(port) > 65535:
        raise RemoteProtocolError("the PROXY line has no valid address (§2.1)")
    return Announced((str(address), int(port)), end + 2)


def _read_block(received: bytes) -> Announced | None:
    if len(received) < _HEADER_BYTES:
        return None
    command, family = received[12], received[13]
    size = int.from_bytes(received[14:16], "big")
    if command not in (_LOCAL, _PROXIED):
        raise RemoteProtocolError("neither version 2 nor a known command of the PROXY protocol (§2.2)")
    if size > MAX_BLOCK:
        raise RemoteProtocolError(f"the PROXY block is larger than {MAX_BLOCK} bytes (§2.2)")
    end = _HEADER_BYTES + size
    if len(received) < end:
        return None
    width = _ADDRESS_BYTES.get(family)
    if command == _LOCAL or width is None:
        return Announced(None, end)
    if size < 2 * width + 4:
        raise RemoteProtocolError("the PROXY block is too short for its addresses (§2.2)")
    source = received[_HEADER_BYTES : _HEADER_BYTES + width]
    at = _HEADER_BYTES + 2 * width
    return Announced((str(ipaddress.ip_address(source)), int.from_bytes(received[at : at + 2], "big")), end)
