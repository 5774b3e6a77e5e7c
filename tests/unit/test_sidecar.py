"""Commands of the configuration: real programs, their readiness, their end."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.config import ChildConfig, SupervisorConfig
from rocket_sup.poller import Poller
from rocket_sup.process import Process, fork
from rocket_sup.sidecar import Sidecars, spec_of
from rocket_sup.spec import BRUTAL_KILL, INFINITY, Backoff, ChildSpec, Restart

TurnUntil = Callable[[Callable[[], object]], None]
NOTIFY = """
import os, socket
sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sock.connect("\\0" + os.environ["NOTIFY_SOCKET"][1:])
for text in {texts!r}:
    sock.send(text)
"""


class Scene:
    """Sidecars, and who said ready."""

    def __init__(self, poller: Poller) -> None:
        self.ready: list[str] = []
        self.sidecars = Sidecars(poller, self.ready.append)

    def run(self, **fields: Any) -> int:
        """Launch a command, wait for its end, return its wait status."""
        process = self.sidecars.launch(ChildConfig(name="queue", **fields))
        status = os.waitpid(process.pid, 0)[1]
        process.close()
        return status


@pytest.fixture
def scene(poller: Poller) -> Iterator[Scene]:
    """Sidecars with nobody running."""
    scene = Scene(poller)
    yield scene
    scene.sidecars.forget("queue")


def python(code: str) -> tuple[str, ...]:
    """A command that runs some Python."""
    return ("python3", "-S", "-c", code)


# --- specifications ---


def test_a_command_becomes_a_specification() -> None:
    """Every key has its place; a boot time of 0 is no deadline."""
    child = ChildConfig(
        name="queue", command=("true",), restart="transient", shutdown=2.5, significant=True, boot=0
    )

    assert ChildSpec(
        "queue", restart=Restart.TRANSIENT, shutdown=2.5, significant=True, boot_deadline_s=None
    ) == spec_of(child, SupervisorConfig())


@pytest.mark.parametrize(
    ("written", "expected"), [("brutal_kill", BRUTAL_KILL), ("infinity", INFINITY), (3, 3.0), (0.0, 0.0)]
)
def test_the_ways_to_end_a_command(written: float | str, expected: object) -> None:
    """Words and seconds of the configuration are those of the supervisor."""
    assert expected == spec_of(ChildConfig(name="x", shutdown=written), SupervisorConfig()).shutdown


def test_backoff_is_taken_from_the_supervisors_settings() -> None:
    """A command that asks for backoff gets the configured delays."""
    settings = SupervisorConfig(backoff_initial=0.5, backoff_max=8.0)

    assert Backoff(initial_s=0.5, max_s=8.0) == spec_of(ChildConfig(name="x", backoff=True), settings).backoff


# --- starting ---


def test_a_command_that_executes_is_ready_at_once(scene: Scene) -> None:
    """Without `ready = "notify"` a command counts as started when it exists."""
    process = scene.sidecars.launch(ChildConfig(name="queue", command=("true",)))
    os.waitpid(process.pid, 0)
    process.close()

    assert process.is_ready_at_once


def test_the_environment_of_a_command(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ours with what the configuration adds; the service manager's socket is not passed on."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.setenv("OURS", "1")
    monkeypatch.setenv("BOTH", "ours")
    script = "echo $OURS $BOTH $NEW $NOTIFY_SOCKET $PWD > said"
    scene.run(command=("sh", "-c", script), env={"BOTH": "its own", "NEW": "2"}, cwd=str(tmp_path))

    assert f"1 its own 2 {tmp_path}\n" == (tmp_path / "said").read_text()


def test_a_missing_command_ends_with_127(scene: Scene, capfd: pytest.CaptureFixture[str]) -> None:
    """The line on the standard error names the child."""
    assert 127 == os.WEXITSTATUS(scene.run(command=("no-such-command",)))
    assert "queue: cannot execute 'no-such-command'" in capfd.readouterr().err


# --- readiness ---


@pytest.mark.parametrize(
    "texts", [[b"READY=1"], [b"STATUS=hello", b"STATUS=up\nREADY=1\n"]], ids=["alone", "among others"]
)
def test_a_command_says_ready(scene: Scene, turn_until: TurnUntil, texts: list[bytes]) -> None:
    """READY=1 on the socket it was given makes it ready, whichever line it stands in."""
    status = scene.run(command=python(NOTIFY.format(texts=texts)), ready="notify")
    turn_until(lambda: scene.ready)

    assert 0 == status
    assert ["queue"] == scene.ready


def test_other_words_are_no_readiness(scene: Scene, poller: Poller) -> None:
    """READY=10, XREADY=1 and an empty message say nothing."""
    texts = [b"READY=10", b"XREADY=1", b"READY=0", b""]
    scene.run(command=python(NOTIFY.format(texts=texts)), ready="notify")
    for _ in texts:
        poller.run_once(time.monotonic())

    assert [] == scene.ready


def test_a_command_that_is_to_notify_is_not_ready_at_once(scene: Scene) -> None:
    """It starts when it says so."""
    process = scene.sidecars.launch(ChildConfig(name="queue", command=("true",), ready="notify"))
    os.waitpid(process.pid, 0)
    process.close()

    assert not process.is_ready_at_once


def address_of(scene: Scene, tmp_path: Path) -> str:
    """Launch a command that tells the address it was given."""
    scene.run(command=("sh", "-c", f"echo $NOTIFY_SOCKET > {tmp_path}/address"), ready="notify")
    return (tmp_path / "address").read_text().strip()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_stranger_is_not_believed(scene: Scene, poller: Poller, tmp_path: Path) -> None:
    """A message whose kernel-checked credentials are another user's is dropped."""
    address = "\0" + address_of(scene, tmp_path)[1:]

    def stranger() -> int:
        os.setuid(65534)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        return sock.sendto(b"READY=1", address)

    process = fork(stranger, keep=(), name="stranger")
    status = os.waitpid(process.pid, 0)[1]
    process.close()
    poller.run_once(time.monotonic())

    assert len(b"READY=1") == os.WEXITSTATUS(status), "it could not send"
    assert [] == scene.ready


