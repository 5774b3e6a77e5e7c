"""`rocket_sup.engine.tcpwire`: a wire whose connections are a handler's each."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from rocket_sup.config import Config
from rocket_sup.engine.contract import WireBrief
from rocket_sup.engine.native import load
from rocket_sup.engine.portable import PortableEngine
from rocket_sup.engine.rawloop import RawLoop
from rocket_sup.engine.tcpwire import TcpEngine, TcpWire
from rocket_sup.log import EventLog
from rocket_sup.router import Router
from rocket_sup.tcp import Connection, TcpApplication


class Places:
    """Counts the places that came back."""

    def __init__(self) -> None:
        self.vacated = 0

    def vacate(self) -> None:
        """Take one back."""
        self.vacated += 1

    def share(self) -> object:
        """Nobody counts natively here."""
        return None


async def echo(connection: Connection) -> None:
    """Send back what comes."""
    while data := await connection.read():
        connection.write(data)
        await connection.flush()


def wire_on(loop: asyncio.AbstractEventLoop, places: Places, on_closed: Callable[[], None]) -> TcpWire:
    """A wire of an echo."""
    brief = WireBrief(
        router=Router(),
        config=Config(),
        loop=loop,
        log=EventLog(),
        access_log=None,
        on_closed=on_closed,
        on_stop_accepting=lambda: None,
        places=places,
    )
    return TcpWire(TcpApplication(echo), brief)


def test_a_conversation_has_a_place_and_gives_it_back() -> None:
    """One connection, counted while it lasts, as one request when it is over."""
    loop = asyncio.new_event_loop()
    places, told = Places(), asyncio.Event()
    wire = wire_on(loop, places, told.set)
    wire.is_telling = True
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def talk() -> bytes:
        wire.open(theirs)
        await loop.sock_sendall(ours, b"hello")
        received = await loop.sock_recv(ours, 100)
        assert (wire.connection_count(), wire.statistics.in_flight) == (1, 1)
        ours.close()
        await told.wait()
        return received

    assert loop.run_until_complete(talk()) == b"hello"
    assert (places.vacated, wire.connection_count(), wire.statistics.requests) == (1, 0, 1)
    loop.close()


def test_aborting_cancels_handlers() -> None:
    """Nothing is left of a conversation that was cut."""
    loop = asyncio.new_event_loop()
    places, told = Places(), asyncio.Event()
    wire = wire_on(loop, places, told.set)
    wire.is_telling = True
    ours, theirs = socket.socketpair()

    async def cut() -> None:
        wire.open(theirs)
        await asyncio.sleep(0)
        wire.drain()
        wire.abort_all()
        await told.wait()

    loop.run_until_complete(cut())
    assert ours.recv(1) == b""
    assert (places.vacated, wire.connection_count()) == (1, 0)
    assert (wire.longest_idle_since(), wire.close_longest_idle(), wire.held_bytes()) == (None, False, (0, 0))
    ours.close()
    loop.close()


def test_the_engine_is_the_chosen_one() -> None:
    """Its name and its reasons are told on; the portable one keeps its loop."""
    chosen = PortableEngine("asyncio", reason="tested", is_fallback=True)
    engine = TcpEngine(chosen, TcpApplication(echo), Config())
    loop = engine.new_loop()

    assert (engine.name, engine.reason, engine.is_fallback) == ("python", "tested", True)
    assert not isinstance(loop, RawLoop)
    loop.close()


@pytest.mark.skipif(load()[0] is None, reason="the native module is not built")
def test_a_native_engine_serves_on_its_own_loop() -> None:
    """A reactor that knows raw connections."""
    module, _ = load()
    assert module is not None
    config = replace(Config(), server=replace(Config().server, engine="epoll"))
    chosen = PortableEngine("asyncio", reason="tested")
    engine = TcpEngine(chosen, TcpApplication(echo), config)
    engine.name = "epoll"
    loop = engine.new_loop()

    assert isinstance(loop, RawLoop)
    loop.close()
