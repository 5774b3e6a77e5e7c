"""The commands of `[[children]]`: any program in the tree, under the same restart rules.

A command is executed without a shell, in a process group of its own, and is asked to stop by SIGTERM. With
`ready = "notify"` it counts as started when it sends READY=1 to $NOTIFY_SOCKET, as for systemd; each such
command gets a socket of its own, on which only processes of our user are believed.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import struct
from collections.abc import Callable

from rocket_sup.config import ChildConfig, SupervisorConfig
from rocket_sup.poller import Poller
from rocket_sup.process import Process, execute
from rocket_sup.spec import BRUTAL_KILL, INFINITY, Backoff, ChildSpec, Restart, Shutdown

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
_MAX_NOTIFICATION = 4096  # as systemd reads


def spec_of(child: ChildConfig, settings: SupervisorConfig) -> ChildSpec:
    """Turn a configured command into a child specification."""
    return ChildSpec(
        id=child.name,
        restart=Restart(child.restart),
        shutdown=_shutdown(child.shutdown),
        significant=child.significant,
        boot_deadline_s=child.boot or None,
        backoff=Backoff(initial_s=settings.backoff_initial, max_s=settings.backoff_max)
        if child.backoff
        else None,
    )


def _shutdown(value: float | str) -> Shutdown:
    if value == "brutal_kill":
        return BRUTAL_KILL
    return INFINITY if value == "infinity" else float(value)


class Sidecars:
    """Starts commands and hears when they are ready.

    Args:
        poller: the loop that hears.
        on_ready: called with the child's id.
    """

    def __init__(self, poller: Poller, on_ready: Callable[[str], None]) -> None:
        self._poller = poller
        self._on_ready = on_ready
        self._sockets: dict[str, socket.socket] = {}

    def launch(self, child: ChildConfig) -> Process:
        """Start one command.

        Raises:
            OSError: no process or no socket can be made.
        """
        environment = {**os.environ, **child.env}
        environment.pop(
            "NOTIFY_SOCKET", None
        )  # ours: a command must not speak to the service manager in our name
        if child.ready == "notify":
            environment["NOTIFY_SOCKET"] = self._open_socket(child.name)
        process = execute(
            child.command, environment=environment, directory=child.cwd or None, name=child.name
        )
        process.is_ready_at_once = child.ready == "exec"
        return process

    def forget(self, child_id: str) -> None:
        """Close the ready socket of a command."""
        sock = self._sockets.pop(child_id, None)
        if sock is not None:
            self._poller.unwatch(sock.fileno())
            sock.close()

    def bury(self, child_id: str, process: Process) -> None:
        """Clean up after a command that ended: what is left of its process group ends with it."""
        self.forget(child_id)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nothing is left, or it is not ours any more

    @staticmethod
    def ask_to_stop(process: Process) -> None:
        """Ask a command, with all of its process group, to end."""
        try:
            os.killpg(process.pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            process.signal(signal.SIGTERM)  # it is not the leader of its group yet, or any more

    def _open_socket(self, child_id: str) -> str:
        self.forget(child_id)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        name = f"rocket-sup-{os.getpid()}-{child_id}-{secrets.token_hex(8)}"
        sock.bind("\0" + name)
        self._sockets[child_id] = sock
        self._poller.watch(sock.fileno(), lambda: self._receive(child_id, sock))
        return "@" + name

    def _receive(self, child_id: str, sock: socket.socket) -> None:
        try:
            text, ancillary, _, _ = sock.recvmsg(_MAX_NOTIFICATION, socket.CMSG_SPACE(_CREDENTIALS.size))
        except (BlockingIOError, InterruptedError):
            return
        is_ours = any(
            kind == socket.SCM_CREDENTIALS
            and _CREDENTIALS.unpack(payload[: _CREDENTIALS.size])[1] == os.getuid()
            for level, kind, payload in ancillary
            if level == socket.SOL_SOCKET
        )
        if is_ours and b"READY=1" in text.split(b"\n"):
            self._on_ready(child_id)