def test_a_new_life_has_a_new_socket(scene: Scene, poller: Poller, tmp_path: Path) -> None:
    """The address of a former process leads nowhere: its late READY=1 cannot speak for its successor."""
    first = address_of(scene, tmp_path)
    second = address_of(scene, tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        with pytest.raises(ConnectionRefusedError):
            sock.sendto(b"READY=1", "\0" + first[1:])
        sock.sendto(b"READY=1", "\0" + second[1:])
    poller.run_once(time.monotonic() + 5)

    assert first != second
    assert ["queue"] == scene.ready


def test_a_forgotten_command_has_no_socket(scene: Scene, tmp_path: Path) -> None:
    """After its end nothing listens for it; forgetting twice is harmless."""
    address = address_of(scene, tmp_path)
    scene.sidecars.forget("queue")
    scene.sidecars.forget("queue")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, pytest.raises(ConnectionRefusedError):
        sock.sendto(b"READY=1", "\0" + address[1:])


# --- stopping ---


def test_the_whole_group_is_asked_to_stop(scene: Scene, tmp_path: Path) -> None:
    """SIGTERM goes to the command and to what it started itself."""
    os.mkfifo(tmp_path / "up")
    script = f"sleep 60 & echo $! > {tmp_path}/up; wait"
    process = scene.sidecars.launch(ChildConfig(name="queue", command=("sh", "-c", script)))
    started = int((tmp_path / "up").read_text())
    scene.sidecars.ask_to_stop(process)
    statuses = [os.waitpid(pid, 0)[1] for pid in (process.pid, started)]
    process.close()

    assert [signal.SIGTERM] * 2 == statuses


def test_asking_one_that_is_gone_is_no_error(scene: Scene) -> None:
    """A command that ended, and was reaped, is asked in vain."""
    process = scene.sidecars.launch(ChildConfig(name="queue", command=("true",)))
    os.waitpid(process.pid, 0)
    scene.sidecars.ask_to_stop(process)
    process.close()


def test_one_that_leads_no_group_yet_is_asked_alone(scene: Scene) -> None:
    """Between fork and exec there is no group of its own: the signal goes through the pidfd."""
    process: Process = fork(lambda: signal.pause() or 0, keep=(), name="early")
    scene.sidecars.ask_to_stop(process)
    status = os.waitpid(process.pid, 0)[1]
    process.close()

    assert signal.SIGTERM == status
