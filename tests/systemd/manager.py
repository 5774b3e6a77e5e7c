"""The part of a service manager that a service can see: a notify socket, descriptors passed and kept."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

# Puts the descriptors at 3 and up and names this very process, as systemd does between fork and exec.
# prctl 65 is PR_SET_MDWE, the kernel's form of MemoryDenyWriteExecute= (Linux 6.3).
_LAUNCHER = """
import ctypes, os, sys
if os.environ.pop("DENY_WRITE_EXECUTE", "") and ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):
    sys.exit(77)
count = int(sys.argv[1])
high = [os.dup2(int(fd), 500 + n) for n, fd in enumerate(sys.argv[2:2 + count])]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n, inheritable=True)
if count:
    os.environ["LISTEN_PID"] = str(os.getpid())
if "WATCHDOG_USEC" in os.environ:
    os.environ["WATCHDOG_PID"] = str(os.getpid())
command = sys.argv[2 + count:]
os.execv(command[0], command)
"""


class Manager:
    """Starts one service at a time, reads what it says, keeps what it stores.

    Attributes:
        store: the descriptor store, by name.
        activated: sockets of a socket unit, by name.
        said: every datagram of the current process, as a mapping.
    """

    def __init__(self, directory: Path) -> None:
        self._address = str(directory / "notify")
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(self._address)
        self._log = (directory / "log").open("ab")
        self.store: dict[str, int] = {}
        self.activated: dict[str, socket.socket] = {}
        self.said: list[dict[str, str]] = []
        self.process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Forget everything; the service has ended before."""
        for fd in self.store.values():
            os.close(fd)
        for sock in self.activated.values():
            sock.close()
        self._sock.close()
        self._log.close()

    def start(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Execute `rocket-sup` with these arguments, with all activated and stored descriptors."""
        passed = [(name, sock.fileno()) for name, sock in self.activated.items()] + list(self.store.items())
        variables = {**os.environ, "NOTIFY_SOCKET": self._address, **(environment or {})}
        if passed:
            variables |= {"LISTEN_FDS": str(len(passed)), "LISTEN_FDNAMES": ":".join(n for n, _ in passed)}
        command = [sys.executable, "-c", _LAUNCHER, str(len(passed)), *(str(fd) for _, fd in passed)]
        self.said = []
        self.process = subprocess.Popen(
            [*command, sys.executable, "-m", "rocket_sup", *arguments],
            env=variables,
            pass_fds=[fd for _, fd in passed],
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        return self.process

    def wait_for(self, variable: str, *, timeout_s: float = 20.0) -> dict[str, str]:
        """Read datagrams until one sets this variable, and return that one."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            has_ended = self.process is not None and self.process.poll() is not None
            self._sock.settimeout(0.1)
            try:
                message = self._receive()
            except TimeoutError:
                if has_ended:
                    break
                continue
            if variable in message:
                return message
        raise TimeoutError(f"no {variable} within {timeout_s} s; said so far: {self.said}")

    def read_all(self) -> None:
        """Read the datagrams that are there; nothing else may be sending."""
        self._sock.settimeout(0)
        while True:
            try:
                self._receive()
            except BlockingIOError:
                return

    def _receive(self) -> dict[str, str]:
        data, fds, _, _ = socket.recv_fds(self._sock, 65536, 253)
        message = dict(line.split("=", 1) for line in data.decode().splitlines())
        self.said.append(message)
        name = message.get("FDNAME", "")
        if "FDSTORE" in message:
            for fd in fds:
                assert name not in self.store, f"two descriptors are stored as {name}"
                self.store[name] = fd
        elif "FDSTOREREMOVE" in message and name in self.store:
            os.close(self.store.pop(name))
        return message
