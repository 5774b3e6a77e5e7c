"""Who visits: the users of the Locust profiles, written against `examples/hello.py`.

`Visitor` and its variants use Locust's FastHttpUser, one kept connection each unless they say otherwise.
`SlowReader` is a raw socket (cooperative, since Locust patches the socket module) that asks for more than it
reads.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import ClassVar
from urllib.parse import urlsplit

from locust import FastHttpUser, User, between, constant, events, task


@events.init_command_line_parser.add_listener
def add_arguments(parser: object) -> None:
    """The length of a run's shape; Locust hands its own options and these to distributed workers too."""
    parser.add_argument(  # type: ignore[attr-defined]
        "--shape-seconds", type=float, default=60.0, env_var="SHAPE_SECONDS", help="Length of ramp and spike"
    )


class Visitor(FastHttpUser):
    """Asks for a page of text, a routed one, and posts a little JSON; hardly pauses.

    Locust adds to the headers it is given, hence a copy for each request.
    """

    abstract = True
    wait_time = constant(0.05)
    connection_timeout = 10.0
    network_timeout = 10.0
    headers: ClassVar[dict[str, str]] = {}

    @task(6)
    def health(self) -> None:
        """Two bytes of text; a wrong body is a failure as much as a wrong status."""
        with self.client.get("/health", headers=dict(self.headers), catch_response=True) as answer:
            if answer.text != "ok":
                answer.failure(f"unexpected answer {answer.status_code} {str(answer.text)[:60]!r}")

    @task(3)
    def user(self) -> None:
        """A parameter in the path."""
        self.client.get("/api/users/42", headers=dict(self.headers), name="/api/users/:id")

    @task(1)
    def create(self) -> None:
        """A request with a body."""
        self.client.post("/api/users", json={"name": "Alice"}, headers=dict(self.headers))


class ShortVisitor(Visitor):
    """A new connection for each request."""

    abstract = True
    headers: ClassVar[dict[str, str]] = {"Connection": "close"}


class PatientVisitor(Visitor):
    """Holds its connection and rarely asks: mostly it is an idle kept connection."""

    abstract = True
    wait_time = between(0.5, 5.0)


class SlowReader(User):
    """Pipelines requests and reads the answers in sips.

    Each round is one entry in the statistics: its time is that of the whole slow read. Being cut off by the
        server's
    write deadline is what a server should do with a reader that is too slow, and is counted apart, as a
    success.
    """

    abstract = True
    wait_time = constant(0.1)
    requests = 40
    sip_bytes = 64
    pause_s = 0.01

    @task
    def sip(self) -> None:
        """One round."""
        began = time.perf_counter()
        name, size, error = "40 answers, 64 bytes at a time", 0, None
        try:
            size = self._round()
        except (ConnectionResetError, BrokenPipeError):
            name = "cut off by the server"
        except OSError as caught:
            error = caught
        self.environment.events.request.fire(
            request_type="SLOW",
            name=name,
            response_time=(time.perf_counter() - began) * 1e3,
            response_length=size,
            exception=error,
            context={},
        )

    def _round(self) -> int:
        address = urlsplit(self.host or "")
        host, port = address.hostname or "127.0.0.1", address.port or 80
        request = f"GET /health HTTP/1.1\r\nHost: {host}\r\n".encode()
        last = request + b"Connection: close\r\n\r\n"
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(30.0)
            sock.connect((host, port))
            sock.sendall((request + b"\r\n") * (self.requests - 1) + last)
            received = bytearray()
            while piece := sock.recv(self.sip_bytes):
                received += piece
                time.sleep(self.pause_s)
        answers = received.count(b"HTTP/1.1 200 ")
        if answers != self.requests:
            raise OSError(f"{answers} answers of {self.requests}")
        return len(received)
