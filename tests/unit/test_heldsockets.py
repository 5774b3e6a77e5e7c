"""The Supervisor's duplicates: from activation, from the descriptor store, from the Listener."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rocket_sup.config import Config, ServerConfig
from rocket_sup.heldsockets import HeldSockets
from rocket_sup.ops.systemd import Notifier
from rocket_sup.sockets import SocketOptions, open_bind

OPTIONS = SocketOptions(backlog=8, unix_mode=0o600)


class Store:
    """The service manager's end of a notify socket."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(path)
        self.notifier = Notifier(path)

    def received(self) -> list[tuple[str, int]]:
        """All messages so far, with the number of descriptors that came along."""
        messages = []
        while True:
            try:
                text, fds, _, _ = socket.recv_fds(self.sock, 4096, 8)
            except BlockingIOError:
                return messages
            for fd in fds:
                os.close(fd)
            messages.append((text.decode(), len(fds)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A service manager with a descriptor store."""
    store = Store(str(tmp_path / "notify"))
    yield store
    store.sock.close()


def config(*binds: str) -> Config:
    """A configuration that listens there."""
    return Config(server=ServerConfig(bind=binds))


def group(count: int, address: str = "127.0.0.1:0") -> list[int]:
    """Listening sockets of one address, as a former tree left them."""
    return open_bind(address, acceptors=count, options=OPTIONS).fds


def is_open(fd: int) -> bool:
    """Say whether a descriptor is there."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


Tell = Callable[[HeldSockets, int, str, bool, list[int]], None]


def tell(held: HeldSockets, index: int, address: str, is_steered: bool, fds: list[int]) -> None:
    """Say what a Listener says after it has bound an address."""
    held.on_bind({"address": address, "is_steered": is_steered, "why_shared": ""})
    held.on_sockets({"bind": index}, fds)


def test_nothing_passed_means_the_configured_addresses() -> None:
    """Without a service manager there is an address for each bind, and nothing is held yet."""
    held = HeldSockets(config("127.0.0.1:80", "unix:/run/x.sock"), [], Notifier(None))

    assert ("127.0.0.1:80", "unix:/run/x.sock") == held.addresses
    assert [] == held.binds == held.fds() == held.describe()


def test_activated_sockets_take_the_place_of_the_configuration() -> None:
    """What the service manager passes is listened on instead of the configured addresses."""
    (fd,) = group(1)
    held = HeldSockets(config("127.0.0.1:80"), [(fd, "rocket-sup.socket")], Notifier(None))

    assert (f"fd:{fd}",) == held.addresses
    assert [fd] == held.fds()
    os.close(fd)


def test_the_listeners_sockets_are_kept_and_stored(store: Store) -> None:
    """Each duplicate is held, described, and put into the descriptor store under a name that says where."""
    held = HeldSockets(config("127.0.0.1:0"), [], store.notifier)
    fds = group(2)
    tell(held, 0, "127.0.0.1:0", True, fds)

    assert fds == held.fds()
    (described,) = held.describe()
    assert (2, "cbpf", "") == (described["sockets"], described["steering"], described["why_shared"])
    names = [text.partition("FDNAME=")[2].split("\n")[0] for text, _ in store.received()]
    assert ["rocket-0-1-g", "rocket-0-2-g"] == names
    held.close()


def test_closing_forgets_everything(store: Store, tmp_path: Path) -> None:
    """Descriptors are closed, taken out of the store, and the socket file is removed."""
    path = tmp_path / "rocket.sock"
    held = HeldSockets(config(f"unix:{path}"), [], store.notifier)
    fds = group(1, f"unix:{path}")
    tell(held, 0, f"unix:{path}", False, fds)
    store.received()
    held.close()

    assert not is_open(fds[0])
    assert not path.exists()
    assert [("FDSTOREREMOVE=1\nFDNAME=rocket-0-1-s", 0)] == store.received()
    held.close()  # has nothing left to close


def test_activated_sockets_are_not_stored(store: Store) -> None:
    """The service manager has its own copy of what it passed: it is neither stored nor taken out."""
    fd, other = group(1)[0], group(1)[0]
    held = HeldSockets(config(), [(fd, "web")], store.notifier)
    tell(held, 0, f"fd:{fd}", False, [other])
    held.close()
    os.close(fd)

    assert [] == store.received()


def test_a_stored_group_is_restored_in_order(store: Store) -> None:
    """A new Supervisor finds the sockets of the former one by name: same order, same port, still a group."""
    fds = group(3)
    passed = [(fds[2], "rocket-0-3-g"), (fds[0], "rocket-0-1-g"), (fds[1], "rocket-0-2-g")]
    held = HeldSockets(config("127.0.0.1:0"), passed, store.notifier)

    assert [fds] == [bind.fds for bind in held.binds]
    assert held.binds[0].is_steered
    held.close()


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_a_stored_unix_socket_is_restored(store: Store, tmp_path: Path, kind: str) -> None:
    """A shared socket comes back as such, with a path or an abstract name."""
    address = f"unix:{tmp_path}/s" if kind == "file" else f"unix:@held-{os.getpid()}"
    fds = group(1, address)
    held = HeldSockets(config(address), [(fds[0], "rocket-0-1-s")], store.notifier)

    assert [(address, False, fds)] == [(bind.address, bind.is_steered, bind.fds) for bind in held.binds]
    held.close()


def test_stored_sockets_of_another_address_are_closed(store: Store) -> None:
    """When the configuration has changed, what does not match it any more is not kept open."""
    kept, stale, beyond = group(1), group(1), group(1)
    passed = [(kept[0], "rocket-0-1-g"), (stale[0], "rocket-1-1-g"), (beyond[0], "rocket-5-1-g")]
    held = HeldSockets(config("127.0.0.1:0", "127.0.0.1:1"), passed, store.notifier)

    assert [kept] == [bind.fds for bind in held.binds]
    assert [True, False, False] == [is_open(fd) for fd in (kept[0], stale[0], beyond[0])]
    assert ("127.0.0.1:0", "127.0.0.1:1") == held.addresses
    held.close()


def test_stored_sockets_after_a_gap_are_closed(store: Store) -> None:
    """Binds are matched by position: after the first that is missing, the rest is bound anew."""
    second = group(1)
    held = HeldSockets(config("127.0.0.1:1", "127.0.0.1:0"), [(second[0], "rocket-1-1-g")], store.notifier)

    assert [] == held.binds
    assert not is_open(second[0])
