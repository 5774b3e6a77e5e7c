"""Who is believed, and about what."""

from __future__ import annotations

import pytest

from rocket_sup.config_proxy import NEARBY, ProxyConfig


@pytest.mark.parametrize(
    ("config", "family", "peers"),
    [
        (ProxyConfig(), "off", NEARBY),
        (ProxyConfig(trusted=("10.0.0.0/8",)), "x-forwarded", ("10.0.0.0/8",)),
        (ProxyConfig(headers="x-forwarded"), "x-forwarded", NEARBY),
        (ProxyConfig(headers="forwarded", trusted=("*",)), "forwarded", ("*",)),
        (ProxyConfig(headers="off", trusted=("*",)), "off", ("*",)),
        (ProxyConfig(protocol=True), "off", NEARBY),
    ],
)
def test_what_is_read_and_from_whom(config: ProxyConfig, family: str, peers: tuple[str, ...]) -> None:
    """Nothing unless somebody is named, or a family of fields is."""
    assert (family, peers) == (config.family, config.peers)
