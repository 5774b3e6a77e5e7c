"""The benchmark's answers in RSGI, granian's own interface."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

TEXT = [("content-type", "text/plain; charset=utf-8")]
JSON = [("content-type", "application/json")]
USERS = "/api/users/"


async def app(scope: Any, protocol: Any) -> None:
    path = scope.path
    if scope.method == "POST":
        body = await protocol()
        protocol.response_str(200, TEXT, str(len(body)))
    elif path in ("/health", "/async"):
        protocol.response_str(200, TEXT, "ok")
    elif path.startswith(USERS):
        protocol.response_bytes(200, JSON, orjson.dumps({"id": path[len(USERS) :], "name": "Alice"}))
    elif path == "/suspend":
        await asyncio.sleep(0)
        protocol.response_str(200, TEXT, "ok")
    else:
        protocol.response_empty(404, [])
