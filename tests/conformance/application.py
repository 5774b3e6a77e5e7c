"""The application behind the conformance tests: each route shows one thing."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router


@dataclass
class Point:
    """A dataclass that becomes JSON."""

    x: int
    y: int


def make_router() -> Router:
    """Build the routes."""
    app = Router()

    @app.get("/")
    def root(req: Request) -> str:
        return "ok"

    @app.get("/see")
    @app.post("/see")
    @app.route("/see", methods=["PURGE", "OPTIONS"])
    def see(req: Request) -> dict[str, object]:
        return {
            "method": req.method,
            "target": req.target,
            "path": req.path,
            "query": req.query_string,
            "version": req.http_version,
            "host": req.host,
            "headers": req.headers.items(),
            "body": req.body.decode("latin-1"),
        }

    @app.post("/echo")
    def echo(req: Request) -> bytes:
        return req.body

    @app.post("/length")
    def length(req: Request) -> str:
        return str(len(req.body))

    @app.post("/small", max_body=4)
    def small(req: Request) -> bytes:
        return req.body

    @app.get("/items/:id")
    def item(req: Request) -> dict[str, str]:
        return req.path_params

    @app.get("/async")
    async def soon(req: Request) -> str:
        return "async"

    @app.get("/later")
    async def later(req: Request) -> str:
        await asyncio.sleep(0)
        return "later"

    @app.get("/never")
    async def never(req: Request) -> str:
        await asyncio.get_running_loop().create_future()
        return "never"

    @app.get("/thread", blocking=True)
    def in_thread(req: Request) -> str:
        return str(threading.current_thread() is not threading.main_thread())

    @app.get("/stuck", blocking=True)
    def stuck(req: Request) -> str:
        time.sleep(1.0)  # a thread that cannot be stopped
        return "stuck"

    @app.get("/big")
    def big(req: Request) -> bytes:
        return b"x" * 8_000_000

    @app.get("/fail")
    def fail(req: Request) -> str:
        raise RuntimeError("<broken> on purpose")

    @app.get("/fail-async")
    async def fail_async(req: Request) -> str:
        raise RuntimeError("broken on purpose")

    @app.get("/fail-thread", blocking=True)
    def fail_thread(req: Request) -> str:
        raise RuntimeError("broken on purpose")

    @app.get("/exit")
    def leave(req: Request) -> str:
        raise SystemExit(3)

    @app.get("/split")
    def split(req: Request) -> Response:
        return Response("x", headers={"X-Value": "a\r\nInjected: b"})

    @app.get("/nul")
    def nul(req: Request) -> Response:
        return Response("x", headers={"X-Value": "a\0b"})

    @app.get("/odd")
    def odd(req: Request) -> object:
        return object()

    @app.get("/results/:kind")
    def results(req: Request) -> object:
        return {
            "str": "é",
            "bytes": b"\x00\xff",
            "dict": {"a": 1},
            "list": [1, 2],
            "dataclass": Point(1, 2),
            "int": 202,
            "none": None,
            "pair": (201, {"made": True}),
            "triple": (200, "x", {"X-One": "1", "Content-Type": "text/markdown"}),
            "response": Response("x", 418, [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]),
            "304": (304, None, {"ETag": '"1"'}),
            "204": (204, "no content may follow"),
            "205": (205, None),
            "299": 299,
            "closes": Response("bye", headers={"Connection": "close"}),
            "dated": Response("x", headers={"Date": "Sun, 06 Nov 1994 08:49:37 GMT"}),
            "long": Response(None, headers={"Content-Length": "1000"}),
            "100": 100,
            "framed": Response("x", headers={"Transfer-Encoding": "chunked"}),
        }[req.path_params["kind"]]

    @app.post("/json")
    def json(req: Request) -> object:
        return req.json()

    return app
