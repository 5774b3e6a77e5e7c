"""Listening sockets of every kind, on real addresses: bound once, shared or grouped, or refused."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rocket_sup import sockets as sockets_module
from rocket_sup import steering
from rocket_sup.sockets import Bind, BindError, SocketOptions, display, extend, open_bind, steer

OPTIONS = SocketOptions(backlog=16, unix_mode=0o660)
Listen = Callable[..., Bind]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Open binds, whose sockets are closed after the test."""
    binds: list[Bind] = []

    def listen(address: str, *, acceptors: int = 1, options: SocketOptions = OPTIONS) -> Bind:
        binds.append(open_bind(address, acceptors=acceptors, options=options))
        return binds[-1]

    yield listen
    for bind in binds:
        for fd in bind.fds:
            os.close(fd)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a former tree to leave an address."""
    monkeypatch.setattr(sockets_module, "_VACATE_S", -1.0)


def option(fd: int, level: int, name: int) -> int:
    """Read an option of a socket that is only known by number."""
    sock = socket.socket(fileno=fd)
    try:
        return sock.getsockopt(level, name)
    finally:
        sock.detach()


def try_accept(fd: int) -> bool:
    """Accept one connection, if one waits there."""
    sock = socket.socket(fileno=fd)
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    finally:
        sock.detach()
    return True


def tcp_address(bind: Bind) -> tuple[str, int]:
    """Where to connect."""
    host, _, port = display(bind).rpartition(":")
    return host.strip("[]"), int(port)


# --- TCP ---


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_tcp_address_has_a_socket_for_each_acceptor(listen: Listen, host: str) -> None:
    """On port 0 the kernel chooses once, and all sockets of the group share the port it chose."""
    bind = listen(f"{host}:0", acceptors=3)
    shown = {display(Bind("", True, [fd])) for fd in bind.fds}

    assert (True, "", 3) == (bind.is_steered, bind.why_shared, len(bind.fds))
    assert {display(bind)} == shown
    assert display(bind).startswith(f"{host}:")
    assert not display(bind).endswith(":0")
    assert [bind.fds[0], bind.fds[1], bind.fds[2]] == [bind.fd_for(number) for number in (1, 2, 3)]


def test_a_new_group_gives_everything_to_the_first(listen: Listen) -> None:
    """Until somebody is healthy, newcomers queue on the first socket, where the first acceptor finds them."""
    bind = listen("127.0.0.1:0", acceptors=3)
    clients = [socket.create_connection(tcp_address(bind)) for _ in range(12)]
    taken = [sum(try_accept(fd) for _ in clients) for fd in bind.fds]
    for client in clients:
        client.close()

    assert [12, 0, 0] == taken


def test_steering_by_acceptor_numbers(listen: Listen) -> None:
    """Numbers count from 1 and may come in any order: 3 and 2 are the last two of three sockets."""
    bind = listen("127.0.0.1:0", acceptors=3)
    steer(bind, {3, 2})
    clients = [socket.create_connection(tcp_address(bind)) for _ in range(16)]
    taken = [sum(try_accept(fd) for _ in clients) for fd in bind.fds]
    for client in clients:
        client.close()

    assert 0 == taken[0]
    assert 16 == taken[1] + taken[2]


def test_sockets_are_ready_for_an_event_loop(listen: Listen) -> None:
    """They do not block, are closed at exec, and accepted connections send without delay."""
    bind = listen("127.0.0.1:0", acceptors=2)

    assert [False, False] == [os.get_blocking(fd) for fd in bind.fds]
    assert [False, False] == [os.get_inheritable(fd) for fd in bind.fds]
    assert all(option(fd, socket.IPPROTO_TCP, socket.TCP_NODELAY) for fd in bind.fds)


def test_both_families_on_one_port(listen: Listen) -> None:
    """An IPv6 address takes IPv6 only, so that the same port of IPv4 is free."""
    bind = listen("[::]:0")
    _, port = tcp_address(bind)
    other = listen(f"0.0.0.0:{port}")

    assert f"0.0.0.0:{port}" == display(other)
    assert 1 == option(bind.fds[0], socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def test_extending_appends(listen: Listen) -> None:
    """More acceptors get more sockets on the same port; none is ever closed, and fewer change nothing."""
    bind = listen("127.0.0.1:0", acceptors=2)
    before = list(bind.fds)
    added = extend(bind, acceptors=4, options=OPTIONS)

    assert [*before, *added] == bind.fds
    assert 2 == len(added)
    assert 1 == len({display(Bind("", True, [fd])) for fd in bind.fds})
    assert [] == extend(bind, acceptors=1, options=OPTIONS)
    steer(bind, {4})


def test_an_address_in_use_is_refused(listen: Listen, no_patience: None) -> None:
    """A group of the same user could be joined by SO_REUSEPORT: it is refused instead, by its address."""
    bind = listen("127.0.0.1:0", acceptors=2)
    address = "{}:{}".format(*tcp_address(bind))

    with pytest.raises(BindError, match=rf"^cannot listen on {address}: Address already in use$"):
        open_bind(address, acceptors=1, options=OPTIONS)


def test_an_address_that_is_left_in_time_is_taken(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that is about to leave is waited for: the first look sees it, the second does not."""
    bind = listen("127.0.0.1:0")
    address = "{}:{}".format(*tcp_address(bind))
    looks: list[float] = []

    def leave(seconds: float) -> None:
        looks.append(seconds)
        os.close(bind.fds.pop())

    monkeypatch.setattr(sockets_module.time, "sleep", leave)
    taken = listen(address)

    assert address == display(taken)
    assert 1 == len(looks)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("192.0.2.1:0", "Cannot assign requested address"),
        ("no.such.host.invalid:80", "Name or service not known|Temporary failure in name resolution"),
        ("unix:/no/such/directory/socket", "No such file or directory"),
        ("fd:9999", "Bad file descriptor"),
    ],
)
def test_an_address_that_cannot_be_used(address: str, text: str, no_patience: None) -> None:
    """The error names the address and the kernel's reason."""
    with pytest.raises(BindError, match=f"^cannot listen on {address}: ({text})$"):
        open_bind(address, acceptors=1, options=OPTIONS)


