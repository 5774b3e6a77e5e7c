"""The portable engine: which loop it makes, how a socket becomes a connection and is counted out again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from rocket_sup.config import Config
from rocket_sup.engine.contract import WireBrief
from rocket_sup.engine.portable import PortableEngine, PortableWire
from rocket_sup.router import Router
from tests.unit.conftest import PATIENCE_S, Journal

Check = Callable[[PortableWire], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Ends:
    """Counts connections that ended, and the places they gave back."""

    def __init__(self) -> None:
        self.count = 0
        self.vacated = 0

    def __call__(self) -> None:
        self.count += 1
        assert self.count <= self.vacated, "told before the place was free"

    def vacate(self) -> None:
        """One place is free."""
        self.vacated += 1

    def share(self) -> object:
        """Nobody asks."""
        raise NotImplementedError


@pytest.fixture
def ends() -> Ends:
    """What `on_closed` counted."""
    return Ends()


@pytest.fixture
def run(journal: Journal, ends: Ends) -> Callable[..., None]:
    """Give a function that runs a check with a wire on its loop."""

    def run_check(check: Check, *, flight_box: memoryview | None = None) -> None:
        engine = PortableEngine("asyncio", reason="tested")
        router = Router()
        router.get("/")(lambda request: "ok")
        router.freeze()
        with contextlib.closing(engine.new_loop()) as loop:
            brief = WireBrief(
                router=router,
                config=Config(),
                loop=loop,
                log=journal.log,
                access_log=None,
                on_closed=ends,
                on_stop_accepting=lambda: None,
                flight_box=flight_box,
                places=ends,
            )
            wire = engine.make_wire(brief)
            wire.is_telling = True

            async def body() -> None:
                await asyncio.wait_for(check(wire), PATIENCE_S)

            loop.run_until_complete(body())
            wire.stop()

    return run_check


async def turn_until(condition: Callable[[], object]) -> None:
    """Let the loop turn; the check around it has a time limit."""
    while not condition():  # noqa: ASYNC110 - any condition: there is no event to wait for
        await asyncio.sleep(0)


@pytest.mark.usefixtures("pipe_of_libuv")
def test_the_loop_is_the_one_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes uvloop where it is installed, and does without it where it is not."""
    with contextlib.closing(PortableEngine("uvloop", reason="").new_loop()) as loop:
        assert isinstance(loop, uvloop.Loop)
    with contextlib.closing(PortableEngine("auto", reason="").new_loop()) as loop:
        assert isinstance(loop, uvloop.Loop)
    with contextlib.closing(PortableEngine("asyncio", reason="").new_loop()) as loop:
        assert isinstance(loop, asyncio.SelectorEventLoop)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    with contextlib.closing(PortableEngine("auto", reason="").new_loop()) as loop:
        assert isinstance(loop, asyncio.SelectorEventLoop)
    with pytest.raises(ImportError, match=r"pip install 'rocket-sup\[fast\]'"):
        PortableEngine("uvloop", reason="").new_loop()


def test_a_socket_is_served_and_counted_until_it_ends(run: Callable[..., None], ends: Ends) -> None:
    """From the moment it was handed over, and told exactly once."""

    async def check(wire: PortableWire) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        wire.open(ours)
        assert wire.connection_count() == 1
        theirs.send(GET)
        loop = asyncio.get_running_loop()
        assert (await loop.sock_recv(theirs, 65536)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (wire.connection_count(), ends.count) == (1, 0)
        theirs.close()
        await turn_until(lambda: ends.count)
        assert wire.connection_count() == 0

    run(check)

    assert (1, 1) == (ends.count, ends.vacated)


def test_nobody_is_told_who_did_not_ask(run: Callable[..., None], ends: Ends) -> None:
    """The place is given back all the same."""

    async def check(wire: PortableWire) -> None:
        wire.is_telling = False
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        wire.open(ours)
        theirs.close()
        await turn_until(lambda: ends.vacated)

    run(check)

    assert ends.count == 0


def test_a_socket_that_cannot_be_served_is_counted_out(
    run: Callable[..., None], ends: Ends, journal: Journal
) -> None:
    """It is closed, logged and told, like one that ended."""

    async def check(wire: PortableWire) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        wire.open(ours)
        await turn_until(lambda: ends.count)
        assert (wire.connection_count(), ours.fileno()) == (0, -1)
        theirs.close()

    run(check)

    assert (ends.count, ends.vacated, journal.names()) == (1, 1, ["connection_not_opened"])


@pytest.mark.parametrize("size", [4, 64])
def test_the_request_in_flight_is_left_in_the_box(run: Callable[..., None], size: int) -> None:
    """As long as it fits; the rest of the box is zeros."""
    box = memoryview(bytearray(b"x" * size))

    async def check(wire: PortableWire) -> None:
        wire.record_in_flight(b"GET /poison")

    run(check, flight_box=box)

    assert bytes(box) == b"GET /poison".ljust(size, b"\0")[:size]
