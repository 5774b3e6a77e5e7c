"""A real tree under test: `rocket-sup` in a temporary directory, watched from outside.

The harness shares nothing with the tree but its command line, its control socket and the kernel. Every
process of the tree inherits a mark in its environment, so that an orphan is found however far it has run.
`stop` ends only what carries the mark of this very tree.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.faults.sockets import tcp_sockets

MARK = "ROCKET_FAULTS_TREE"
# What trees serve with unless a test says otherwise; read before tests/conftest.py takes settings away.
ENGINE = os.environ.get("ROCKET_ENGINE", "auto")
# What most scenarios serve; `steady_asgi` does the same through another interface.
STEADY = "steady"
APPLICATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "applications")
Status = dict[str, Any]


class TreeError(Exception):
    """The tree did not do what a scenario has to rely on; the message carries the end of its log."""


class Tree:
    """One `rocket-sup` and its directory.

    Args:
        application: a file name in `applications/`, without `.py`, to start with; "" for the steady one.
        options: TOML sections and keys over the defaults below.
        port: where to listen; 0 takes a free one, kept for later starts of this tree.
    """

    def __init__(
        self, application: str = "", options: dict[str, dict[str, Any]] | None = None, *, port: int = 0
    ) -> None:
        self.directory = tempfile.mkdtemp(prefix="rocket-faults-")
        self.port = port or free_port()
        self.control = os.path.join(self.directory, "control.sock")
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}  # more of it, for the next start
        self.launcher: list[str] = []  # a command that ends by executing the one behind it
        self._mark = uuid.uuid4().hex
        self._options = options or {}
        self._log_path = os.path.join(self.directory, "log")
        self.use(application or STEADY)
        self.write_config()

    # --- its files ---

    def use(self, application: str) -> None:
        """Make this the application's code from the next start of an acceptor on."""
        shutil.copy(os.path.join(APPLICATIONS, f"{application}.py"), os.path.join(self.directory, "app.py"))

    def write_config(self, **server: Any) -> None:
        """Write rocket.toml; `server` overrides keys of its section for this time."""
        sections: dict[str, dict[str, Any]] = {
            "server": {
                "handler": "app:app",
                "app_dir": self.directory,
                "bind": [f"127.0.0.1:{self.port}"],
                "num_acceptors": 4,
                "engine": ENGINE,
            },
            "timeouts": {"drain": 5, "idle": 60},
            "acceptor": {"suspect": 1.0, "hang": 2.0, "boot": 20},
            "log": {"level": "info", "format": "text", "access": "off"},
            "control": {"socket": self.control},
        }
        for section, keys in {
            **self._options,
            "server": {**self._options.get("server", {}), **server},
        }.items():
            sections.setdefault(section, {}).update(keys)
        lines = []
        for section, keys in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]  # JSON scalars are TOML
        with open(os.path.join(self.directory, "rocket.toml"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def log(self) -> str:
        """All output of the tree so far."""
        with (
            contextlib.suppress(FileNotFoundError),
            open(self._log_path, encoding="utf-8", errors="replace") as file,
        ):
            return file.read()
        return ""

    # --- its processes ---

    def start(
        self, *, ready: bool = True, listening: socket.socket | None = None, limit_nofile: int = 0
    ) -> None:
        """Start `rocket-sup`.

        Args:
            limit_nofile: descriptors each process may have; 0: as many as we.
            ready: wait until it serves with all acceptors.
            listening: a listening socket to hand over as a service manager does (LISTEN_FDS).
        """
        command = [*self.launcher, *rocket_sup(), "--config", os.path.join(self.directory, "rocket.toml")]
        environment = {
            key: value
            for key, value in os.environ.items()
            if key == "ROCKET_NATIVE" or not key.startswith(("ROCKET_", "LISTEN_"))
        }
        environment |= {MARK: self._mark, "PYTHONDONTWRITEBYTECODE": "1", **self.environment}
        if limit_nofile:
            command = ["/bin/sh", "-c", f'ulimit -n {limit_nofile}; exec "$@"', "sh", *command]
        fds: tuple[int, ...] = ()
        if listening is not None:
            command = [sys.executable, "-c", ACTIVATE, str(listening.fileno()), *command]
            fds = (listening.fileno(),)
        with open(self._log_path, "ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=fds,
                start_new_session=True,
                cwd=self.directory,
            )
        if ready:
            self.wait(self.is_healthy, "serving with all acceptors", timeout_s=30)

    @property
    def supervisor(self) -> int:
        """Process id of the Supervisor."""
        assert self.process is not None
        return self.process.pid

    def is_alive(self) -> bool:
        """Whether the Supervisor runs."""
        return self.process is not None and self.process.poll() is None

    def members(self) -> dict[int, str]:
        """Every process that carries this tree's mark, with its name; zombies do not count."""
        found: dict[int, str] = {}
        wanted = f"{MARK}={self._mark}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry}/environ", "rb") as file:
                    if wanted not in file.read().split(b"\0"):
                        continue
                with open(f"/proc/{entry}/comm", encoding="utf-8", errors="replace") as file:
                    found[int(entry)] = file.read().strip()
        return found

    def close(self) -> None:
        """End whatever is left of this tree, remove its directory."""
        for _ in range(
            50
        ):  # members may fork while they are ended; five seconds are enough for that to cease
            left = self.members()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not left:
                break
            if self.process is not None:
                self.process.poll()
            time.sleep(0.1)
        if self.process is not None:
            self.process.wait(5)  # who has lost its environment already may take a moment to be gone
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- its control socket ---

    def order(self, request: dict[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
        """One request over the control socket, one answer.

        Raises:
            OSError: nobody listens, or no answer in time.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_s)
            sock.connect(self.control)
            sock.sendall(json.dumps(request).encode() + b"\n")
            received = b""
            while not received.endswith(b"\n"):
                piece = sock.recv(1 << 20)
                if not piece:
                    raise ConnectionResetError("the control socket closed without an answer")
                received += piece
        answer: dict[str, Any] = json.loads(received)
        return answer

    def status(self) -> Status:
        """The tree's own description of itself."""
        return self.order({"command": "status"}, timeout_s=5.0)

    def is_healthy(self) -> bool:
        """Whether Listener and all wanted acceptors are ready: none starting, left over or orphaned."""
        try:
            status = self.status()
        except OSError:
            return False
        acceptors = status["acceptors"]
        wanted = status["listener"].get("acceptors", len(acceptors))
        ready = all(
            acceptor["state"] == "ready" and acceptor["pid"] and not acceptor["id"].endswith(".orphan")
            for acceptor in acceptors
        )
        is_up = status["supervisor"]["state"] == status["listener"]["state"] == "running"
        return is_up and bool(status["listener"]["pid"]) and ready and len(acceptors) == wanted

    def wait(self, condition: Callable[[], bool], what: str, *, timeout_s: float = 15.0) -> float:
        """Poll until a condition holds; seconds it took.

        Raises:
            TreeError: not within `timeout_s`, or the Supervisor ended.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > timeout_s:
                raise TreeError(f"not within {timeout_s:g} s: {what}\n{self.tail()}")
            if not self.is_alive():
                raise TreeError(f"the Supervisor ended while waiting for: {what}\n{self.tail()}")
            time.sleep(0.02)
        return time.monotonic() - began

    def wait_exit(self, timeout_s: float) -> int | None:
        """Exit status of the Supervisor, or None when it is still there after `timeout_s`."""
        assert self.process is not None
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def tail(self, lines: int = 25) -> str:
        """The end of the log."""
        return "\n".join(self.log().splitlines()[-lines:])

    def is_listening(self) -> bool:
        """Whether any socket listens on the tree's port."""
        return any(sock.state == 10 for sock in tcp_sockets(self.port))


def rocket_sup() -> list[str]:
    """The command under test: the one beside this interpreter, else the module."""
    beside = os.path.join(os.path.dirname(sys.executable), "rocket-sup")
    return [beside] if os.path.exists(beside) else [sys.executable, "-m", "rocket_sup"]


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


# What a service manager does before exec: the socket becomes descriptor 3 and the variables name this very
# process.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="http")
os.execvp(sys.argv[2], sys.argv[2:])
"""
