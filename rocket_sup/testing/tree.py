"""The whole tree as a test sees it: `rocket-sup` started as its own process, and ended with all of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson

from rocket_sup.testing.site import Sections

_END_S = 40.0  # timeouts.drain and some more; then it is killed
_LOOK_S = 0.2  # how often it is asked whether the process has ended, while it is to become ready


class RunningTree:
    """A running `rocket-sup`.

    Attributes:
        pid: of the Supervisor.
        directory: its control socket and its log are here.
    """

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, control: str) -> None:
        self.pid = process.pid
        self.directory = directory
        self._control = control
        self._process = process

    @property
    def url(self) -> str:
        """Where it serves; of several addresses the first."""
        places = [event["at"] for event in self.events() if event["event"] == "serving"]
        return f"http://{places[-1][0]}"

    def status(self) -> Any:  # as `rocket-sup status --json` prints it
        """What the tree says about itself."""
        return orjson.loads(self.command("status", "--json"))

    def command(self, *arguments: str) -> bytes:
        """Run a command of `rocket-sup` against this tree, and return what it prints.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        line = [sys.executable, "-m", "rocket_sup", *arguments, "--control", self._control]
        return subprocess.run(line, capture_output=True, check=True).stdout  # noqa: S603 - our own command

    def events(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        return [orjson.loads(line) for line in (self.directory / "events.log").read_bytes().splitlines()]

    def output(self) -> str:
        """What it printed and logged, for people."""
        files = [self.directory / "output", self.directory / "events.log"]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    @property
    def is_running(self) -> bool:
        """The Supervisor has not ended."""
        return self._process.poll() is None


@contextmanager
def running_tree(
    application: str, *flags: str, app_dir: str | Path = ".", **sections: Sections
) -> Iterator[RunningTree]:
    """Start `rocket-sup` with an application, wait until it serves, and end it with the block.

    Args:
        application: "package.module:attribute".
        flags: of the command line.
        app_dir: put first on the import path.
        sections: options as in rocket.toml, `server={"num_acceptors": 2}`.

    Raises:
        RuntimeError: it did not begin to serve; the text is what it logged.
    """
    with tempfile.TemporaryDirectory(prefix="rocket-") as name, ExitStack() as stack:
        directory = Path(name)
        control = str(directory / "control")
        notices = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        notices.bind(str(directory / "notices"))
        notices.settimeout(_LOOK_S)
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ROCKET_")},
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **_variables({"server": {"host": "127.0.0.1", "port": 0}, "log": {"access": "off"}}),
            **_variables(sections),
            "NOTIFY_SOCKET": str(directory / "notices"),
            "ROCKET_CONTROL_SOCKET": control,
            "ROCKET_LOG_FORMAT": "json",
            "ROCKET_LOG_FILE": str(directory / "events.log"),
        }
        line = [sys.executable, "-m", "rocket_sup", application, "--app-dir", str(app_dir), *flags]
        output = stack.enter_context((directory / "output").open("w+b"))
        process = subprocess.Popen(line, env=environment, stdout=output, stderr=output)  # noqa: S603 - as above
        stack.callback(_end, process)
        tree = RunningTree(process, directory, control)
        while not _is_ready(notices):
            if not tree.is_running:
                raise RuntimeError(f"rocket-sup did not start:\n{tree.output()}")
        yield tree


def _is_ready(notices: socket.socket) -> bool:
    try:
        return b"READY=1" in notices.recv(4096)
    except TimeoutError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()  # its acceptors see that it is gone, and leave
        process.wait()


def _variables(sections: Mapping[str, Sections]) -> dict[str, str]:
    """Name options as the environment does."""
    return {
        f"ROCKET_{section}_{key}".upper().replace(".", "_"): ",".join(value)
        if isinstance(value, (list, tuple))
        else str(value)
        for section, options in sections.items()
        for key, value in options.items()
    }
