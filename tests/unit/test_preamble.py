"""The PROXY protocol: who is announced, cut anywhere, and what is none."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.preamble import MAX_BLOCK, MAX_LINE, Announced, read_preamble

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def block(command: int, family: int, payload: bytes) -> bytes:
    """A preamble of version 2."""
    return SIGNATURE + bytes([command, family]) + len(payload).to_bytes(2, "big") + payload


def addresses(source: str, destination: str) -> bytes:
    """Two addresses with ports 4711 and 80."""
    packed = [ipaddress.ip_address(each).packed for each in (source, destination)]
    return b"".join(packed) + (4711).to_bytes(2, "big") + (80).to_bytes(2, "big")


V4 = addresses("192.0.2.1", "192.0.2.2")
V6 = addresses("2001:db8::1", "2001:db8::2")
WHOLE = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n", ("192.0.2.1", 4711)),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\n", ("2001:db8::1", 4711)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    (block(0x21, 0x11, V4), ("192.0.2.1", 4711)),
    (block(0x21, 0x21, V6), ("2001:db8::1", 4711)),
    (block(0x21, 0x11, V4 + b"\x04\x00\x01x"), ("192.0.2.1", 4711)),
    (block(0x20, 0x00, b""), None),
    (block(0x20, 0x11, V4), None),
    (block(0x21, 0x31, b"x" * 216), None),
    (block(0x21, 0x00, b""), None),
]


@pytest.mark.parametrize(("sent", "client"), WHOLE)
def test_a_whole_preamble(sent: bytes, client: tuple[str, int] | None) -> None:
    """What stands behind it is the client's; before its last byte there is nothing to be said."""
    assert Announced(client, len(sent)) == read_preamble(sent + b"GET / HTTP/1.1\r\n")
    assert [read_preamble(sent[:size]) for size in range(len(sent))] == [None] * len(sent)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n",
        b"\r\n\r\nX",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
        b"PROXY TCP4 192.0.2.1  192.0.2.2 4711 80\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 80\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        b"PROXY TCP4 " + b"1" * MAX_LINE,
        block(0x11, 0x11, V4),
        block(0x22, 0x11, V4),
        block(0x21, 0x11, V4[:-1]),
        block(0x21, 0x21, V4),
        block(0x21, 0x11, b"x" * (MAX_BLOCK + 1))[:16],
    ],
)
def test_what_is_no_preamble_is_refused(sent: bytes) -> None:
    """At once, not when a deadline passes."""
    with pytest.raises(RemoteProtocolError):
        read_preamble(sent)


@given(st.binary(max_size=80), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]))
def test_whatever_comes_is_read_or_refused(rest: bytes, start: bytes) -> None:
    """Nothing else is raised, and nothing behind what was received is believed."""
    try:
        found = read_preamble(start + rest)
    except RemoteProtocolError:
        return

    assert found is None or found.end <= len(start + rest)
