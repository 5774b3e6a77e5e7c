"""The datagrams and descriptors exchanged with a service manager, over real sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rocket_sup.errors import ConfigError
from rocket_sup.ops import systemd
from rocket_sup.ops.systemd import Notifier, listen_fds


class Manager:
    """The receiving end of a notify socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind("\0" + address[1:] if address.startswith("@") else address)
        self.sock.settimeout(5)

    def receive(self) -> list[str]:
        return self.sock.recv(65536).decode().split("\n")

    def receive_with_fds(self) -> tuple[list[str], list[int]]:
        message, fds, _, _ = socket.recv_fds(self.sock, 65536, 253)
        return message.decode().split("\n"), fds


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager on each kind of address."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@rocket-test-{os.getpid()}"
    receiver = Manager(address)
    yield receiver
    receiver.sock.close()


def test_every_message_as_the_manual_spells_it(manager: Manager) -> None:
    """Each method sends the variables of sd_notify(3), one datagram each."""
    notifier = Notifier(manager.address)
    sent = [
        notifier.ready("4 of 4 acceptors"),
        notifier.stopping(),
        notifier.status("serving"),
        notifier.watchdog(),
        notifier.extend_timeout(1.5),
        notifier.main_pid(42),
        notifier.remove_fds("held-0"),
    ]

    assert [True] * 7 == sent
    assert ["READY=1", "STATUS=4 of 4 acceptors"] == manager.receive()
    assert ["STOPPING=1"] == manager.receive()
    assert ["STATUS=serving"] == manager.receive()
    assert ["WATCHDOG=1"] == manager.receive()
    assert ["EXTEND_TIMEOUT_USEC=1500000"] == manager.receive()
    assert ["MAINPID=42"] == manager.receive()
    assert ["FDSTOREREMOVE=1", "FDNAME=held-0"] == manager.receive()


def test_reloading_carries_the_monotonic_time(manager: Manager) -> None:
    """Type=notify-reload compares MONOTONIC_USEC with the moment it sent the signal."""
    before = time.monotonic_ns() // 1000
    Notifier(manager.address).reloading("reading the configuration")
    after = time.monotonic_ns() // 1000

    reloading, monotonic, status = manager.receive()
    assert ("RELOADING=1", "STATUS=reading the configuration") == (reloading, status)
    assert before <= int(monotonic.removeprefix("MONOTONIC_USEC=")) <= after


def test_a_status_stays_one_line(manager: Manager) -> None:
    """A line break in a status cannot smuggle in another variable."""
    Notifier(manager.address).status("a\nMAINPID=1\0b")

    assert ["STATUS=a MAINPID=1 b"] == manager.receive()


def test_stored_descriptors_arrive_open_and_named(manager: Manager) -> None:
    """A stored socket reaches the manager as a duplicate of the same open socket."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert Notifier(manager.address).store_fds("held-0", [listening.fileno()])
        lines, fds = manager.receive_with_fds()
        with socket.socket(fileno=fds[0]) as received:
            assert listening.getsockname() == received.getsockname()

    assert ["FDSTORE=1", "FDNAME=held-0", "FDPOLL=0"] == lines
    assert 1 == len(fds)


def test_many_descriptors_are_sent_in_messages_the_kernel_takes(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More descriptors than fit into one message are spread over several."""
    monkeypatch.setattr(systemd, "MAX_FDS_PER_MESSAGE", 2)

    assert Notifier(manager.address).store_fds("held", [manager.sock.fileno()] * 3)

    counts = []
    for _ in range(2):
        fds = manager.receive_with_fds()[1]
        counts.append(len(fds))
        for fd in fds:
            os.close(fd)
    assert [2, 1] == counts


def test_no_descriptors_to_store_sends_nothing(manager: Manager) -> None:
    """An empty list is not a message."""
    assert not Notifier(manager.address).store_fds("held", [])


@pytest.mark.parametrize("name", ["", "a:b", "ümlaut", "tab\t", "x" * 256])
def test_a_descriptor_name_the_manager_would_ignore_is_refused(name: str) -> None:
    """Names outside FDNAME's grammar fail here, where somebody sees it."""
    notifier = Notifier()

    with pytest.raises(ValueError, match="descriptor name"):
        notifier.store_fds(name, [0])
    with pytest.raises(ValueError, match="descriptor name"):
        notifier.remove_fds(name)