def test_without_steering_one_socket_is_shared(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel refuses the program, all acceptors share one socket, and the bind says why."""

    def refuse(_fd: int, _code: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(steering, "attach", refuse)
    bind = listen("127.0.0.1:0", acceptors=3)

    assert (False, 1) == (bind.is_steered, len(bind.fds))
    assert "the kernel refuses steering: Operation not permitted" == bind.why_shared
    assert {bind.fds[0]} == {bind.fd_for(number) for number in (1, 2, 3)}
    assert [] == extend(bind, acceptors=5, options=OPTIONS)
    steer(bind, {2})  # does nothing, and the kernel is not asked


# --- Unix ---


def test_a_unix_socket(listen: Listen, tmp_path: Path) -> None:
    """One socket with the configured mode, shared by all."""
    path = tmp_path / "rocket.sock"
    bind = listen(f"unix:{path}", acceptors=3)

    assert (False, 1, "") == (bind.is_steered, len(bind.fds), bind.why_shared)
    assert 0o660 == stat.S_IMODE(path.stat().st_mode)
    assert f"unix:{path}" == display(bind)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    assert try_accept(bind.fds[0])


def test_the_umask_is_left_alone(listen: Listen, tmp_path: Path) -> None:
    """The mode of the socket file is set by the umask for a moment; files made later are not affected."""
    before = os.umask(0o022)
    listen(f"unix:{tmp_path}/rocket.sock", options=SocketOptions(backlog=1, unix_mode=0o600))
    after = os.umask(before)

    assert 0o022 == after
    assert 0o600 == stat.S_IMODE((tmp_path / "rocket.sock").stat().st_mode)


def test_an_abstract_socket(listen: Listen) -> None:
    """An abstract name is bound without a file, and shown as bytes that can be read."""
    bind = listen(f"unix:@rocket-test-{os.getpid()}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0rocket-test-{os.getpid()}")

    assert try_accept(bind.fds[0])
    assert f"unix:@rocket-test-{os.getpid()}" == display(bind)


def test_a_stale_socket_is_replaced(listen: Listen, tmp_path: Path) -> None:
    """What a dead server left is removed."""
    path = tmp_path / "rocket.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listen(f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_unix_socket_that_answers_is_refused(listen: Listen, tmp_path: Path) -> None:
    """A living server keeps its address."""
    path = tmp_path / "rocket.sock"
    bind = listen(f"unix:{path}")

    with pytest.raises(BindError, match=f"^cannot listen on unix:{path}: another server answers there$"):
        open_bind(f"unix:{path}", acceptors=1, options=OPTIONS)
    assert try_accept(bind.fds[0]), "the probe came as a connection, and nothing else happened"


@pytest.mark.timeout(10)
def test_a_unix_socket_that_is_too_busy_to_answer_is_refused(tmp_path: Path) -> None:
    """A server whose queue is full is not waited for: it is there."""
    path = str(tmp_path / "rocket.sock")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as queued:
        busy.bind(path)
        busy.listen(0)
        queued.connect(path)

        with pytest.raises(BindError, match="another server answers there"):
            open_bind(f"unix:{path}", acceptors=1, options=OPTIONS)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    """Nobody's file is removed to make room."""
    path = tmp_path / "precious"
    path.write_text("data")

    with pytest.raises(BindError, match="a file that is no socket stands there"):
        open_bind(f"unix:{path}", acceptors=1, options=OPTIONS)
    assert "data" == path.read_text()


# --- inherited ---


def test_an_inherited_socket_is_adopted() -> None:
    """A descriptor of the service manager is used as it is: listening, not blocking, shared."""
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        bind = open_bind(f"fd:{inherited.fileno()}", acceptors=3, options=OPTIONS)

        assert (False, [inherited.fileno()], "inherited descriptor") == (
            bind.is_steered, bind.fds, bind.why_shared,
        )  # fmt: skip
        assert not os.get_blocking(inherited.fileno())
        socket.create_connection(inherited.getsockname()).close()
        assert try_accept(inherited.fileno())


def test_an_inherited_socket_that_listens_keeps_its_backlog() -> None:
    """One that listens already keeps what the service manager chose."""
    with socket.socket() as inherited:
        inherited.bind(("127.0.0.1", 0))
        inherited.listen(1)
        open_bind(f"fd:{inherited.fileno()}", acceptors=1, options=OPTIONS)

        assert 1 == inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


@pytest.mark.parametrize("kind", ["datagram", "file"])
def test_an_inherited_descriptor_of_another_kind_is_refused(kind: str) -> None:
    """What connections cannot be accepted from is named and refused, and not closed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, open("/dev/null") as file:
        fd = datagram.fileno() if kind == "datagram" else file.fileno()
        text = "not a stream socket" if kind == "datagram" else "Socket operation on non-socket"

        with pytest.raises(BindError, match=f"^cannot listen on fd:{fd}: {text}$"):
            open_bind(f"fd:{fd}", acceptors=1, options=OPTIONS)
        assert os.fstat(fd)
