"""`--reload`: a real watcher, real processes, a server that only tells what happens to it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rocket_sup.config import Config, ControlConfig, ServerConfig
from rocket_sup.config_load import Inputs
from rocket_sup.control_path import default_directory
from rocket_sup.reloader import Reloader, ReloaderError, _say, serve_and_reload

watchfiles = pytest.importorskip("watchfiles")

pytestmark = pytest.mark.slow

WAIT_S = 10.0
# Tells its start and its signals through a pipe; ends at once, with the status in the file, if there is one.
SERVER = """
import os, signal, sys
pipe = open(sys.argv[1], "w", buffering=1)
was_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
def tell(signum, frame):
    print(signal.Signals(signum).name, os.getpid(), file=pipe)
    if signum != signal.SIGHUP:
        sys.exit(0)
for signum in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
    signal.signal(signum, tell)
status = open(sys.argv[2]).read() if os.path.exists(sys.argv[2]) else ""
print("start" if was_ignored else "exposed", os.getpid(), file=pipe)
if status:
    sys.exit(int(status))
while True:
    signal.pause()
"""


class Stage:
    """A directory with an application, a server that tells what happens, and a script of what to do."""

    def __init__(self, directory: Path) -> None:
        self.source = directory / "source"
        self.source.mkdir()
        (self.source / "application.py").touch()
        self.file = directory / "rocket.toml"
        self.file.touch()
        self.status = directory / "status"
        self.control = directory / "control"
        (directory / "server").write_text(SERVER)
        os.mkfifo(directory / "pipe")
        self._pipe = os.open(directory / "pipe", os.O_RDWR)
        self._told = b""
        self.command = [sys.executable, str(directory / "server"), str(directory / "pipe"), str(self.status)]
        self.says: queue.Queue[str] = queue.Queue()
        self.errors: list[BaseException] = []

    def run(
        self, script: Callable[[], object], *, socket_path: str | None = None, stop: int = signal.SIGTERM
    ) -> int:
        """Run a reloader here, where signals arrive, and the script beside it; end with a signal."""
        config = Config(
            server=ServerConfig(app_dir=str(self.source), port=0),
            control=ControlConfig(socket=str(self.control) if socket_path is None else socket_path),
        )
        reloader = Reloader(self.command, config, Inputs(self.file, {}, {}), watchfiles, say=self.says.put)

        def beside() -> None:
            try:
                script()
            except BaseException as error:
                self.errors.append(error)
            finally:
                os.kill(os.getpid(), stop)

        thread = threading.Thread(target=beside)
        thread.start()
        status = reloader.run()
        thread.join()
        assert [] == self.errors
        return status

    def hear(self) -> tuple[str, int]:
        """The next thing that the server tells: what, and which process."""
        while b"\n" not in self._told:
            ready, _, _ = select.select([self._pipe], [], [], WAIT_S)
            assert ready, "the server tells nothing"
            self._told += os.read(self._pipe, 4096)
        line, _, self._told = self._told.partition(b"\n")
        what, pid = line.decode().split()
        return what, int(pid)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._pipe)


def watchers() -> int:
    """How many descriptors of watchers this process has."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since they were listed
            count += "anon_inode" in os.readlink(f"/proc/self/fd/{name}")
    return count


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage, cleared away afterwards."""
    before = watchers()
    made = Stage(tmp_path)
    yield made
    made.close()
    deadline = time.monotonic() + WAIT_S
    while watchers() > before and time.monotonic() < deadline:
        os.sched_yield()  # the thread of watchfiles closes its descriptors when it gets round to it


def answer_status(path: Path, pid: int) -> None:
    """Answer one request for the status, as a running supervisor would."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        sock.settimeout(WAIT_S)
        client, _ = sock.accept()
        with client:
            client.recv(4096)
            client.sendall(json.dumps({"ok": True, "supervisor": {"pid": pid}}).encode() + b"\n")


def test_a_server_that_answers_is_told_to_reload(stage: Stage) -> None:
    """SIGHUP, and what changed is printed."""
    heard: list[object] = []

    def script() -> None:
        what, pid = stage.hear()
        (stage.source / "application.py").write_text("x = 1\n")
        answer_status(stage.control, pid)
        heard.extend([what, stage.hear() == ("SIGHUP", pid)])

    assert 0 == stage.run(script)
    assert ["start", True] == heard
    assert "changed: application.py" == stage.says.get_nowait()


