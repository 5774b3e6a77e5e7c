"""Who the client is: as far as proxies are trusted, and no further."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.http.forwarded import (
    NOTHING,
    Origin,
    TrustedPeers,
    from_forwarded,
    from_x_forwarded,
    read_node,
)

OURS = TrustedPeers(["10.0.0.0/8", "fd00::/8"])


def block(*lines: str) -> bytes:
    """Field lines as a request has them."""
    return "".join(f"\r\n{line}" for line in lines).encode("latin-1")


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
        (["X-Forwarded-For: 192.0.2.1, 10.0.0.1"], "192.0.2.1"),
        (["X-Forwarded-For: 203.0.113.9, 192.0.2.1, 10.0.0.1"], "192.0.2.1"),
        (["X-Forwarded-For: 192.0.2.1", "x-forwarded-for: 10.0.0.1"], "192.0.2.1"),
        (["X-Forwarded-For: 10.0.0.2, 10.0.0.1"], "10.0.0.2"),
        (["X-Forwarded-For: unknown, 10.0.0.1"], "10.0.0.1"),
        (["X-Forwarded-For: 192.0.2.1, garbage"], None),
        (["X-Forwarded-For: 192.0.2.1,"], None),
        (["X-Forwarded-For:"], None),
        (["X_Forwarded_For: 192.0.2.1"], None),
        (["X-Forwarded-For: 192.0.2.1", "Forwarded: for=203.0.113.9"], "192.0.2.1"),
        ([], None),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_not_ours(
    lines: list[str], client: str | None
) -> None:
    """What a client wrote itself stands to the left of that."""
    found = from_x_forwarded(block(*lines), OURS.trusts).client

    assert client == (found and found[0])


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        (["X-Forwarded-Proto: https"], "https"),
        (["X-Forwarded-Proto: HTTPS"], "https"),
        (["X-Forwarded-Proto: wss"], "https"),
        (["X-Forwarded-Proto: ftp"], None),
        (["X-Forwarded-Proto: https, http"], "http"),
        (["X-Forwarded-For: 192.0.2.1, 10.0.0.1", "X-Forwarded-Proto: https, http"], "https"),
        (["X-Forwarded-For: 203.0.113.9, 192.0.2.1", "X-Forwarded-Proto: https, http"], "http"),
    ],
)
def test_the_scheme_is_what_the_client_used(lines: list[str], scheme: str | None) -> None:
    """Of a list, the one beside the client; else the nearest proxy's."""
    assert scheme == from_x_forwarded(block(*lines), OURS.trusts).scheme


def test_the_host_is_taken_when_that_is_wanted() -> None:
    """And when it is one."""
    lines = block("X-Forwarded-Host: a.example:8443")

    assert from_x_forwarded(lines, OURS.trusts).host is None
    assert from_x_forwarded(lines, OURS.trusts, takes_host=True).host == "a.example:8443"
    assert from_x_forwarded(block("X-Forwarded-Host: a b"), OURS.trusts, takes_host=True).host is None


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("for=192.0.2.1;proto=https;host=a.example", Origin(("192.0.2.1", 0), "https", "a.example")),
        ('For="[2001:db8::1]:4711"', Origin(("2001:db8::1", 4711))),
        (
            "for=203.0.113.9, for=192.0.2.1;proto=https, for=10.0.0.1;proto=http",
            Origin(("192.0.2.1", 0), "https"),
        ),
        ('for=192.0.2.1;by="a\\"b;,"', Origin(("192.0.2.1", 0))),
        ("for=_hidden, for=10.0.0.1;proto=https", Origin(("10.0.0.1", 0), "https")),
        ("for=_hidden;proto=https", Origin(None, "https")),
        ("for=192.0.2.1;", Origin(("192.0.2.1", 0))),
        ("proto=https", Origin(None, "https")),
        ("for=192.0.2.1 proto=https", NOTHING),
        ('for="192.0.2.1', NOTHING),
        ("for", NOTHING),
        ("", NOTHING),
    ],
)
def test_forwarded(value: str, origin: Origin) -> None:
    """RFC 7239: pairs, quoted or not, an element for each proxy."""
    assert origin == from_forwarded(block(f"Forwarded: {value}"), OURS.trusts, takes_host=True)


def test_forwarded_in_several_lines_is_one_list() -> None:
    """RFC 9110 §5.3."""
    lines = block("Forwarded: for=192.0.2.1", "forwarded: for=10.0.0.1", "X-Forwarded-For: 203.0.113.9")

    assert from_forwarded(lines, OURS.trusts).client == ("192.0.2.1", 0)


@given(st.text(st.sampled_from('for=;,"\\[]:_a1. \t'), max_size=60))
def test_whatever_is_sent_is_read_or_says_nothing(value: str) -> None:
    """Nothing is raised."""
    assert isinstance(from_forwarded(block(f"Forwarded: {value}"), OURS.trusts), Origin)
    assert isinstance(from_x_forwarded(block(f"X-Forwarded-For: {value}"), OURS.trusts), Origin)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("192.0.2.1:99999", ("192.0.2.1", 0)),
        ("192.0.2.1:_a", ("192.0.2.1", 0)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:db8::1]", ("2001:db8::1", 0)),
        ("[2001:db8::1]:443", ("2001:db8::1", 443)),
        ("[2001:db8::1]443", None),
        ("unknown", None),
        ("", None),
        ("[", None),
        ("a:b", None),
    ],
)
def test_a_node_is_an_address_perhaps_with_a_port(text: str, address: tuple[str, int] | None) -> None:
    """Hidden and unknown ones are no addresses."""
    assert address == read_node(text)


@pytest.mark.parametrize(
    ("address", "is_trusted"),
    [
        ("10.255.0.1", True),
        ("::ffff:10.0.0.1", True),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("11.0.0.1", False),
        ("::1", False),
        ("", False),
        ("name", False),
    ],
)
def test_who_is_trusted(address: str, is_trusted: bool) -> None:
    """Addresses of the networks, and those of IPv4 that come over IPv6."""
    assert is_trusted == OURS.trusts(address)
    assert is_trusted == OURS.trusts(address)


def test_everybody_and_unix_sockets() -> None:
    """Two words of their own."""
    assert TrustedPeers(["*"]).trusts("anything")
    assert TrustedPeers(["*"]).unix
    assert TrustedPeers(["unix"]).unix
    assert not TrustedPeers(["unix"]).trusts("127.0.0.1")
    assert not OURS.unix


def test_what_is_remembered_is_bounded() -> None:
    """A network may be large."""
    peers = TrustedPeers(["::/0"])
    for number in range(2 * TrustedPeers._REMEMBERED):
        assert peers.trusts(f"::{number:x}")

    assert len(peers._known) <= TrustedPeers._REMEMBERED


def test_an_entry_that_means_nothing_is_refused() -> None:
    """And named."""
    with pytest.raises(ValueError, match=r'"proxy\.example"'):
        TrustedPeers(["proxy.example"])
