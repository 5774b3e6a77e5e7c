"""The opening handshake of a WebSocket: what a request asks for, and whether it may have it.

A request that does not ask is left to others; one that asks is checked whole, and refused with what would
have been right. Subprotocol and compression are chosen from what the client offers. Nothing here sends
anything. Specified in RFC 6455 §4 and §9.1, and RFC 7692 §5 and §7.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rocket_sup.http.grammar import TOKEN
from rocket_sup.http.headers import Headers
from rocket_sup.http.wsframes import Deflate

VERSION: Final = "13"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
# 4 KiB of window and as much again for what is found in it: messages of text hardly gain from more, and every
# connection has it (`websockets` has measured the same).
_OUT_BITS: Final = 12
_IN_BITS: Final = 15  # whatever a client uses if it cannot be asked for less
_LEAST_OUT_BITS: Final = 9  # zlib writes no window of 8 bits

_TOKEN: Final = TOKEN.decode("ascii")
_TOKENS: Final = re.compile(_TOKEN)
# Groups are not possessive: Python 3.11.2 matches those wrongly (gh-106052).
# extension-param = token [ "=" (token | quoted-string) ], and the string holds a token     RFC 6455 §9.1
_PARAMETER: Final = rf'[ \t]*+;[ \t]*+({_TOKEN})(?:[ \t]*+=[ \t]*+(?:({_TOKEN})|"({_TOKEN})"))?'
_PARAMETERS: Final = re.compile(_PARAMETER)
_EXTENSION: Final = re.compile(rf"({_TOKEN})((?:{_PARAMETER})*)[ \t]*+")
_EMPTY: Final = "\t ,"  # members of a list that are empty mean nothing (RFC 9110 §5.6.1)
_NAMED_BITS: Final = re.compile("[89]|1[0-5]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a handshake fails.

    Attributes:
        status: 400, 403 or 426.
        reason: for the client.
        fields: that the answer must have.
    """

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a valid request asks for.

    Attributes:
        accept: value of Sec-WebSocket-Accept.
        subprotocols: in the order the client prefers.
        extensions: offers of permessage-deflate: their parameters, those without a value as "".
    """

    accept: str
    subprotocols: tuple[str, ...]
    extensions: tuple[tuple[tuple[str, str], ...], ...]


def is_upgrade(version: str, headers: Headers) -> bool:
    """Tell whether a GET asks for a WebSocket, well or badly (RFC 9110 §7.8).

    Args:
        version: of HTTP, as "1.1"; HTTP/1.0 cannot ask.
        headers: of the request.
    """
    if version != "1.1":
        return False
    return "websocket" in _members(headers, "upgrade") and "upgrade" in _members(headers, "connection")


def refuse_plain() -> Refusal:
    """Answer a request that asks for no WebSocket, where there is nothing else (RFC 9110 §15.5.22)."""
    return Refusal(426, "this is a WebSocket (RFC 6455 4.2.1)", _UPGRADE)


_UPGRADE: Final = (("Upgrade", "websocket"),)


def read_handshake(headers: Headers, origins: Iterable[str] | None = None) -> Handshake | Refusal:
    """Check a GET for which `is_upgrade` holds.

    Args:
        headers: of the request.
        origins: whose scripts may connect, as "https://example.com"; None for all. A client without an
            Origin is no browser, and nobody's script.
    """
    versions = headers.get_all("sec-websocket-version")
    if versions != [VERSION]:
        found = " and ".join(versions) or "none"
        fields = (*_UPGRADE, ("Sec-WebSocket-Version", VERSION))
        return Refusal(426, f"Sec-WebSocket-Version is {found}; it has to be 13 (RFC 6455 4.4)", fields)
    keys = headers.get_all("sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        return Refusal(400, "there has to be one Sec-WebSocket-Key of 16 bytes (RFC 6455 4.1)")
    if "transfer-encoding" in headers or headers.get("content-length", "0").strip("0"):
        return Refusal(400, "a handshake has no content (RFC 6455 4.1)")
    if not _is_allowed(headers.get_all("origin"), origins):
        return Refusal(403, "this origin may not connect (RFC 6455 10.2)")
    lines = headers.get_all("sec-websocket-protocol")
    offered = [name.strip("\t ") for line in lines for name in line.split(",") if name.strip("\t ")]
    if any(_TOKENS.fullmatch(name) is None for name in offered) or len(set(offered)) != len(offered):
        return Refusal(400, "Sec-WebSocket-Protocol is no list of different tokens (RFC 6455 4.1)")
    extensions = _read_extensions(headers.get_all("sec-websocket-extensions"))
    if extensions is None:
        return Refusal(400, "Sec-WebSocket-Extensions is malformed (RFC 6455 9.1)")
    digest = hashlib.sha1(keys[0].encode("ascii") + _GUID, usedforsecurity=False).digest()
    return Handshake(base64.b64encode(digest).decode("ascii"), tuple(offered), extensions)


def choose_subprotocol(offered: Sequence[str], ours: Sequence[str]) -> str | None:
    """Choose the first of ours that the client offers; None when there is none."""
    return next((name for name in ours if name in offered), None)


def choose_deflate(handshake: Handshake) -> tuple[Deflate, str] | None:
    """Choose the first offer of compression that can be taken.

    Returns: what is agreed, and the value of Sec-WebSocket-Extensions; None when there is none.
    """
    for offer in handshake.extensions:
        taken = _take_offer(offer)
        if taken is not None:
            return taken
    return None


def _take_offer(offer: Sequence[tuple[str, str]]) -> tuple[Deflate, str] | None:
    """Accept one offer, or decline it for a parameter that is unknown, repeated or out of range."""
    parameters = dict(offer)
    if len(parameters) != len(offer):
        return None
    answer = ["permessage-deflate"]
    out_bits, in_bits = _OUT_BITS, _IN_BITS
    in_takeover = out_takeover = True
    for name, value in offer:
        if name == "server_no_context_takeover" and not value:
            out_takeover = False
            answer.append(name)
        elif name == "client_no_context_takeover" and not value:
            in_takeover = False
            answer.append(name)
        elif name == "server_max_window_bits" and _NAMED_BITS.fullmatch(value) is not None:
            out_bits = min(int(value), out_bits)
            if out_bits < _LEAST_OUT_BITS:
                return None
        elif name == "client_max_window_bits" and (not value or _NAMED_BITS.fullmatch(value) is not None):
            in_bits = min(int(value or _IN_BITS), _OUT_BITS)
        else:
            return None
    answer.append(f"server_max_window_bits={out_bits}")
    if "client_max_window_bits" in parameters:
        answer.append(f"client_max_window_bits={in_bits}")
    return Deflate(in_bits, in_takeover, out_bits, out_takeover), "; ".join(answer)


def _read_extensions(lines: Sequence[str]) -> tuple[tuple[tuple[str, str], ...], ...] | None:
    """Read the offers of permessage-deflate; None when a line is malformed."""
    offers = []
    for line in lines:
        rest = line.strip(_EMPTY)
        while rest:
            match = _EXTENSION.match(rest)
            if match is None:
                return None
            if match[1] == "permessage-deflate":
                pairs = ((name, bare or quoted) for name, bare, quoted in _PARAMETERS.findall(match[2]))
                offers.append(tuple(pairs))
            rest = rest[match.end() :]
            if rest and rest[0] != ",":
                return None
            rest = rest.strip(_EMPTY)
    return tuple(offers)


def _members(headers: Headers, name: str) -> set[str]:
    return {member.strip("\t ").lower() for line in headers.get_all(name) for member in line.split(",")}


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        return False


def _is_allowed(found: Sequence[str], origins: Iterable[str] | None) -> bool:
    if origins is None or not found:
        return True
    return len(found) == 1 and found[0].lower() in {origin.lower() for origin in origins}
