"""The doorman: whoever knocks is served in a place of his own, and where there is none it says so."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from rocket_sup.engine.contract import Accepted, Doorman, Stop
from rocket_sup.hooks import SetupDecision
from rocket_sup.request import Request
from rocket_sup.router import Router
from rocket_sup.scoreboard import Scoreboard
from tests.unit.conftest import Journal
from tests.unit.engine.nativesetting import KINDS, MISSING, MODULE, Setting, make_router

pytestmark = pytest.mark.skipif(MODULE is None, reason=MISSING)


class Queue:
    """A listening socket, a board with a slot, and the doorman of a wire between them."""

    def __init__(self, setting: Setting, address: object = ("127.0.0.1", 0), *, limit: int = 9) -> None:
        family = socket.AF_INET if isinstance(address, tuple) and len(address) == 2 else socket.AF_UNIX
        if isinstance(address, tuple) and len(address) == 4:
            family = socket.AF_INET6
        self.setting = setting
        self.board = Scoreboard(1, max_connections=limit)
        slot = self.board.allocate(number=1, generation=1)
        assert slot is not None
        self.slot = setting.places = slot
        self.stuck: list[Accepted] = []
        self._listening = socket.socket(family, socket.SOCK_STREAM)
        self._listening.setblocking(False)
        self._listening.bind(address)  # type: ignore[arg-type]
        self._listening.listen(16)
        self.fd = self._listening.fileno()

    @property
    def doorman(self) -> Doorman:
        """The wire's."""
        doorman = self.setting.wire.doorman
        assert doorman is not None
        return doorman

    def watch(self) -> None:
        """Have it emptied."""
        self.doorman.watch(self.fd, self._on_stuck)

    async def knock(self, own: object = None) -> socket.socket:
        """Connect."""
        client = socket.socket(self._listening.family, socket.SOCK_STREAM)
        self.setting.keep(client)
        client.setblocking(False)
        if own is not None:
            client.bind(own)  # type: ignore[arg-type]
        await self.setting.loop.sock_connect(client, self._listening.getsockname())
        return client

    def counts(self) -> tuple[int, int, int]:
        """Places claimed, places in use, connections of the wire."""
        return self.board.claimed(), self.board.connections(), self.setting.wire.connection_count()

    def close(self) -> None:
        """Give back what is open."""
        self._listening.close()
        for bell in self.board.doorbells:
            os.close(bell)

    def _on_stuck(self, fd: int, accepted: Accepted) -> None:
        assert fd == self.fd
        self.stuck.append(accepted)
        self.doorman.unwatch(fd)


def telling_clients(names: list[object]) -> Router:
    """A router whose handler tells who asks."""
    app = Router()

    @app.get("/")
    def handler(request: Request) -> str:
        names.append(request.client)
        assert request.client == names[-1]
        return "ok"

    return app


@pytest.fixture(params=KINDS)
def setting(request: pytest.FixtureRequest, pipe_of_libuv: None, journal: Journal) -> Iterator[Setting]:
    """Each native engine on each loop in turn."""
    setting = Setting(request.param, journal)
    yield setting
    setting.close()


@pytest.fixture
def queue(setting: Setting) -> Iterator[Queue]:
    """A queue in front of the wire."""
    queue = Queue(setting, limit=2)
    yield queue
    queue.close()


