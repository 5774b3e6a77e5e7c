"""What is asked of the servers: requests as wrk repeats them, and two measurements of memory.

A workload says where to ask, what the right answer is, and with how many connections it is worth asking.
`report.py` knows what each is compared by; `floor.c` answers every one of them with the right length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

# What Firefox sends with a navigation; with Host, which wrk adds, nine fields.
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "http://127.0.0.1/dashboard",
    "Connection": "keep-alive",
    "Cookie": "session=c2Vzc2lvbi1pZGVudGlmaWVy; theme=dark; consent=1",
    "Upgrade-Insecure-Requests": "1",
}
MANY = (64, 16, 256)


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the comparison.

    Attributes:
        kind: "load" (wrk), "idle" (memory of kept connections) or "memory" (after the start).
        about: one line for the document.
        interface: what the application is written for: "" for each server's own; "asgi", "fastapi", "wsgi";
            "static", a file; "ws", a WebSocket that echoes.
        connections: how many at once; peers are measured with the first, rocket and the floor with each.
        post_bytes: size of the content; 0 means GET.
        fields: header fields besides Host.
        depth: requests that are sent before an answer is awaited.
        logs: the server writes an access log meanwhile.
        closes: the server ends the connection after each answer.
        body: what the content of the answer must be.
        content_type: of the floor's answer; the peers' may differ in spelling.
        metric: what the ratio to the floor is made of.
    """

    name: str
    path: str
    about: str
    kind: str = "load"
    interface: str = ""
    connections: tuple[int, ...] = (64,)
    post_bytes: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    depth: int = 1
    logs: bool = False
    closes: bool = False
    body: str = "ok"
    content_type: str = TEXT
    metric: str = "cpu_us"

    @property
    def floor_mode(self) -> str:
        """How floor.c tells one request from the next."""
        if self.interface == "ws":
            return "talk"
        return "close" if self.closes else "heads" if self.depth > 1 else "each"


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("health", "/health", "a plain handler returns two bytes of text", connections=MANY),
        Workload(
            "browser",
            "/api/users/42",
            "nine header fields, a routed parameter, a small JSON answer",
            connections=MANY,
            fields=BROWSER,
            body='{"id":"42","name":"Alice"}',
            content_type=JSON,
        ),
        Workload(
            "post",
            "/api/users",
            "1 KiB of content, read whole; its length is the answer",
            connections=MANY,
            post_bytes=1024,
            body="1024",
        ),
        Workload("async", "/async", "an async handler that does not suspend", connections=MANY),
        Workload(
            "suspend", "/suspend", "an async handler that awaits asyncio.sleep(0) once", connections=MANY
        ),
        Workload(
            "pipelined", "/health", "`health`, sixteen requests in one write", connections=MANY, depth=16
        ),
        Workload("logged", "/health", "`health` with an access log into a file", logs=True),
        Workload(
            "short",
            "/health",
            "`health`, a new connection for each request",
            fields={"Connection": "close"},
            closes=True,
        ),
        Workload("latency", "/health", "`health`, one connection", connections=(1,), metric="p50_us"),
        Workload("asgi", "/health", "`health` from a raw ASGI application", interface="asgi"),
        Workload("fastapi", "/health", "`health` from an application of FastAPI", interface="fastapi"),
        Workload("wsgi", "/health", "`health` from a raw WSGI application", interface="wsgi"),
        Workload("file", "/files/1KiB.txt", "a file of 1 KiB", interface="static", body="x" * 1024),
        Workload("large", "/files/1MiB.txt", "a file of 1 MiB", interface="static", body="x" * 2**20),
        Workload("echo", "/echo", "a WebSocket message of 32 bytes comes back", interface="ws"),
        Workload("echoes", "/echo", "`echo`, sixteen messages in one write", interface="ws", depth=16),
        Workload("idle", "/health", "kept connections that wait", kind="idle", metric="private_bytes"),
        Workload("memory", "/health", "after the start", kind="memory", metric="process_bytes"),
    )
}
