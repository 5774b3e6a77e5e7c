"""Listening sockets: bound once, held for the life of the tree.

A TCP address gets one SO_REUSEPORT socket per acceptor, in one kernel group, so that each acceptor has its
own queue and the group can be steered. A Unix socket, an inherited descriptor, and a TCP address whose group
the kernel will not let us steer get one socket that all acceptors share. Descriptors are plain numbers here:
whoever inherits them by fork must not have a finaliser close them.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from rocket_sup import steering
from rocket_sup.errors import RocketError

_ACTIVATION = "fd:"
_UNIX = "unix:"
_VACATE_S = 5.0  # longer than a tree without its Supervisor needs to close its sockets, which it does first


class BindError(RocketError):
    """An address cannot be listened on; the text names it and says why."""


@dataclass(slots=True)
class Bind:
    """One address and its sockets.

    Attributes:
        address: as configured or received: "0.0.0.0:8080", "[::1]:80", "unix:/run/x.sock", "fd:3".
        is_steered: one socket per acceptor in a steered group; False: one shared socket.
        fds: listening descriptors, by acceptor number from 0; a shared bind has exactly one.
        why_shared: the reason, when a TCP address could not be steered.
    """

    address: str
    is_steered: bool
    fds: list[int] = field(default_factory=list)
    why_shared: str = ""

    def fd_for(self, number: int) -> int:
        """The descriptor that acceptor `number` (from 1) accepts on."""
        return self.fds[number - 1] if self.is_steered else self.fds[0]


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """What is the same for all listening sockets."""

    backlog: int
    unix_mode: int


def open_bind(address: str, *, acceptors: int, options: SocketOptions) -> Bind:
    """Listen on one address.

    Args:
        address: "host:port", "[v6]:port", "unix:/path" or "fd:N".
        acceptors: how many acceptors need a socket of their own.
        options: backlog and the mode of Unix sockets.

    Raises:
        BindError: the address cannot be used.
    """
    try:
        if address.startswith(_ACTIVATION):
            return _adopt(address, options)
        if address.startswith(_UNIX):
            return Bind(address, False, [_listen_unix(address[len(_UNIX) :], options)])
        return _open_tcp(address, acceptors, options)
    except OSError as error:
        raise BindError(f"cannot listen on {address}: {error.strerror or error}") from error


def extend(bind: Bind, *, acceptors: int, options: SocketOptions) -> list[int]:
    """Add sockets until every acceptor has its own; sockets are only ever appended.

    Returns:
        The new descriptors.
    """
    added: list[int] = []
    if bind.is_steered:
        family, target = _tcp_target(bind.address, bind.fds[0] if bind.fds else None)
        while len(bind.fds) < acceptors:
            fd = _listen_tcp(family, target, options)
            bind.fds.append(fd)
            added.append(fd)
    return added


def steer(bind: Bind, numbers: Iterable[int]) -> None:
    """Let only these acceptors (numbers from 1) get new connections of this address.

    Raises:
        OSError: the kernel refuses.
    """
    if bind.is_steered:
        steering.attach(bind.fds[0], steering.program([number - 1 for number in sorted(numbers)]))


def display(bind: Bind) -> str:
    """Say where this bind really listens, with the port the kernel chose."""
    sock = socket.socket(fileno=bind.fds[0])
    try:
        name = sock.getsockname()
        if sock.family == socket.AF_UNIX:
            path = name if isinstance(name, str) else name.decode(errors="replace")
            return f"unix:{path.replace(chr(0), '@', 1)}"  # abstract names begin with NUL
        host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
        return f"{host}:{name[1]}"
    finally:
        sock.detach()


def _open_tcp(address: str, acceptors: int, options: SocketOptions) -> Bind:
    family, target = _tcp_target(address, None)
    _wait_until_free(family, target)
    bind = Bind(address, True, [_listen_tcp(family, target, options)])
    try:
        steering.attach(bind.fds[0], steering.program([0]))
    except OSError as error:
        # A group without a program would leave newcomers with dead acceptors: share one socket instead.
        return Bind(address, False, bind.fds, f"the kernel refuses steering: {error.strerror}")
    extend(bind, acceptors=acceptors, options=options)
    return bind


def _tcp_target(address: str, first_fd: int | None) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    if first_fd is not None:
        sock = socket.socket(fileno=first_fd)
        try:
            return sock.family, sock.getsockname()  # port 0 was resolved by the first bind
        finally:
            sock.detach()
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    found = socket.getaddrinfo(host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, target = found[0]
    return family, target


def _wait_until_free(family: socket.AddressFamily, target: tuple[object, ...]) -> None:
    """Refuse an address on which anybody listens: SO_REUSEPORT would silently join a group of the same user.

    A tree whose Supervisor was killed leaves within moments; it is given `_VACATE_S` to close its sockets.
    """
    deadline = time.monotonic() + _VACATE_S
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(target)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
        time.sleep(0.05)


def _listen_tcp(family: socket.AddressFamily, target: tuple[object, ...], options: SocketOptions) -> int:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by accepted sockets
        if family == socket.AF_INET6:
            sock.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1
            )  # "[::]" and "0.0.0.0" may both be bound
        sock.bind(target)
        sock.listen(options.backlog)
    except OSError:
        sock.close()
        raise
    return sock.detach()


def _listen_unix(path: str, options: SocketOptions) -> int:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if not path.startswith("@"):
            _remove_stale_socket(path)
        before = os.umask(0o777 & ~options.unix_mode)
        try:
            sock.bind("\0" + path[1:] if path.startswith("@") else path)
        finally:
            os.umask(before)
        sock.listen(options.backlog)
    except OSError:
        sock.close()
        raise
    return sock.detach()


def _remove_stale_socket(path: str) -> None:
    """Remove what a dead server left; a socket that still answers, or any other file, is left alone."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(0, "a file that is no socket stands there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass  # its queue is full, so there is somebody
    raise FileExistsError(0, "another server answers there")


def _adopt(address: str, options: SocketOptions) -> Bind:
    fd = int(address[len(_ACTIVATION) :])
    os.set_blocking(fd, False)
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    try:
        if sock.type != socket.SOCK_STREAM:
            raise OSError(0, "not a stream socket")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.listen(options.backlog)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    finally:
        sock.detach()
    return Bind(address, False, [fd], "inherited descriptor")
