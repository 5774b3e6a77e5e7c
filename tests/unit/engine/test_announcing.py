"""Connections that begin with the PROXY protocol, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.config import Config, TimeoutsConfig
from rocket_sup.config_proxy import ProxyConfig
from rocket_sup.engine.contract import WireBrief
from rocket_sup.engine.portable import PortableWire
from rocket_sup.log import EventLog
from rocket_sup.request import Request
from rocket_sup.router import Router

PATIENCE_S = 10.0
LINE = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Site:
    """A wire that answers with the client it sees, and one connection to it."""

    def __init__(self, path: Path, trusted: tuple[str, ...], **timeouts: float) -> None:
        router = Router()

        @router.get("/")
        def client(request: Request) -> str:
            return repr(request.client)

        router.freeze()
        self.path = path
        self.closed = 0
        self.log = EventLog(level="debug", format="json", file=str(path))
        config = replace(
            Config(),
            proxy=ProxyConfig(protocol=True, trusted=trusted),
            timeouts=replace(TimeoutsConfig(), **timeouts),
        )
        brief = WireBrief(
            router=router,
            config=config,
            loop=asyncio.get_running_loop(),
            log=self.log,
            access_log=None,
            on_closed=self._on_closed,
            on_stop_accepting=lambda: None,
        )
        self.wire = PortableWire(brief)
        self.wire.is_telling = True

    def _on_closed(self) -> None:
        self.closed += 1

    async def __aenter__(self) -> Site:
        listening = socket.create_server(("127.0.0.1", 0))
        self.reader, self.writer = await asyncio.open_connection(*listening.getsockname())
        accepted, _ = listening.accept()
        listening.close()
        accepted.setblocking(False)
        self.wire.open(accepted)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        self.wire.abort_all()
        async with asyncio.timeout(PATIENCE_S):
            while self.wire.connection_count():  # noqa: ASYNC110 - the wire counts, and tells by a call
                await asyncio.sleep(0)
        self.wire.stop()
        self.log.close()

    async def read(self) -> bytes:
        """Everything until the end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


async def answered(path: Path, cut: int) -> bytes:
    """What a trusted proxy gets, its bytes cut in two."""
    async with Site(path, ("127.0.0.1",)) as site:
        sent = LINE + GET
        site.writer.write(sent[:cut])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        site.writer.write(sent[cut:])
        return await site.read()


@pytest.mark.parametrize("cut", [0, 1, 20, len(LINE), len(LINE) + 3])
def test_the_client_is_the_one_that_was_announced(tmp_path: Path, cut: int) -> None:
    """However the bytes are cut."""
    assert asyncio.run(answered(tmp_path / "log", cut)).endswith(b"('192.0.2.1', 4711)")


def test_a_connection_of_the_proxy_itself_is_its_own(tmp_path: Path) -> None:
    """Its health checks."""

    async def ask() -> bytes:
        async with Site(tmp_path / "log", ("*",)) as site:
            site.writer.write(b"PROXY UNKNOWN\r\n" + GET)
            return await site.read()

    assert b"127.0.0.1" in asyncio.run(ask())


def test_whoever_is_not_trusted_is_an_ordinary_client(tmp_path: Path) -> None:
    """His preamble is no request; without one he is served."""

    async def ask(sent: bytes) -> bytes:
        async with Site(tmp_path / "log", ("192.0.2.9",)) as site:
            site.writer.write(sent)
            return await site.read()

    assert asyncio.run(ask(LINE + GET)).startswith(b"HTTP/1.1 400 ")
    assert b"127.0.0.1" in asyncio.run(ask(GET))


def test_a_trusted_proxy_has_to_announce(tmp_path: Path) -> None:
    """Else the connection is cut, and the log says why."""

    async def ask() -> tuple[bytes, int]:
        async with Site(tmp_path / "log", ("127.0.0.1",)) as site:
            site.writer.write(GET)
            try:
                received = await site.read()
            except ConnectionResetError:
                received = b""
        return received, site.closed

    assert asyncio.run(ask()) == (b"", 1)
    assert "proxy_protocol_broken" in (tmp_path / "log").read_text()


def test_an_announcement_has_a_deadline(tmp_path: Path) -> None:
    """That of a first byte."""

    async def ask() -> bytes:
        async with Site(tmp_path / "log", ("127.0.0.1",), first_byte=0.05) as site:
            site.writer.write(LINE[:5])
            try:
                return await site.read()
            except ConnectionResetError:
                return b""

    assert asyncio.run(ask()) == b""


def test_a_drain_does_not_wait_for_an_announcement(tmp_path: Path) -> None:
    """Nobody knows yet for whom it is."""

    async def ask() -> Any:
        async with Site(tmp_path / "log", ("127.0.0.1",)) as site:
            async with asyncio.timeout(PATIENCE_S):
                while not site.wire._announcements:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
            site.wire.drain()
            async with asyncio.timeout(PATIENCE_S):
                while site.wire.connection_count():  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0)
            return site.closed

    assert asyncio.run(ask()) == 1
