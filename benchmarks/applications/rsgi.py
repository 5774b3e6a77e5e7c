"""The benchmark's answers in RSGI, granian's own interface."""

from __future__ import annotations

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
    elif path == "/health":
        protocol.response_str(200, TEXT, "ok")
    elif path == "/json":
        protocol.response_bytes(200, JSON, orjson.dumps({"message": "Hello, World!"}))
    elif path.startswith(USERS):
        protocol.response_bytes(200, JSON, orjson.dumps({"id": path[len(USERS) :], "name": "Alice"}))
    else:
        protocol.response_empty(404, [])
