"""The benchmark's answers in socketify's own interface: `python uws.py PORT`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
from socketify import App, AppListenOptions, CompressOptions

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


def health(res: Any, _: Any) -> None:
    res.write_header("content-type", TEXT).end("ok")


async def soon(res: Any, _: Any) -> None:
    res.write_header("content-type", TEXT).end("ok")


async def suspend(res: Any, _: Any) -> None:
    await asyncio.sleep(0)
    res.write_header("content-type", TEXT).end("ok")


def user(res: Any, req: Any) -> None:
    res.write_header("content-type", JSON).end(orjson.dumps({"id": req.get_parameter(0), "name": "Alice"}))


# Responses whose content is still arriving: socketify holds only a weak handle, and `await res.get_data()`,
# its other way, ended the process when wrk closed its connections.
pending: set[Any] = set()


def create(res: Any, _: Any) -> None:
    size = 0

    def on_data(res: Any, chunk: bytes | None, is_end: Any) -> None:
        nonlocal size
        size += len(chunk or b"")
        if is_end:
            res.end(str(size))
            pending.discard(res)

    pending.add(res)
    res.on_aborted(pending.discard)
    res.on_data(on_data)


def echo(ws: Any, message: Any, opcode: Any) -> None:
    ws.send(message, opcode)


app = App()
app.ws("/echo", {"compression": CompressOptions.DISABLED, "message": echo})
app.get("/health", health)
app.get("/async", soon)
app.get("/suspend", suspend)
app.get("/api/users/:id", user)
app.post("/api/users", create)
app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"), lambda _: None)
app.run()