def test_a_doorman_takes_whoever_comes(setting: Setting, queue: Queue) -> None:
    """Each has a place, which is given back though nobody is told; the handler learns who he is."""
    names: list[object] = []

    async def check() -> None:
        setting.wire.is_telling = False
        queue.board.max_connections = 3  # a full house would be told of
        queue.watch()
        first, second = await queue.knock(), await queue.knock()
        for client in (first, second):
            assert (await setting.ask(client)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert queue.counts() == (2, 2, 2)
        assert names == [first.getsockname(), second.getsockname()]
        first.close()
        await setting.turn_until(lambda: queue.counts() == (1, 1, 1))
        second.close()
        await setting.turn_until(lambda: queue.counts() == (0, 0, 0))
        assert not setting.wire.is_telling

    setting.run(check, telling_clients(names))

    assert (0, 2) == (setting.closed, queue.board.peak())
    assert queue.stuck == []


def test_a_doorman_says_when_there_is_no_place(setting: Setting, queue: Queue) -> None:
    """Who came too late stays in the queue, until there is one and the doorman is to look again."""

    async def check() -> None:
        queue.watch()
        clients = [await queue.knock() for _ in range(3)]
        await setting.turn_until(lambda: queue.stuck)
        assert [accepted.stop for accepted in queue.stuck] == [Stop.FULL]
        assert queue.counts() == (2, 2, 2)
        assert queue.doorman.accept(queue.fd, 9) == Accepted(0, Stop.FULL)
        clients[0].close()
        await setting.turn_until(lambda: setting.closed)
        assert queue.counts() == (1, 1, 1)
        queue.watch()
        assert (await setting.ask(clients[2])).startswith(b"HTTP/1.1 200 OK\r\n")
        assert queue.counts() == (2, 2, 2)

    setting.run(check)


def test_a_doorman_takes_what_is_there_when_asked(setting: Setting, queue: Queue) -> None:
    """Without watching; and leaves alone what it was told to."""

    async def check() -> None:
        queue.watch()
        queue.doorman.unwatch(queue.fd)
        queue.doorman.unwatch(queue.fd)
        clients = [await queue.knock(), await queue.knock()]
        taken = 0
        while taken < 2:  # the last step of a handshake may take a moment
            accepted = queue.doorman.accept(queue.fd, 1)
            taken += accepted.taken
            assert accepted.stop is (Stop.ENOUGH if accepted.taken else Stop.EMPTY)
            assert queue.counts() == (taken, taken, taken)
        for client in clients:
            assert (await setting.ask(client)).startswith(b"HTTP/1.1 200 OK\r\n")

    setting.run(check)

    assert 2 == setting.closed
    assert (0, 0, 0) == queue.counts()


def test_a_doorman_says_what_failed(setting: Setting, queue: Queue) -> None:
    """With its errno; the place that was claimed is free again."""

    async def check() -> None:
        assert queue.doorman.accept(-1, 9) == Accepted(0, Stop.FAILED, errno.EBADF)
        with pytest.raises(OSError, match="Bad file descriptor"):
            queue.doorman.watch(-1, lambda *_: None)
        assert queue.counts() == (0, 0, 0)

    setting.run(check)


@pytest.mark.parametrize(
    ("own", "name"),
    [(None, ""), ("\0rocket-tests-{}", b"\0rocket-tests-{}"), ("client-{}", "client-{}")],
    ids=["nameless", "abstract", "path"],
)
def test_clients_of_a_unix_socket_are_named_as_python_names_them(
    setting: Setting, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, own: str | None, name: str | bytes
) -> None:
    """By the path or the abstract name that they took; most take none."""
    monkeypatch.chdir(tmp_path)
    queue = Queue(setting, "here.sock")
    names: list[object] = []
    number = str(os.getpid())

    async def check() -> None:
        queue.watch()
        await setting.ask(await queue.knock(own and own.replace("{}", number)))

    setting.run(check, telling_clients(names))
    queue.close()

    expected = name.replace(b"{}", number.encode()) if isinstance(name, bytes) else name.replace("{}", number)
    assert [expected] == names


def test_clients_over_ipv6_are_named_with_flow_and_scope(setting: Setting) -> None:
    """As `socket.getpeername` names them."""
    try:
        queue = Queue(setting, ("::1", 0, 0, 0))
    except OSError:
        pytest.skip("no IPv6 here")
    names: list[object] = []
    clients: list[socket.socket] = []

    async def check() -> None:
        queue.watch()
        clients.append(await queue.knock())
        await setting.ask(clients[0])
        assert names == [clients[0].getsockname()]

    setting.run(check, telling_clients(names))
    queue.close()


def test_hooks_see_every_connection_though_nobody_is_told(setting: Setting, queue: Queue) -> None:
    """Teardown hooks are the application's."""
    app = make_router()
    gone: list[object] = []
    app.on_connection_teardown(lambda client, error: gone.append(client))

    async def check() -> None:
        setting.wire.is_telling = False
        queue.watch()
        client = await queue.knock()
        name = client.getsockname()
        await setting.ask(client)
        client.close()
        await setting.turn_until(lambda: gone)
        assert gone == [name]

    setting.run(check, app)

    assert setting.closed == 0


def test_whoever_is_not_admitted_gives_the_place_back(setting: Setting, queue: Queue) -> None:
    """And is told of as any other; setup hooks want connections to be handed over."""
    app = make_router()
    gone: list[object] = []
    app.on_connection_setup(lambda client: SetupDecision.DROP)
    app.on_connection_teardown(lambda client, error: gone.append(client))

    async def check() -> None:
        assert setting.wire.doorman is None
        assert queue.slot.try_claim()
        queue.slot.occupy()
        setting.open()
        assert queue.counts() == (0, 0, 0)

    setting.run(check, app)

    assert (1, 1) == (len(gone), setting.closed)