def test_without_a_manager_nothing_happens() -> None:
    """Started by hand, all messages are quietly dropped."""
    notifier = Notifier.from_environment({})

    assert notifier.watchdog_interval_s is None
    assert not notifier.ready()


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    """A dead or unreachable notify socket gives False."""
    assert not Notifier(str(tmp_path / "nobody")).ready()
    assert not Notifier("/" + "x" * 200).ready()


def test_a_manager_that_does_not_read_delays_us_by_a_bound(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the queue of the manager is full, sending gives up."""
    monkeypatch.setattr(systemd, "SEND_TIMEOUT_S", 0.01)
    notifier = Notifier(manager.address)

    sent = 0
    while notifier.watchdog():
        sent += 1

    assert sent > 0


def test_the_environment_is_read_once_and_removed() -> None:
    """Children do not inherit the variables; the interval is half the manager's deadline."""
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7", "HOME": "/"}
    notifier = Notifier.from_environment(environ, pid=7)

    assert Notifier("@x", 5.0) == notifier
    assert {"HOME": "/"} == environ


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "4000000"}, 2.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0", "WATCHDOG_PID": "7"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_named_process(environ: dict[str, str], expected: float | None) -> None:
    """WATCHDOG_PID of another process, or no deadline, means nobody watches us."""
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "@x", **environ}, pid=7)

    assert expected == notifier.watchdog_interval_s


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NOTIFY_SOCKET", "vsock:2:1"),
        ("NOTIFY_SOCKET", "/"),
        ("WATCHDOG_USEC", "-1"),
        ("WATCHDOG_USEC", "1s"),
    ],
)
def test_a_notify_environment_nobody_understands_is_named(variable: str, value: str) -> None:
    """A wrong variable is a configuration error that names it."""
    with pytest.raises(ConfigError) as caught:
        Notifier.from_environment({"NOTIFY_SOCKET": "@x", variable: value})

    assert variable == caught.value.problems[0].key


def run_with_passed_fds(environ: dict[str, str], *, fds: int) -> str:
    """Fork, place sockets at descriptors 3 and up as a manager would, and report what `listen_fds` gave."""
    reading, writing = os.pipe()
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(fds)]
    pid = os.fork()
    if pid == 0:
        try:
            high = os.dup(writing) if writing >= 3 + fds else os.dup2(writing, 100)
            kept = [os.dup2(sock.fileno(), 200 + index) for index, sock in enumerate(sockets)]
            report = os.dup2(high, 300)
            os.closerange(3, 200)
            for index, fd in enumerate(kept):
                os.dup2(fd, 3 + index, inheritable=True)
            environ["LISTEN_PID"] = environ.get("LISTEN_PID", str(os.getpid()))
            try:
                passed = listen_fds(environ, os.getpid())
                text = repr([(fd, name, os.get_inheritable(fd)) for fd, name in passed])
            except ConfigError as error:
                text = str(error)
            os.write(report, f"{text} {sorted(environ)}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    for sock in sockets:
        sock.close()
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(pid, 0)
    return text


def test_sockets_and_stored_descriptors_arrive_by_name() -> None:
    """All descriptors are taken over, closed on exec, and the variables are gone."""
    environ = {"LISTEN_FDS": "2", "LISTEN_FDNAMES": "rocket-sup.socket:held-0", "HOME": "/"}

    expected = "[(3, 'rocket-sup.socket', False), (4, 'held-0', False)] ['HOME']"
    assert expected == run_with_passed_fds(environ, fds=2)


def test_unnamed_descriptors_are_unknown() -> None:
    """Without LISTEN_FDNAMES every name is the one sd_listen_fds_with_names(3) gives."""
    assert "[(3, 'unknown', False)] []" == run_with_passed_fds({"LISTEN_FDS": "1"}, fds=1)


def test_descriptors_for_another_process_are_not_ours() -> None:
    """LISTEN_PID of another process gives nothing, and still removes the variables."""
    assert "[] []" == run_with_passed_fds({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, fds=1)


def test_a_promised_descriptor_that_is_not_open_is_named() -> None:
    """A wrong count is a configuration error."""
    text = run_with_passed_fds({"LISTEN_FDS": "2"}, fds=1)

    assert text.startswith("environment: LISTEN_FDS: 2 descriptors promised, but 4 is not open")


def test_a_count_that_is_no_number_is_named() -> None:
    """LISTEN_FDS must be a whole number."""
    with pytest.raises(ConfigError, match="LISTEN_FDS: 'many'"):
        listen_fds({"LISTEN_PID": "7", "LISTEN_FDS": "many"}, 7)