def test_a_server_on_a_free_port_is_found_by_its_process(stage: Stage) -> None:
    """Its control socket is named by its id, in the default directory."""
    heard: list[object] = []

    def script() -> None:
        _, pid = stage.hear()
        directory = default_directory(os.environ)
        directory.mkdir(exist_ok=True)
        path = directory / f"pid-{pid}.sock"
        (stage.source / "application.py").write_text("x = 1\n")
        answer_status(path, pid)
        path.unlink()
        heard.append(stage.hear() == ("SIGHUP", pid))

    assert 0 == stage.run(script, socket_path="")
    assert [True] == heard


@pytest.mark.parametrize(
    ("stop", "passed_on"),
    [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGTERM")],
)
def test_a_stop_is_passed_on(stage: Stage, stop: int, passed_on: str) -> None:
    """Ctrl-C, kill, and a terminal that was closed: the server leaves with its watcher."""
    assert 0 == stage.run(stage.hear, stop=stop)
    assert passed_on == stage.hear()[0]


def test_a_server_that_does_not_answer_yet_is_replaced(stage: Stage) -> None:
    """It may still be importing the old code, and deaf to signals."""
    heard: list[object] = []

    def script() -> None:
        _, first = stage.hear()
        (stage.source / "new.py").touch()
        heard.append(stage.hear() == ("SIGTERM", first))
        what, second = stage.hear()
        heard.extend([what, second != first])

    assert 0 == stage.run(script)
    assert [True, "start", True] == heard


def test_a_server_that_does_not_start_is_started_again_at_the_next_change(stage: Stage) -> None:
    """A syntax error at the first start is not the end."""
    heard: list[object] = []
    stage.status.write_text("3")

    def script() -> None:
        heard.append(stage.hear()[0])
        stage.status.unlink()
        heard.append(stage.says.get(timeout=WAIT_S))
        (stage.source / "application.py").write_text("x = 1\n")
        heard.append(stage.hear()[0])

    assert 0 == stage.run(script)
    assert ["start", "the server ended with status 3; waiting for a change", "start"] == heard


def test_a_server_that_ends_well_is_not_started_again(stage: Stage) -> None:
    """`rocket-sup drain` means it."""
    stage.status.write_text("0")
    config = Config(server=ServerConfig(app_dir=str(stage.source)))
    reloader = Reloader(stage.command, config, Inputs(None, {}, {}), watchfiles, say=stage.says.put)

    assert 0 == reloader.run()


def test_the_configuration_is_watched_too(stage: Stage) -> None:
    """Wherever it lies; other files are not."""
    heard: list[object] = []

    def script() -> None:
        stage.hear()
        (stage.source / "notes.txt").touch()
        (stage.source / ".hidden.py").touch()
        (stage.source / "node_modules").mkdir()
        (stage.source / "node_modules" / "x.py").touch()
        stage.file.write_text("[server]\n")
        heard.append(stage.hear()[0])

    assert 0 == stage.run(script)
    assert ["SIGTERM"] == heard


def test_waiting_for_a_change_can_be_ended(stage: Stage) -> None:
    """Ctrl-C works while no server runs."""
    stage.status.write_text("3")

    assert 0 == stage.run(lambda: stage.says.get(timeout=WAIT_S))


def test_a_server_that_is_being_replaced_is_not_started_again_after_a_stop(stage: Stage) -> None:
    """The stop may come while the old one is still leaving."""
    heard: list[object] = []

    def script() -> None:
        stage.hear()
        (stage.source / "new.py").touch()
        heard.append(stage.hear()[0])

    stage.run(script)
    assert ["SIGTERM"] == heard


def test_what_happens_is_told_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the log of the server goes, too."""
    _say("changed: a.py")

    assert "rocket-sup --reload: changed: a.py\n" == capsys.readouterr().err


def test_without_watchfiles_the_command_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra, which most installations do without."""

    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)

    with pytest.raises(ReloaderError, match=r"pip install 'rocket-sup\[reload\]'"):
        serve_and_reload(Inputs(None, {}, {"server.handler": "a:b"}), [])


def test_the_server_runs_with_the_same_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a process of its own, by this interpreter."""
    commands = []

    def run(self: Reloader) -> int:
        commands.append(self._command)
        return 7

    monkeypatch.setattr(Reloader, "run", run)

    assert 7 == serve_and_reload(Inputs(None, {}, {"server.handler": "a:b"}), ["a:b", "--port", "9"])
    assert [[sys.executable, "-m", "rocket_sup", "a:b", "--port", "9"]] == commands
