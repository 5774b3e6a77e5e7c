"""What holds for every test: nothing is left behind, and no service manager is listening.

The test process is made the reaper of orphans, so that a grandchild whose parent died is still seen. Time
limits are pytest-timeout's (`timeout` in pyproject.toml): they cover fixtures too, which a fixture could not.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from rocket_sup.client.loopthread import run

# A wall clock on a busy machine says nothing about a test; each has its time limit anyway.
settings.register_profile("rocket", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rocket")

PR_SET_CHILD_SUBREAPER = 36
FAREWELL_S = 2.0  # how long processes that were told to leave may need once the test is over
MANAGER_VARIABLES = (
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "RUNTIME_DIRECTORY",
)
USER_VARIABLES = ("PORT", "WEB_CONCURRENCY")
KEPT_VARIABLES = ("ROCKET_NATIVE",)  # says whether this run does without the native module


@pytest.fixture(scope="session", autouse=True)
def own_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the session a runtime directory of its own, no inherited settings, and every orphan."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    runtime = tmp_path_factory.mktemp("runtime")
    runtime.chmod(0o700)
    with pytest.MonkeyPatch.context() as patch:
        for variable in list(os.environ):
            is_setting = variable.startswith("ROCKET_") and variable not in KEPT_VARIABLES
            if is_setting or variable in MANAGER_VARIABLES + USER_VARIABLES:
                patch.delenv(variable)
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        yield runtime


@pytest.fixture(scope="session")
def pipe_of_libuv() -> None:
    """Have libuv open the pipe that it keeps for signals as long as the process lives."""
    uvloop.new_event_loop().close()


@pytest.fixture(scope="session")
def loop_of_clients(pipe_of_libuv: None) -> None:
    """Start the loop that all synchronous clients of a process share, and never stop.

    libuv opens a spare descriptor with the first stream of a loop and keeps it.
    """

    async def open_a_stream() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
            transport.abort()

    run(open_a_stream())


@pytest.fixture(autouse=True)
def nothing_left_behind(own_surroundings: Path) -> Iterator[None]:
    """Fail a test that leaves a process, a descriptor or a socket file; processes are killed first."""
    processes, descriptors, sockets = _children(), _descriptors(), _socket_files(own_surroundings)
    yield
    problems = [f"process {pid}: {name}" for pid, name in _processes_left(processes)]
    if _descriptors().keys() - descriptors.keys():
        gc.collect()  # only then: it costs milliseconds
    left = _descriptors()
    problems += [f"descriptor {fd}: {left[fd]}" for fd in left.keys() - descriptors.keys()]
    for path in _socket_files(own_surroundings) - sockets:
        path.unlink(missing_ok=True)
        problems.append(f"socket file {path}")
    assert not problems, "left behind: " + "; ".join(problems)


def _children() -> set[int]:
    """All children of this process, whichever thread started them."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(int(pid) for pid in (task / "children").read_text().split())
        except FileNotFoundError:  # the thread has ended
            continue
    return found


def _processes_left(before: set[int]) -> list[tuple[int, str]]:
    """Reap what has ended, wait for what is about to end, kill the rest and say what it was."""
    deadline = time.monotonic() + FAREWELL_S
    while (new := _still_running(before)) and time.monotonic() < deadline:
        time.sleep(0.01)  # polling: pidfds would add descriptors while they are counted
    left = [(pid, _command(pid)) for pid in new]
    while new:
        for pid in new:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        new = _still_running(before)  # the orphans of those
    return left


def _still_running(before: set[int]) -> list[int]:
    running = []
    for pid in _children() - before:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                running.append(pid)
        except ChildProcessError:  # the test's own code reaped it just now
            continue
    return running


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def _descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:  # the descriptor that listed the directory
            continue
    return found


def _socket_files(runtime: Path) -> set[Path]:
    return {path for path in runtime.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)}
