"""A whole tree under a service manager: what it says when, and that no client notices a new Supervisor."""

from __future__ import annotations

import http.client
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.systemd.manager import Manager

ROOT = Path(__file__).parents[2]
SERVICE = ROOT / "config" / "systemd" / "rocket-sup.service"
BEFORE_253 = ROOT / "config" / "systemd" / "rocket-sup.service.d" / "before-253.conf"
UNSUPPORTED = 77  # the launcher's exit status when the kernel lacks what a test is about

pytestmark = pytest.mark.slow


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """A manager whose service, if it still runs, is killed in the end, and all that is left of it drains."""
    receiver = Manager(tmp_path)
    yield receiver
    if receiver.process is not None and receiver.process.poll() is None:
        receiver.process.kill()
        receiver.process.wait()
    receiver.close()


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A rocket.toml for the first example on a free port."""
    path = tmp_path / "rocket.toml"
    write_configuration(path, port=free_port())
    return path


def write_configuration(path: Path, *, port: int, more: str = "") -> None:
    """Two acceptors, a short drain."""
    path.write_text(
        f"""
[server]
handler = "examples.hello:app"
app_dir = "{ROOT}"
host = "127.0.0.1"
port = {port}
num_acceptors = 2
{more}
[timeouts]
drain = 5
[log]
access = "off"
[control]
socket = "{path.parent / "control.sock"}"
"""
    )


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def port_of(configuration: Path) -> int:
    """The port that was written."""
    line = next(line for line in configuration.read_text().splitlines() if line.startswith("port"))
    return int(line.split("=")[1])


def get(port: int) -> int:
    """One request on one connection; the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/health", headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def stop(process: subprocess.Popen[bytes]) -> int:
    """End the service as a signal would."""
    process.send_signal(signal.SIGTERM)
    return process.wait(20)


def unit_commands(path: Path, setting: str) -> list[list[str]]:
    """The commands of a unit file, for the program and the configuration under test."""
    lines = [line for line in path.read_text().splitlines() if line.startswith(f"{setting}=")]
    return [shlex.split(line.partition("=")[2].removeprefix("-")) for line in lines]


def execute(command: list[str], *, configuration: Path, main_pid: int) -> int:
    """Run a command of the unit as systemd would, but with the program under test."""
    translated = {
        "/opt/rocket-sup/bin/rocket-sup": [sys.executable, "-m", "rocket_sup"],
        "/etc/rocket-sup/rocket.toml": [str(configuration)],
    }
    words = [
        word.replace("$MAINPID", str(main_pid)) for part in command for word in translated.get(part, [part])
    ]
    return subprocess.run(words, timeout=30, check=False, stdout=subprocess.DEVNULL).returncode


class Clients:
    """One client that makes connection after connection, and notes what went wrong."""

    def __init__(self, port: int) -> None:
        self.answered = 0
        self.failed: list[str] = []
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Clients:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            try:
                assert get(self._port) == 200
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))


def test_ready_is_said_when_it_serves(manager: Manager, configuration: Path) -> None:
    """READY=1 comes when a request is answered, and not before; the watchdog is fed from then on."""
    process = manager.start("--config", str(configuration), environment={"WATCHDOG_USEC": "1000000"})
    ready = manager.wait_for("READY")
    status = get(port_of(configuration))
    manager.wait_for("WATCHDOG", timeout_s=1.0)
    manager.wait_for("WATCHDOG", timeout_s=1.0)

    assert 200 == status
    assert f"127.0.0.1:{port_of(configuration)}" in ready["STATUS"]
    assert 0 == stop(process)


def test_a_stop_is_announced_and_gives_up_the_sockets(manager: Manager, configuration: Path) -> None:
    """STOPPING=1 comes first; in the end nothing is left in the descriptor store."""
    process = manager.start("--config", str(configuration))
    manager.wait_for("READY")
    manager.read_all()
    stored = list(manager.store)
    status = stop(process)
    manager.wait_for("STOPPING")
    manager.read_all()

    assert 0 == status
    assert 2 == len(stored)
    assert {} == manager.store


