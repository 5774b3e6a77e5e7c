"""Contents that are much larger than memory is allowed to grow: up, down, and both at once.

    python -m loadtests.bulk [--gib 10] [--engine epoll] [--loop auto]

Starts the whole tree on a free port and says for each way how long it took and how much resident memory the
acceptor had at the most. Exit status 1 when that grew by more than a fixed amount, or a byte was missing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil

from rocket_sup import Request, Response, Router

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GIB = 1 << 30
BLOCK = b"x" * (1 << 20)
MAY_GROW_BYTES = 32 << 20  # buffers of sockets, queues and allocators: nothing that depends on the content

app = Router()


@app.get("/pid")
def pid(req: Request) -> int | str:
    """Which process serves."""
    return str(os.getpid())


@app.put("/count", stream=True, max_body=1 << 50)
async def count(req: Request) -> str:
    """Take everything."""
    size = 0
    async for piece in req.stream():
        size += len(piece)
    return str(size)


@app.get("/make")
def make(req: Request) -> Response:
    """Make as much as is asked for."""
    size = int(req.query_params["bytes"])
    return Response.stream((BLOCK for _ in range(size // len(BLOCK))), length=size)


@app.put("/upper", stream=True, max_body=1 << 50)
async def upper(req: Request) -> Response:
    """Send back what comes."""
    length = int(req.headers["content-length"])
    return Response.stream((piece.upper() async for piece in req.stream()), length=length)


@contextlib.contextmanager
def serving(engine: str, loop: str) -> Iterator[int]:
    """Start the tree with one acceptor; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [sys.executable, "-m", "rocket_sup", "loadtests.bulk:app", "--bind", f"127.0.0.1:{port}"]
    command += ["--num-acceptors", "1", "--engine", engine]
    environment = {**os.environ, "ROCKET_SERVER_LOOP": loop, "ROCKET_LOG_ACCESS": "off"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 20.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1.0).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40.0)


def ask(port: int, line: str, length: int = 0) -> socket.socket:
    """Send a head."""
    client = socket.create_connection(("127.0.0.1", port), 30.0)
    client.sendall(f"{line} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode())
    return client


def head_of(client: socket.socket) -> tuple[int, bytes]:
    """Read a head; the content's length, and what came of it."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65536)
        if not piece:
            raise ConnectionError(f"closed within a head: {received!r}")
        received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    found = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 200") or found is None:
        raise ConnectionError(f"answered {head!r}")
    return int(found[1]), rest


def write(client: socket.socket, size: int) -> None:
    """Send content."""
    for _ in range(size // len(BLOCK)):
        client.sendall(BLOCK)


def read(client: socket.socket) -> tuple[int, bytes]:
    """Read an answer; its length, and its last bytes."""
    length, last = head_of(client)
    left = length - len(last)
    buffer = bytearray(1 << 20)
    while left:
        taken = client.recv_into(buffer)
        if not taken:
            raise ConnectionError(f"{left} bytes are missing")
        left -= taken
        last = bytes(buffer[max(0, taken - 32) : taken])
    return length, last


def run(port: int, way: str, size: int) -> None:
    """Move so many bytes one way, or both.

    Raises:
        OSError: something is missing.
    """
    if way == "down":
        with ask(port, f"GET /make?bytes={size}") as client:
            moved, _ = read(client)
    elif way == "up":
        with ask(port, "PUT /count", size) as client:
            write(client, size)
            moved = int(read(client)[1])
    else:
        with ask(port, "PUT /upper", size) as client:
            writer = threading.Thread(target=write, args=(client, size))
            writer.start()
            moved, _ = read(client)
            writer.join()
    if moved != size:
        raise ConnectionError(f"{moved} of {size} bytes")


def main() -> int:
    """Run all ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gib", type=float, default=10.0)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--loop", default="auto")
    options = parser.parse_args()
    size = int(options.gib * GIB) // len(BLOCK) * len(BLOCK)
    worst = 0
    with serving(options.engine, options.loop) as port:
        for way in ("up", "down", "both"):
            with ask(port, "GET /pid") as client:
                acceptor = psutil.Process(int(read(client)[1]))
            before = most = acceptor.memory_info().rss
            started, ended = time.monotonic(), threading.Event()
            failures: list[OSError] = []

            def move(
                way: str = way, ended: threading.Event = ended, failures: list[OSError] = failures
            ) -> None:
                try:
                    run(port, way, size)
                except OSError as error:
                    failures.append(error)
                finally:
                    ended.set()

            mover = threading.Thread(target=move)
            mover.start()
            while not ended.wait(0.02):
                most = max(most, acceptor.memory_info().rss)
            mover.join()
            if failures:
                print(f"{way:5} failed: {failures[0]}")
                return 1
            worst = max(worst, most - before)
            seconds = time.monotonic() - started
            print(
                f"{way:5} {size / GIB:5.1f} GiB {seconds:7.1f} s   resident {before >> 20} MiB before,"
                f" {most >> 20} MiB at the most"
            )
    return int(worst > MAY_GROW_BYTES)


if __name__ == "__main__":
    sys.exit(main())
