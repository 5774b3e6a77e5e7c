"""A connection before it is known what is spoken on it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rocket_sup.client import undecided
from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.undecided import Undecided, require_http2


class Transport:
    """Notes whose it is."""

    def __init__(self) -> None:
        self.protocol: object = None

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol


class Told(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def eof_received(self) -> None:
        self.told.append("end")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append(exc)


def test_nothing_that_happened_is_lost() -> None:
    """Whatever came before the decision comes after it, in order."""
    transport, connection, protocol, error = Transport(), Undecided(), Told(), OSError("gone")
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.data_received(b"a")
    connection.data_received(b"b")
    connection.eof_received()
    connection.connection_lost(error)

    connection.become(protocol)

    assert protocol is transport.protocol
    assert ["made", b"a", b"b", "end", error] == protocol.told


def test_nothing_happened() -> None:
    """Then nothing is told."""
    connection, protocol = Undecided(), Told()
    connection.connection_made(Transport())  # type: ignore[arg-type]

    connection.become(protocol)

    assert ["made"] == protocol.told


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install."""
    require_http2()
    monkeypatch.setattr(undecided, "find_spec", lambda name: None)
    with pytest.raises(InvalidRequest, match=r"rocket-sup\[http2\]"):
        require_http2()
