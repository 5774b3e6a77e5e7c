"""One server at a time: start it on its core, load it from the other, read what it cost, end it.

The CPU a server burns while idle is measured first and taken off: a peer that polls is charged for its
requests alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.answers import Kept, UnusableError
from benchmarks.cpu import descendants, private_bytes, spent_ns, ticks, times_ns
from benchmarks.servers import BUILD, HERE, LIBRARIES, Place, Server
from benchmarks.workloads import Workload

START_S = 20  # a foreign server that has not listened by then will not
SETTLE_S = 0.5  # for ends of connections to be noticed, and buffers that are freed late


class NotListeningError(UnusableError):
    """It ended, or did not listen in time: perhaps it cannot run here at all."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure.

    Attributes:
        nice: of server and wrk alike; below 0, which needs root, keeps other work off their cores.
        turns: of the servers of one workload, in each round.
        warm_s: load before anything is read.
        idle_connections: for the workload of that name.
    """

    server_core: int = 0
    load_core: int = 1
    nice: int = 0
    seconds: float = 1.0
    turns: int = 3
    warm_s: float = 0.5
    idle_connections: int = 8000  # an allocator that takes a MiB at once is wrong by 131 bytes each

    def start(self, command: list[str], core: int, **options: Any) -> subprocess.Popen[str]:
        """Start a command on a core, in a session of its own; a session is what the scheduler is fair to."""
        pinned = ["nice", "-n", str(self.nice), "taskset", "-c", str(core), *command]
        process = subprocess.Popen(pinned, text=True, start_new_session=True, **options)
        if self.nice:
            with (
                contextlib.suppress(FileNotFoundError),  # the kernel does not group: `nice` was enough
                open(f"/proc/{process.pid}/autogroup", "w", encoding="ascii") as file,
            ):
                file.write(str(self.nice))
        return process


def allow_descriptors(count: int) -> None:
    """Let this process and the servers it starts have so many connections each, if the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200  # what a program has open besides
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


@contextlib.contextmanager
def running(server: Server, workload: Workload, settings: Settings) -> Iterator[tuple[int, Place]]:
    """Start a server in a temporary directory; (root pid, place). Its process group is ended afterwards.

    Raises:
        NotListeningError: it ended, or did not listen.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        place = Place(port, directory)
        with open(os.path.join(directory, "output"), "w+", encoding="utf-8", errors="replace") as output:
            process = settings.start(
                server.command(place, workload),
                settings.server_core,
                stdout=output,
                stderr=output,
                cwd=directory,
                env={**os.environ, "LD_LIBRARY_PATH": LIBRARIES},
            )
            try:
                wait_listening(process, port, directory)
                yield process.pid, place
            finally:
                end(process)


def wait_listening(process: subprocess.Popen[str], port: int, directory: str) -> None:
    """Wait until the port answers; the last line of its output is the reason when it never does."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)  # a foreign server sends no readiness message that could be waited for
        else:
            return
    with open(os.path.join(directory, "output"), encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()] or ["no output"]
    raise NotListeningError(f"does not listen: {lines[-1].replace(directory + '/', '')}")


def end(process: subprocess.Popen[str]) -> None:
    """TERM to the process that was started, KILL to its group when that is not enough."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(3)  # some peers wait for kept connections, and all their figures are read by now
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def start_wrk(
    port: int, workload: Workload, connections: int, settings: Settings, seconds: int
) -> subprocess.Popen[str]:
    """Begin to load, with one thread on the load core; load.lua reads the environment. wrk speaks no
    WebSocket: there talk.c stands in.
    """
    if workload.interface == "ws":
        talk = [os.path.join(BUILD, "talk"), str(port), workload.path, str(connections), str(workload.depth)]
        return settings.start(
            [*talk, str(seconds)], settings.load_core, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", os.path.join(HERE, "load.lua")]
    fields = "\n".join(f"{name}: {value}" for name, value in workload.fields.items())
    load = {"POST_BYTES": str(workload.post_bytes), "DEPTH": str(workload.depth), "FIELDS": fields}
    return settings.start(
        [*command, f"http://127.0.0.1:{port}{workload.path}"],
        settings.load_core,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **load},
    )


def warm(port: int, workload: Workload, connections: int, settings: Settings) -> None:
    """Load for less than the whole second that is wrk's least."""
    with start_wrk(port, workload, connections, settings, 60) as process:
        try:
            process.wait(settings.warm_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)


def wrk(port: int, workload: Workload, connections: int, settings: Settings) -> dict[str, int]:
    """Load for a while; what was counted.

    Raises:
        UnusableError: nothing was.
    """
    seconds = max(1, round(settings.seconds))
    with start_wrk(port, workload, connections, settings, seconds) as process:
        try:
            printed = process.communicate(timeout=seconds + 30)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            raise UnusableError("wrk did not end") from None
    counted = [line[1:] for line in printed.splitlines() if line.startswith("@")]
    result: dict[str, int] = json.loads(counted[0]) if counted else {}
    if not result.get("requests"):
        raise UnusableError(f"wrk: {printed[-300:]}")
    return result


def measure_load(
    root: int, port: int, workload: Workload, connections: int, settings: Settings
) -> dict[str, float]:
    """CPU per request and what wrk saw, idle cost taken off."""
    before, began = times_ns(root), time.monotonic()
    time.sleep(0.3)  # the measurement of idling itself
    idle_share = spent_ns(before, times_ns(root))[0] / ((time.monotonic() - began) * 1e9)
    user, kernel = ticks(root)
    before, began = times_ns(root), time.monotonic()
    counted = wrk(port, workload, connections, settings)
    (spent, waited), elapsed_ns = spent_ns(before, times_ns(root)), (time.monotonic() - began) * 1e9
    user, kernel = (now - then for now, then in zip(ticks(root), (user, kernel), strict=True))
    return {
        "cpu_us": (spent - idle_share * elapsed_ns) / counted["requests"] / 1e3,
        "user_share": user / max(1, user + kernel),
        "idle_share": idle_share,
        "waited_share": waited / elapsed_ns,
        "requests_per_s": counted["requests"] / counted["duration_us"] * 1e6,
        "p50_us": counted["p50_us"],
        "p99_us": counted["p99_us"],
        "errors": counted["errors"] + counted["bad_status"],
    }


def measure_idle(root: int, port: int, workload: Workload, settings: Settings) -> dict[str, float]:
    """Private memory for each kept connection that has been answered once and now waits."""
    with contextlib.closing(Kept(port, workload)) as first:
        first.open(200)  # so that lazily imported code and first allocations are not charged to connections
    time.sleep(SETTLE_S)
    before = sum(private_bytes(root).values())
    with contextlib.closing(Kept(port, workload)) as kept:
        kept.open(settings.idle_connections)
        time.sleep(SETTLE_S)
        after = sum(private_bytes(root).values())
    return {"private_bytes": (after - before) / settings.idle_connections}


def measure_memory(root: int, port: int, workload: Workload) -> dict[str, float]:
    """Private memory of the process that serves, and of all processes, after one answer.

    The process that serves is the largest of those that have no children.
    """
    with contextlib.closing(Kept(port, workload)) as kept:
        kept.open(1)
    time.sleep(SETTLE_S)
    sizes = private_bytes(root)
    leaves = [size for pid, size in sizes.items() if descendants(pid) == [pid]]
    return {"process_bytes": max(leaves), "tree_bytes": sum(sizes.values())}
