"""Believe a proxy about its client, if the configuration says that this proxy is to be believed.

A hook before routing, so that whoever has no proxy pays nothing: it looks at each request of a trusted peer,
and puts the client and the scheme that the proxy names in the place of the connection's own. Handlers find
them as `request.client` and `request.scheme`, ASGI applications in their scope, WSGI applications in
REMOTE_ADDR and `wsgi.url_scheme`; the access log names the client. Other peers' fields stay header fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rocket_sup.http.forwarded import TrustedPeers, from_forwarded, from_x_forwarded

if TYPE_CHECKING:
    from rocket_sup.config_proxy import ProxyConfig
    from rocket_sup.hooks import Client
    from rocket_sup.request import Request
    from rocket_sup.router import Router


def believe_proxies(router: Router, config: ProxyConfig) -> None:
    """Have all requests of a router looked at, before its own hooks, as the section [proxy] says."""
    if config.family != "off":
        router.hooks.pre_routing.insert(0, hook_of(config))


def hook_of(config: ProxyConfig) -> Callable[[Request], None]:
    """Make the hook of a configuration whose family is not "off"."""
    peers = TrustedPeers(config.peers)
    read = from_forwarded if config.family == "forwarded" else from_x_forwarded
    takes_host = config.host

    def believe(request: Request) -> None:
        if not is_trusted(peers, request.client):
            return
        request.forwarded = origin = read(request.fields, peers.trusts, takes_host=takes_host)
        if origin.client is not None:
            request.client = origin.client
        if origin.host is not None:
            request.headers["Host"] = origin.host

    return believe


def is_trusted(peers: TrustedPeers, client: Client) -> bool:
    """Say whether the peer of a connection is believed."""
    return peers.trusts(client[0]) if isinstance(client, tuple) else peers.unix
