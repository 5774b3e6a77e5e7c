"""One server at a time: start it on its core, load it from the other, read what it cost, end it.

The CPU a server burns while idle is measured first and taken off: a peer that polls is charged for its
requests alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.cpu import cpu_ns, memory_bytes, spent_ns
from benchmarks.servers import HERE, LIBRARIES, Place, Server


@dataclass(frozen=True, slots=True)
class Workload:
    """A request as wrk repeats it.

    Attributes:
        post_bytes: size of the body; 0 means GET.
        logs: the server writes an access log meanwhile.
        answer: what the body of the answer must be, checked once before measuring; "" is not checked.
    """

    name: str
    path: str
    post_bytes: int = 0
    logs: bool = False
    answer: str = ""


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("health", "/health", answer="ok"),
        Workload("json", "/json", answer='{"message":"Hello, World!"}'),
        Workload("param", "/api/users/42", answer='{"id":"42","name":"Alice"}'),
        Workload("post", "/api/users", post_bytes=1024, answer="1024"),
        Workload("logged", "/health", logs=True, answer="ok"),
    )
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How to measure: cores, connections, seconds of load, seconds of warming up, idle connections."""

    server_core: int = 0
    load_core: int = 1
    connections: int = 64
    seconds: float = 2.0
    warm_s: float = 0.5
    idle_connections: int = 2000


class UnusableError(Exception):
    """A server that did not start, or does not answer as the others do."""


@contextlib.contextmanager
def running(server: Server, settings: Settings, *, logs: bool = False) -> Iterator[tuple[int, int]]:
    """Start a server in a temporary directory; (root pid, port). Its whole process group is ended afterwards.

    Raises:
        UnusableError: it ended, or did not listen within 20 s.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        command = ["taskset", "-c", str(settings.server_core), *server.command(Place(port, directory), logs)]
        with open(os.path.join(directory, "output"), "w+", encoding="utf-8", errors="replace") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                cwd=directory,
                start_new_session=True,
                env={**os.environ, "LD_LIBRARY_PATH": LIBRARIES},
            )
            try:
                wait_listening(process, port, output.name)
                yield process.pid, port
            finally:
                end(process)


def wait_listening(process: subprocess.Popen[bytes], port: int, output: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)  # a foreign server sends no readiness message that could be waited for
        else:
            return
    with open(output, encoding="utf-8", errors="replace") as file:
        lines = file.read().strip().splitlines() or ["no output"]
    raise UnusableError(f"does not listen: {lines[-1]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """TERM to the process that was started, KILL to its group when that is not enough."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"{process.args}: still there 10 s after TERM\n")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def check_answer(port: int, workload: Workload) -> None:
    """One request by hand: a server that answers something else is not compared.

    Raises:
        UnusableError: wrong status or body.
    """
    method = "POST" if workload.post_bytes else "GET"
    head = f"{method} {workload.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    if workload.post_bytes:
        head += f"Content-Length: {workload.post_bytes}\r\nContent-Type: application/octet-stream\r\n"
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(head.encode() + b"\r\n" + b"x" * workload.post_bytes)
        answer = b""
        while not answer.endswith(workload.answer.encode()) and (received := sock.recv(65536)):
            answer += received
    if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(workload.answer.encode()):
        raise UnusableError(f"{workload.name}: unexpected answer {answer[-300:]!r}")


def wrk(port: int, workload: Workload, settings: Settings, seconds: float) -> dict[str, int]:
    """Run wrk with one thread on the load core; what it counted."""
    whole = max(1, round(seconds))
    command = ["taskset", "-c", str(settings.load_core), "wrk", "-t1"]
    command += [f"-c{settings.connections}", f"-d{whole}s", "-s", os.path.join(HERE, "load.lua")]
    command.append(f"http://127.0.0.1:{port}{workload.path}")
    environment = {**os.environ, "POST_BYTES": str(workload.post_bytes)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=whole + 30)
    counted = [line[1:] for line in done.stdout.splitlines() if line.startswith("@")]
    if not counted:
        raise UnusableError(f"wrk: {done.stderr[-300:] or done.stdout[-300:]}")
    result: dict[str, int] = json.loads(counted[0])
    return result


def measure_load(root: int, port: int, workload: Workload, settings: Settings) -> dict[str, float]:
    """CPU per request and what wrk saw, idle cost taken off."""
    wrk(port, workload, settings, settings.warm_s)
    before, began = cpu_ns(root), time.monotonic()
    time.sleep(0.3)  # the measurement of idling itself
    idle_share = spent_ns(before, cpu_ns(root)) / ((time.monotonic() - began) * 1e9)
    before, began = cpu_ns(root), time.monotonic()
    counted = wrk(port, workload, settings, settings.seconds)
    spent, elapsed_ns = spent_ns(before, cpu_ns(root)), (time.monotonic() - began) * 1e9
    requests = max(1, counted["requests"])
    return {
        "cpu_us": (spent - idle_share * elapsed_ns) / requests / 1e3,
        "idle_share": idle_share,
        "requests_per_s": counted["requests"] / counted["duration_us"] * 1e6,
        "p50_us": counted["p50_us"],
        "p99_us": counted["p99_us"],
        "errors": counted["errors"] + counted["bad_status"],
    }


def measure_idle(root: int, port: int, settings: Settings) -> dict[str, float]:
    """Bytes of memory for each kept connection that has been answered once and now waits."""
    with contextlib.closing(Idle(port)) as first:
        first.open(200)  # so that lazily imported code and first allocations are not charged to connections
    time.sleep(0.5)  # the server notices the ends
    before = memory_bytes(root)
    with contextlib.closing(Idle(port)) as idle:
        idle.open(settings.idle_connections)
        time.sleep(0.5)  # buffers that are freed late are freed
        after = memory_bytes(root)
    count = settings.idle_connections
    return {
        "rss_bytes": (after[0] - before[0]) / count,
        "pss_bytes": (after[1] - before[1]) / count,
        "base_rss_bytes": before[0],
        "base_pss_bytes": before[1],
    }


class Idle:
    """Kept connections on which one GET has been answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sockets: list[socket.socket] = []

    def open(self, count: int) -> None:
        """Open `count` more, one request each.

        Raises:
            UnusableError: one was not answered.
        """
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self._port), 5)
            self._sockets.append(sock)
            sock.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n")
            if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
                raise UnusableError("an idle connection was not answered")

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()
