"""Speak with a service manager: say how we are, keep descriptors with it, receive the ones it kept.

`Notifier` sends the datagrams of sd_notify(3), `listen_fds` receives the descriptors of sd_listen_fds(3):
sockets of a `.socket` unit and descriptors stored by the process before us, told apart by their names.
Nothing here starts, stops or listens; without a service manager every method says False and does nothing.
Each datagram goes through a socket of its own that is closed at once, so that forked processes inherit
nothing. Sending is bounded in time and never raises: a manager that is busy or gone must not stop the tree.

Spec: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3), systemd.service(5) `Type=notify-reload`.
"""

from __future__ import annotations

import array
import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from rocket_sup.errors import ConfigError, Problem

FIRST_LISTEN_FD = 3  # SD_LISTEN_FDS_START: after standard input, output and error
DEFAULT_FD_NAME = "unknown"  # what sd_listen_fds_with_names(3) says when nobody named a descriptor
SEND_TIMEOUT_S = 1.0  # the manager reads within milliseconds; we must not wait for one that hangs
MAX_FDS_PER_MESSAGE = 253  # the kernel's SCM_MAX_FD
MAX_FD_NAME = 255  # FDNAME_MAX
_NOTIFY_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_LISTEN_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


@dataclass(frozen=True, slots=True)
class Notifier:
    """Tells the service manager about this process; each method says whether the message was handed over.

    Attributes:
        address: where the manager listens: a path, "@name" in the abstract namespace, "" for no manager.
        watchdog_interval_s: call `watchdog` this often: half of the manager's deadline. None: nobody watches.
    """

    address: str = ""
    watchdog_interval_s: float | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], *, pid: int | None = None) -> Notifier:
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and remove them: no child speaks for us.

        Args:
            environ: normally `os.environ`.
            pid: the process that is to be watched, default this one.
        Raises:
            ConfigError: an address or an interval that cannot be understood.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        watched = not environ.get("WATCHDOG_PID") or environ["WATCHDOG_PID"] == str(pid or os.getpid())
        interval_us = _whole_number(environ, "WATCHDOG_USEC") if watched else 0
        if address and (address[0] not in "/@" or len(address) == 1):
            message = f"{address!r} is not an address of sd_notify(3): an absolute path or @name"
            raise ConfigError([Problem("environment", "NOTIFY_SOCKET", message)])
        for name in _NOTIFY_VARIABLES:
            environ.pop(name, None)
        return cls(address, interval_us / 2e6 if address and interval_us else None)

    def ready(self, status: str = "") -> bool:
        """Say that the tree serves; also ends the `reloading` state."""
        return self._send("READY=1", *_status(status))

    def reloading(self, status: str = "") -> bool:
        """Say that a reload began; `ready` must follow. `Type=notify-reload` compares the times."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", *_status(status))

    def stopping(self, status: str = "") -> bool:
        """Say that the tree is on its way down."""
        return self._send("STOPPING=1", *_status(status))

    def status(self, text: str) -> bool:
        """Show one line in `systemctl status`."""
        return self._send(*_status(text))

    def watchdog(self) -> bool:
        """Say that the supervisor's loop runs; due every `watchdog_interval_s`."""
        return self._send("WATCHDOG=1")

    def extend_timeout(self, seconds: float) -> bool:
        """Ask for this much more time for the start, reload or stop under way, counted from now."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def main_pid(self, pid: int) -> bool:
        """Name another process as the main one of the service."""
        return self._send(f"MAINPID={pid}")

    def store_fds(self, name: str, fds: Sequence[int]) -> bool:
        """Keep duplicates of descriptors with the manager; the service's next process finds them by `name`.

        Not every version keeps the order of descriptors under one name: where it matters, name them apart.

        Args:
            name: 1 to 255 printable ASCII characters without ":".
            fds: open descriptors; they stay ours to close.
        Raises:
            ValueError: a name the manager would ignore, together with the descriptors.
        """
        # FDPOLL=0: they are dropped when we say so, not when the manager's poll finds an error on one.
        state = ("FDSTORE=1", f"FDNAME={_checked_fd_name(name)}", "FDPOLL=0")
        starts = range(0, len(fds), MAX_FDS_PER_MESSAGE)
        return bool(fds) and all(self._send(*state, fds=fds[at : at + MAX_FDS_PER_MESSAGE]) for at in starts)

    def remove_fds(self, name: str) -> bool:
        """Let the manager close everything it stores under `name`."""
        return self._send("FDSTOREREMOVE=1", f"FDNAME={_checked_fd_name(name)}")

    def _send(self, *lines: str, fds: Sequence[int] = ()) -> bool:
        if not self.address:
            return False
        address = "\0" + self.address[1:] if self.address[0] == "@" else self.address
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:  # CLOEXEC by PEP 446
                sock.settimeout(SEND_TIMEOUT_S)
                sock.sendmsg(["\n".join(lines).encode()], rights, 0, address)
        except OSError:  # gone, full for a second, or a path too long: said by the result
            return False
        return True


def listen_fds(environ: MutableMapping[str, str], pid: int) -> list[tuple[int, str]]:
    """Take over the descriptors passed to this process; remove the variables, close the descriptors on exec.

    Args:
        environ: normally `os.environ`.
        pid: this process; variables meant for another one give nothing.
    Returns:
        (descriptor, name) in the order passed: activation sockets, then stored ones, by the name of each.
    Raises:
        ConfigError: variables that cannot be understood, or a descriptor that is not open.
    """
    try:
        if environ.get("LISTEN_PID") != str(pid):
            return []
        count = _whole_number(environ, "LISTEN_FDS")
        given = environ.get("LISTEN_FDNAMES", "")
    finally:
        for variable in _LISTEN_VARIABLES:
            environ.pop(variable, None)
    names = given.split(":") if given else []
    names += [DEFAULT_FD_NAME] * (count - len(names))
    passed = list(zip(range(FIRST_LISTEN_FD, FIRST_LISTEN_FD + count), names, strict=False))
    for fd, _ in passed:
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            message = f"{count} descriptors promised, but {fd} is not open ({error.strerror})"
            raise ConfigError([Problem("environment", "LISTEN_FDS", message)]) from None
    return passed


def _status(text: str) -> tuple[str, ...]:
    line = "".join(character if character.isprintable() else " " for character in text)
    return (f"STATUS={line}",) if text else ()


def _checked_fd_name(name: str) -> str:
    if not (0 < len(name) <= MAX_FD_NAME and name.isascii() and name.isprintable() and ":" not in name):
        raise ValueError(
            f"descriptor name {name!r}: 1 to {MAX_FD_NAME} printable ASCII characters without ':'"
        )
    return name


def _whole_number(environ: Mapping[str, str], variable: str) -> int:
    text = environ.get(variable, "0")
    if not (text.isascii() and text.isdigit()):
        raise ConfigError([Problem("environment", variable, f"{text!r} is not a whole number")])
    return int(text)
