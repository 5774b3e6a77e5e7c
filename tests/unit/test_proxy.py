"""What a trusted proxy says becomes the request's, and nobody else's does."""

from __future__ import annotations

import pytest

from rocket_sup.config import LimitsConfig
from rocket_sup.config_proxy import ProxyConfig
from rocket_sup.hooks import Client
from rocket_sup.http.framing import parse_head
from rocket_sup.proxy import believe_proxies, hook_of
from rocket_sup.request import Request
from rocket_sup.router import Router

NEAR = ("127.0.0.1", 5000)
LINES = "X-Forwarded-For: 192.0.2.1:80\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b.example\r\n"


def request(lines: str, client: Client) -> Request:
    """A request with header fields."""
    head = parse_head(f"GET / HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n".encode(), 0, LimitsConfig())
    assert head is not None
    return Request(head, client)


@pytest.mark.parametrize("peer", [NEAR, ("::1", 1, 0, 0), ""])
def test_a_trusted_proxy_is_believed(peer: Client) -> None:
    """Client and scheme; the host if that is wanted."""
    asked = request(LINES, peer)
    hook_of(ProxyConfig(headers="x-forwarded"))(asked)

    assert asked.client == ("192.0.2.1", 80)
    assert asked.scheme == "https"
    assert asked.host == "a.example"


def test_the_host_is_believed_when_that_is_wanted() -> None:
    """For handlers, and for adapters that read the fields themselves."""
    asked = request(LINES, NEAR)
    hook_of(ProxyConfig(headers="x-forwarded", host=True))(asked)

    assert asked.host == "b.example"
    assert asked.forwarded is not None
    assert asked.forwarded.host == "b.example"


@pytest.mark.parametrize(
    ("config", "peer"),
    [
        (ProxyConfig(headers="x-forwarded"), ("192.0.2.9", 1)),
        (ProxyConfig(trusted=("192.0.2.9",)), NEAR),
        (ProxyConfig(trusted=("192.0.2.9",)), ""),
        (ProxyConfig(headers="forwarded"), NEAR),
    ],
)
def test_nobody_else_is(config: ProxyConfig, peer: Client) -> None:
    """Another peer, or the fields of another family."""
    asked = request(LINES, peer)
    hook_of(config)(asked)

    assert asked.client == peer
    assert asked.scheme == "http"


def test_a_proxy_that_says_nothing_is_the_client() -> None:
    """It may ask for itself."""
    asked = request("", NEAR)
    hook_of(ProxyConfig(headers="forwarded", host=True))(asked)

    assert (asked.client, asked.scheme, asked.host) == (NEAR, "http", "a.example")


def test_it_costs_nothing_when_it_is_off() -> None:
    """There is no hook; else it is the first."""
    off, on = Router(), Router()
    on.on_pre_routing(lambda request: None)
    believe_proxies(off, ProxyConfig())
    believe_proxies(on, ProxyConfig(trusted=("*",)))

    assert off.hooks.pre_routing == []
    assert len(on.hooks.pre_routing) == 2
    assert on.hooks.pre_routing[0](request(LINES, NEAR)) is None
