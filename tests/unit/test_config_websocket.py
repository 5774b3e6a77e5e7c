"""The defaults of WebSockets."""

from __future__ import annotations

from rocket_sup.config import options_of
from rocket_sup.config_websocket import WebSocketConfig


def test_a_message_may_be_as_large_as_other_content() -> None:
    """The default of server.max_body is a mebibyte too, and nothing below a control frame's payload is
    sensible."""
    assert 1 << 20 == WebSocketConfig().max_message
    assert options_of(WebSocketConfig)["max_message"].minimum == 125


def test_a_silent_client_is_noticed_within_a_minute() -> None:
    """An interval, and the time for an answer."""
    config = WebSocketConfig()

    assert 60 > config.ping_interval + config.ping_timeout
