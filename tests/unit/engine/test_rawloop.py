"""Which engine serves raw connections, and how it is found."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from rocket_sup.engine import native
from rocket_sup.engine.raw import Limits
from rocket_sup.engine.rawloop import NativeStreams, RawLoop, most_views, new_loop, streams_of
from rocket_sup.engine.rawportable import PortableStreams
from rocket_sup.errors import EngineError


class FakeReactor:
    """Waits for nothing; remembers what it was made of."""

    def __init__(self, ring: object) -> None:
        self.ring = ring
        self.loop: object = None
        self.is_closed = False

    def attach_loop(self, loop: object) -> None:
        """Know the loop."""
        self.loop = loop

    def watch(self, fd: int, mask: int, /) -> None:
        """Watch nothing."""

    def unwatch(self, fd: int, /) -> None:
        """Watch nothing."""

    def close(self) -> None:
        """Be closed."""
        self.is_closed = True


class FakeTcp:
    """Serves nothing; remembers what it was told."""

    def __init__(self, reactor: FakeReactor, most_views: int) -> None:
        self.reactor = reactor
        self.most_views = most_views
        self.opened: list[tuple[Any, ...]] = []
        self.is_abandoned = False

    def open(self, *arguments: Any) -> str:
        """Take a socket, or refuse it."""
        if self.is_abandoned:
            raise OSError("no more")
        self.opened.append(arguments)
        return "link"

    def views_out(self) -> int:
        """Count."""
        return 3

    def abandon(self) -> None:
        """Be told."""
        self.is_abandoned = True


MODULE: Any = SimpleNamespace(Reactor=FakeReactor, Tcp=FakeTcp, probe_uring=lambda: None)


def test_the_portable_engine_serves_any_other_loop() -> None:
    """Asked for by name it gives asyncio's own loop."""
    loop = new_loop("python")
    try:
        streams = streams_of(loop)
    finally:
        loop.close()

    assert isinstance(streams, PortableStreams)
    assert streams.name == "python"


@pytest.mark.parametrize(
    ("engine", "name"), [("auto", "epoll"), ("epoll", "epoll"), ("io_uring", "io_uring")]
)
def test_a_native_loop_knows_its_streams(monkeypatch: pytest.MonkeyPatch, engine: str, name: str) -> None:
    """The reactor gets the ring's options on io_uring, and the loop closes its connections before itself."""
    monkeypatch.setattr(native, "_FOUND", (MODULE, ""))
    loop = new_loop(engine)
    assert isinstance(loop, RawLoop)
    streams: Any = streams_of(loop)
    tcp = streams._tcp

    assert streams.name == name
    assert (tcp.reactor.ring is not None) == (name == "io_uring")
    assert tcp.reactor.loop is loop
    assert streams.views_out() == 3
    loop.close()
    assert tcp.is_abandoned
    assert tcp.reactor.is_closed


def test_a_running_loop_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What asyncio refuses has closed no connection either."""
    loop = RawLoop(MODULE, "epoll", ring=None)
    monkeypatch.setattr(loop, "is_running", lambda: True)
    with pytest.raises(RuntimeError, match="running"):
        loop.close()
    assert not loop.streams._tcp.is_abandoned
    monkeypatch.undo()
    loop.close()


def test_without_the_native_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` is the portable engine then; an engine asked for by name is refused, with the reason."""
    monkeypatch.setattr(native, "_FOUND", (None, "it is not built"))
    loop = new_loop()
    loop.close()

    assert not isinstance(loop, RawLoop)
    with pytest.raises(EngineError, match="it is not built"):
        new_loop("epoll")


def test_a_socket_changes_hands() -> None:
    """Opened, its descriptor is the reactor's; refused, it stays the caller's."""
    tcp = FakeTcp(FakeReactor(None), 1)
    streams = NativeStreams(tcp, "epoll")
    limits = Limits()

    async def check() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            fd = theirs.fileno()
            link: object = await streams.open(theirs, limits, client="c", on_closed=check)
            assert link == "link"
            assert tcp.opened == [(fd, "c", limits, check)]
            assert theirs.fileno() == -1
            socket.close(fd)
            tcp.is_abandoned = True
            with pytest.raises(OSError, match="no more"):
                await streams.open(ours, limits, client="c", on_closed=check)
            assert ours.fileno() >= 0

    asyncio.run(check())


@pytest.mark.parametrize(("buffers", "expected"), [(256, 16), (64, 16), (8, 2), (2, 0)])
def test_views_never_take_most_of_a_ring(buffers: int, expected: int) -> None:
    """A quarter of the buffers, and not more than 16."""
    assert expected == most_views("io_uring", SimpleNamespace(buffers=buffers))
    assert most_views("epoll", None) == 16
