"""`rocket_sup.http.wshandshake`: who asks for a WebSocket, and what is agreed."""

from __future__ import annotations

import pytest

from rocket_sup.http.headers import Headers
from rocket_sup.http.wsframes import Deflate
from rocket_sup.http.wshandshake import (
    Handshake,
    Refusal,
    choose_deflate,
    choose_subprotocol,
    is_upgrade,
    read_handshake,
    refuse_plain,
)

# RFC 6455 §1.3
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
GOOD = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}


def handshake(**more: str) -> Handshake | Refusal:
    """Read a good handshake with other fields; underscores stand for hyphens."""
    return read_handshake(
        Headers({**GOOD, **{name.replace("_", "-"): value for name, value in more.items()}})
    )


def agreed(offer: str) -> tuple[Deflate, str] | None:
    """Choose from offers."""
    found = handshake(Sec_WebSocket_Extensions=offer)
    assert isinstance(found, Handshake)
    return choose_deflate(found)


def test_a_good_handshake() -> None:
    """The example of the RFC."""
    assert Handshake(ACCEPT, (), ()) == handshake()
    assert is_upgrade("1.1", Headers(GOOD))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"Upgrade": "websocket", "Connection": "keep-alive, Upgrade"}, True),
        ({"Upgrade": "h2c, WebSocket", "Connection": "UPGRADE"}, True),
        ({"Upgrade": "websocket"}, False),
        ({"Connection": "Upgrade"}, False),
        ({"Upgrade": "h2c", "Connection": "Upgrade"}, False),
        ({"Upgrade": "websocket2", "Connection": "Upgrade"}, False),
        ({"Upgrade": "websocket", "Connection": "close"}, False),
        ({}, False),
    ],
)
def test_who_asks(fields: dict[str, str], expected: bool) -> None:
    """Both fields say so, in any letter case and among others; HTTP/1.0 cannot ask."""
    assert expected is is_upgrade("1.1", Headers(fields))
    assert not is_upgrade("1.0", Headers(fields))


@pytest.mark.parametrize("version", ["12", "8", "13, 8", "", "013", "+13"])
def test_another_version(version: str) -> None:
    """426 names the one there is."""
    refusal = handshake(Sec_WebSocket_Version=version)

    assert isinstance(refusal, Refusal)
    assert 426 == refusal.status
    assert ("Sec-WebSocket-Version", "13") in refusal.fields
    assert ("Upgrade", "websocket") in refusal.fields


def test_no_version_and_two() -> None:
    """Neither is one of 13."""
    fields = Headers(GOOD)
    fields.add("Sec-WebSocket-Version", "13")
    assert isinstance(two := read_handshake(fields), Refusal)
    assert 426 == two.status
    del fields["Sec-WebSocket-Version"]
    assert isinstance(none := read_handshake(fields), Refusal)
    assert 426 == none.status


@pytest.mark.parametrize(
    "key", ["", "AAAA", "not base64 at all!", KEY[:-2], KEY + "AAAA", "é" * 24, KEY.replace("=", "%")]
)
def test_a_bad_key(key: str) -> None:
    """It has to be 16 bytes."""
    refusal = handshake(Sec_WebSocket_Key=key)

    assert isinstance(refusal, Refusal)
    assert 400 == refusal.status


def test_no_key_and_two() -> None:
    """There has to be one."""
    fields = Headers(GOOD)
    fields.add("Sec-WebSocket-Key", KEY)
    assert isinstance(two := read_handshake(fields), Refusal)
    assert 400 == two.status
    del fields["Sec-WebSocket-Key"]
    assert isinstance(none := read_handshake(fields), Refusal)
    assert 400 == none.status


@pytest.mark.parametrize("name", ["Content_Length", "Transfer_Encoding"])
def test_content(name: str) -> None:
    """What would follow the head are frames, and nothing else."""
    refusal = handshake(**{name: "5" if name == "Content_Length" else "chunked"})

    assert isinstance(refusal, Refusal)
    assert 400 == refusal.status
    assert isinstance(handshake(Content_Length="0"), Handshake)