def test_a_reload_is_announced_with_its_time(manager: Manager, configuration: Path) -> None:
    """HUP: RELOADING=1 with a time not before the signal, then READY=1, as Type=notify-reload asks."""
    process = manager.start("--config", str(configuration))
    manager.wait_for("READY")
    signalled = time.monotonic_ns() // 1000
    process.send_signal(signal.SIGHUP)
    reloading = manager.wait_for("RELOADING")
    manager.wait_for("READY")

    assert signalled <= int(reloading["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    assert 0 == stop(process)


def test_a_reload_that_is_refused_ends_too(manager: Manager, configuration: Path) -> None:
    """With a wrong configuration nothing changes, and the manager does not wait for ever."""
    process = manager.start("--config", str(configuration))
    manager.wait_for("READY")
    port = port_of(configuration)
    write_configuration(configuration, port=port, more="max_conections = 5")
    process.send_signal(signal.SIGHUP)
    manager.wait_for("RELOADING", timeout_s=5)
    manager.wait_for("READY", timeout_s=5)

    assert 200 == get(port)
    assert 0 == stop(process)


def test_the_stop_commands_return_when_the_tree_has_ended(manager: Manager, configuration: Path) -> None:
    """systemd sends signals after the last ExecStop: by then everything must be over, in good order."""
    process = manager.start("--config", str(configuration))
    manager.wait_for("READY")
    ended: list[int] = []
    waiter = threading.Thread(target=lambda: ended.append(process.wait()))  # reaps it, as systemd does
    waiter.start()
    with socket.create_connection(("127.0.0.1", port_of(configuration))) as client:
        client.sendall(b"GET /report HTTP/1.1\r\nHost: test\r\n\r\n")
        statuses = [
            execute(command, configuration=configuration, main_pid=process.pid)
            for command in unit_commands(SERVICE, "ExecStop")
        ]
        answer = client.recv(65536)
    has_ended = bool(ended)
    waiter.join()

    assert [0, 0] == statuses
    assert has_ended
    assert [0] == ended
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_the_reload_command_for_older_versions(manager: Manager, configuration: Path) -> None:
    """ExecReload waits for the end, and its status says whether the new configuration is in use."""
    process = manager.start("--config", str(configuration))
    manager.wait_for("READY")
    [command] = unit_commands(BEFORE_253, "ExecReload")
    good = execute(command, configuration=configuration, main_pid=process.pid)
    write_configuration(configuration, port=port_of(configuration), more="max_conections = 5")
    wrong = execute(command, configuration=configuration, main_pid=process.pid)

    assert 0 == good
    assert 0 != wrong
    assert 0 == stop(process)


@pytest.mark.parametrize("kept_by", ["descriptor store", "socket unit"])
def test_no_client_notices_that_the_supervisor_was_killed(
    manager: Manager, configuration: Path, kept_by: str
) -> None:
    """The next tree serves on the same sockets; connections made in between wait in the queue."""
    port = port_of(configuration)
    if kept_by == "socket unit":
        manager.activated["http"] = socket.create_server(("127.0.0.1", port), backlog=1024)
    first = manager.start("--config", str(configuration))
    manager.wait_for("READY")
    manager.read_all()
    with Clients(port) as clients:
        wait_until(lambda: clients.answered >= 20)
        first.kill()
        first.wait()
        before = clients.answered
        second = manager.start("--config", str(configuration))
        manager.wait_for("READY")
        wait_until(lambda: clients.answered >= before + 20)

    assert [] == clients.failed
    assert 0 == stop(second)


def test_no_process_makes_writable_memory_executable(manager: Manager, configuration: Path) -> None:
    """The tree serves and reloads with MemoryDenyWriteExecute=yes, which all its processes inherit."""
    process = manager.start("--config", str(configuration), environment={"DENY_WRITE_EXECUTE": "1"})
    try:
        manager.wait_for("READY")
    except TimeoutError:
        if process.poll() == UNSUPPORTED:
            pytest.skip("the kernel has no PR_SET_MDWE (Linux 6.3)")
        raise
    status = get(port_of(configuration))
    process.send_signal(signal.SIGHUP)
    manager.wait_for("RELOADING")
    manager.wait_for("READY")

    assert 200 == status
    assert 200 == get(port_of(configuration))
    assert 0 == stop(process)


def test_an_application_that_cannot_be_imported_is_not_ready(manager: Manager, configuration: Path) -> None:
    """Exit status 3, without READY=1, and the unit file does not try again."""
    configuration.write_text(configuration.read_text().replace("examples.hello", "examples.missing"))
    process = manager.start("--config", str(configuration))
    status = process.wait(20)
    manager.read_all()

    assert 3 == status
    assert not any("READY" in message for message in manager.said)


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 20.0) -> None:
    """Poll a condition that another thread brings about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)
