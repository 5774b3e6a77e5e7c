"""What asyncio expects of a selector: one list of checks, for Python's own selector, for ours over epoll in
Python, and for ours over each native reactor that is there.
"""

from __future__ import annotations

import os
import select
import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from rocket_sup.config import Config
from rocket_sup.engine.native import load
from rocket_sup.engine.selector import NativeSelector

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
PATIENCE_S = 10.0  # only a test that fails waits this long


class Counterfeit:
    """A reactor that serves nobody, so that the Python half is tested without a native module, too."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._masks: dict[int, int] = {}

    def watch(self, fd: int, mask: int, /) -> None:
        """Watch a descriptor, or for other events than before."""
        interest = (select.EPOLLIN if mask & READ else 0) | (select.EPOLLOUT if mask & WRITE else 0)
        (self._epoll.modify if fd in self._masks else self._epoll.register)(fd, interest)
        self._masks[fd] = mask

    def unwatch(self, fd: int, /) -> None:
        """Watch it no more."""
        self._masks.pop(fd, None)
        self._epoll.unregister(fd)

    def select(self, timeout: float | None, /) -> list[tuple[int, int]]:
        """Wait; what is broken is ready for everything, as of the native reactors."""
        ready = []
        for fd, got in self._epoll.poll(None if timeout is None else max(timeout, 0)):
            mask = (READ if got & ~select.EPOLLOUT else 0) | (WRITE if got & ~select.EPOLLIN else 0)
            ready.append((fd, mask))
        return ready

    def fileno(self) -> int:
        """Name the epoll."""
        return self._epoll.fileno()

    def turn(self) -> bool:
        """Serve nobody."""
        return False

    def close(self) -> None:
        """Give the epoll up."""
        self._epoll.close()


MAKERS: dict[str, Callable[[], selectors.BaseSelector]] = {
    "Python's": selectors.EpollSelector,
    "ours": lambda: NativeSelector(Counterfeit()),
}
if (native := load()[0]) is not None:
    MAKERS["ours on epoll"] = lambda: NativeSelector(native.Reactor())
    if native.probe_uring() is None:
        MAKERS["ours on io_uring"] = lambda: NativeSelector(native.Reactor(Config().engine_io_uring))


@pytest.fixture(params=MAKERS)
def selector(request: pytest.FixtureRequest) -> Iterator[selectors.BaseSelector]:
    """Each selector in turn; Python's own shows that the checks are right."""
    with MAKERS[request.param]() as selector:
        yield selector


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets; a test may close them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def ready(selector: selectors.BaseSelector, timeout: float | None = PATIENCE_S) -> list[tuple[object, int]]:
    """Wait, and give what was registered with what it is ready for."""
    return [(key.data, mask) for key, mask in selector.select(timeout)]


def test_what_is_ready_is_told_with_its_data(selector: selectors.BaseSelector, pair: Pair) -> None:
    """Once for each descriptor, and again as long as it is ready."""
    ours, theirs = pair
    selector.register(ours, READ | WRITE, "both")
    selector.register(theirs.fileno(), READ, "their number")
    ours.send(b"x")

    assert {("both", WRITE), ("their number", READ)} == set(ready(selector))
    assert {("both", WRITE), ("their number", READ)} == set(ready(selector))
    theirs.send(b"x")
    assert ("both", READ | WRITE) in ready(selector)


@pytest.mark.parametrize("timeout", [0, -1, 0.001])
def test_nothing_ready_is_an_empty_list(selector: selectors.BaseSelector, pair: Pair, timeout: float) -> None:
    """At once, or when the time is over."""
    selector.register(pair[0], READ)

    assert [] == selector.select(timeout)


def test_without_a_timeout_it_waits(selector: selectors.BaseSelector, pair: Pair) -> None:
    """And returns as soon as there is something."""
    selector.register(pair[0], READ, "ours")
    pair[1].send(b"x")

    assert [("ours", READ)] == ready(selector, None)


def test_an_end_is_something_to_be_read(selector: selectors.BaseSelector, pair: Pair) -> None:
    """Only what was asked for is told, whatever else the kernel says."""
    selector.register(pair[0], READ, "ours")
    pair[1].close()

    assert [("ours", READ)] == ready(selector)


def test_other_events_and_other_data_may_be_asked_for(selector: selectors.BaseSelector, pair: Pair) -> None:
    """The key that is returned is the one that is told."""
    selector.register(pair[0], READ, "before")
    assert [] == selector.select(0)
    key = selector.modify(pair[0], WRITE, "after")

    assert [(key, WRITE)] == selector.select(PATIENCE_S)
    assert (pair[0], pair[0].fileno(), WRITE, "after") == tuple(key)
    assert [("anew", WRITE)] == [
        (key.data, mask) for key, mask in (selector.modify(pair[0], WRITE, "anew"), selector.select(1))[1]
    ]


