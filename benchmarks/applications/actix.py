"""The benchmark's answers in robyn's own interface: `python actix.py PORT [robyn's flags]`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import orjson
from robyn import Headers, Response, Robyn

TEXT = Headers({"content-type": "text/plain; charset=utf-8"})
JSON = Headers({"content-type": "application/json"})

app = Robyn(__file__)


@app.get("/health")
def health() -> Any:
    return Response(200, TEXT, "ok")


@app.get("/async")
async def soon() -> Any:
    return Response(200, TEXT, "ok")


@app.get("/suspend")
async def suspend() -> Any:
    await asyncio.sleep(0)
    return Response(200, TEXT, "ok")


@app.get("/api/users/:id")
def user(request: Any) -> Any:
    return Response(200, JSON, orjson.dumps({"id": request.path_params["id"], "name": "Alice"}))


@app.post("/api/users")
def create(request: Any) -> Any:
    return Response(200, TEXT, str(len(request.body)))


if __name__ == "__main__":
    app.start("127.0.0.1", int(sys.argv[1]), keep_alive_timeout=600)