def test_origins() -> None:
    """Scripts of others may not connect; who is no script may."""
    ours = ["https://example.com", "https://app.example.com:8443"]
    foreign = Headers({**GOOD, "Origin": "https://evil.example"})

    assert isinstance(read_handshake(foreign), Handshake)
    assert isinstance(refusal := read_handshake(foreign, ours), Refusal)
    assert 403 == refusal.status
    assert isinstance(read_handshake(Headers(GOOD), ours), Handshake)
    for origin in [*ours, "HTTPS://EXAMPLE.COM"]:
        assert isinstance(read_handshake(Headers({**GOOD, "Origin": origin}), ours), Handshake)
    foreign.add("Origin", ours[0])
    assert isinstance(read_handshake(foreign, ours), Refusal)


def test_subprotocols() -> None:
    """The client's list is kept, over several lines; ours decides what is best."""
    fields = Headers({**GOOD, "Sec-WebSocket-Protocol": "chat, superchat"})
    fields.add("Sec-WebSocket-Protocol", "mqtt")
    found = read_handshake(fields)
    assert isinstance(found, Handshake)

    assert ("chat", "superchat", "mqtt") == found.subprotocols
    assert "mqtt" == choose_subprotocol(found.subprotocols, ("amqp", "mqtt", "chat"))
    assert choose_subprotocol(found.subprotocols, ("amqp",)) is None


@pytest.mark.parametrize("value", ["a b", "chat, chat", "ch@t"])
def test_bad_subprotocols(value: str) -> None:
    """They are tokens, each another one."""
    refusal = handshake(Sec_WebSocket_Protocol=value)

    assert isinstance(refusal, Refusal)
    assert 400 == refusal.status


@pytest.mark.parametrize(
    ("offer", "deflate", "answer"),
    [
        ("permessage-deflate", Deflate(15, True, 12, True), "server_max_window_bits=12"),
        (
            "permessage-deflate; client_max_window_bits",
            Deflate(12, True, 12, True),
            "server_max_window_bits=12; client_max_window_bits=12",
        ),
        (
            "permessage-deflate; client_max_window_bits=10; server_max_window_bits=9",
            Deflate(10, True, 9, True),
            "server_max_window_bits=9; client_max_window_bits=10",
        ),
        (
            'permessage-deflate ; server_max_window_bits = "10"',
            Deflate(15, True, 10, True),
            "server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            Deflate(15, False, 12, False),
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12",
        ),
        (
            "x-other; a=1, permessage-deflate; server_max_window_bits=8, permessage-deflate",
            Deflate(15, True, 12, True),
            "server_max_window_bits=12",
        ),
    ],
)
def test_compression_that_is_agreed(offer: str, deflate: Deflate, answer: str) -> None:
    """The first offer that can be taken is, with windows that are small enough to have many."""
    assert (deflate, f"permessage-deflate; {answer}") == agreed(offer)


@pytest.mark.parametrize(
    "offer",
    [
        "x-other",
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=7",
    ],
)
def test_compression_that_is_declined(offer: str) -> None:
    """A parameter that is unknown, repeated, out of range, or more than zlib can (RFC 7692 §7.1)."""
    assert agreed(offer) is None


@pytest.mark.parametrize(
    "value",
    [";", "permessage-deflate;", "permessage-deflate; a=", "a b", 'a; b="c d"', 'a; b="', "a;=b"],
)
def test_malformed_extensions(value: str) -> None:
    """What is no list of extensions is refused, not guessed (RFC 6455 §9.1)."""
    refusal = handshake(Sec_WebSocket_Extensions=value)

    assert isinstance(refusal, Refusal)
    assert 400 == refusal.status


def test_empty_members_of_lists_mean_nothing() -> None:
    """As everywhere in HTTP (RFC 9110 §5.6.1)."""
    found = handshake(
        Sec_WebSocket_Protocol="chat, ,", Sec_WebSocket_Extensions=",, x-other ,,permessage-deflate,"
    )
    assert isinstance(found, Handshake)

    assert (("chat",), ((),)) == (found.subprotocols, found.extensions)


def test_a_request_that_does_not_ask() -> None:
    """It is told what would be right."""
    refusal = refuse_plain()

    assert 426 == refusal.status
    assert ("Upgrade", "websocket") in refusal.fields