def test_what_is_watched_no_more_is_not_told(selector: selectors.BaseSelector, pair: Pair) -> None:
    """Its key comes back; it may be watched again."""
    before = selector.register(pair[0], WRITE, 1)

    assert before == selector.unregister(pair[0])
    assert [] == selector.select(0)
    selector.register(pair[0], WRITE, 2)
    assert [(2, WRITE)] == ready(selector)


def test_a_closed_socket_can_be_forgotten(selector: selectors.BaseSelector, pair: Pair) -> None:
    """asyncio closes some before it says so; the number may be somebody else's by then."""
    fd = pair[0].fileno()
    selector.register(pair[0], READ, "gone")
    pair[0].close()

    assert "gone" == selector.unregister(pair[0]).data
    again = os.dup(pair[1].fileno())
    assert again == fd
    selector.register(again, READ, "new")
    pair[1].close()
    selector.unregister(again)
    os.close(again)
    assert [] == selector.select(0)


def test_what_is_watched_can_be_seen(selector: selectors.BaseSelector, pair: Pair) -> None:
    """By the object that was registered, and by its number."""
    key = selector.register(pair[0], READ, "ours")

    assert key == selector.get_key(pair[0])
    assert [pair[0].fileno()] == list(selector.get_map())
    assert key == selector.get_map().get(pair[0])
    assert key == selector.get_map()[pair[0].fileno()]
    assert selector.get_map().get(pair[1]) is None
    with pytest.raises(KeyError):
        selector.get_key(pair[1])


@pytest.mark.parametrize("events", [0, 4, READ | 8])
def test_other_events_than_two_are_refused(selector: selectors.BaseSelector, pair: Pair, events: int) -> None:
    """And nothing is watched."""
    with pytest.raises(ValueError, match="Invalid events"):
        selector.register(pair[0], events)
    assert not selector.get_map()


@pytest.mark.parametrize("nothing", [-1, "a name"])
def test_what_has_no_descriptor_is_refused(selector: selectors.BaseSelector, nothing: object) -> None:
    """By its value."""
    with pytest.raises(ValueError, match="Invalid file"):
        selector.register(nothing, READ)  # type: ignore[arg-type]


def test_nothing_is_watched_twice(selector: selectors.BaseSelector, pair: Pair) -> None:
    """Nor forgotten twice, nor changed when it is not there."""
    selector.register(pair[0], READ)

    with pytest.raises(KeyError, match="already registered"):
        selector.register(pair[0], READ)
    selector.unregister(pair[0])
    with pytest.raises(KeyError, match="not registered"):
        selector.unregister(pair[0])
    with pytest.raises(KeyError, match="not registered"):
        selector.modify(pair[0], READ)


def test_what_the_kernel_refuses_is_not_watched(selector: selectors.BaseSelector, pair: Pair) -> None:
    """A descriptor that is not open: asyncio tries the same number again later."""
    fd = os.dup(pair[0].fileno())
    os.close(fd)

    with pytest.raises(OSError, match="Bad file descriptor"):
        selector.register(fd, READ)
    assert fd not in selector.get_map()


def test_a_number_that_is_used_again_is_told_to_its_new_owner(
    selector: selectors.BaseSelector, pair: Pair
) -> None:
    """Closed, forgotten, and opened again between two waits."""
    fd = os.dup(pair[0].fileno())
    selector.register(fd, READ, "old")
    selector.unregister(fd)
    os.close(fd)
    pair[1].send(b"x")
    again = os.dup(pair[0].fileno())
    try:
        selector.register(again, READ, "new")
        assert [("new", READ)] == ready(selector)
        selector.unregister(again)
    finally:
        os.close(again)


def test_readiness_of_what_was_forgotten_meanwhile_is_dropped() -> None:
    """A handler that is called inside `select` may stop watching what was just found ready."""

    class Late(Counterfeit):
        def select(self, timeout: float | None, /) -> list[tuple[int, int]]:
            found = [(fd, READ | WRITE) for fd in self._masks]
            selector.unregister(theirs)
            selector.modify(ours, READ, "ours")
            return found

    ours, theirs = socket.socketpair()
    with ours, theirs, NativeSelector(Late()) as selector:
        selector.register(ours, READ | WRITE, "ours")
        selector.register(theirs, READ, "theirs")

        assert [("ours", READ)] == ready(selector)
