"""The benchmark's answers as raw ASGI: no framework, so that the server alone is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

Message = MutableMapping[str, Any]

TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"
USERS = "/api/users/"


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await echo(receive, send)
        return
    path, status, kind, body = scope["path"], 200, TEXT, b"ok"
    if scope["method"] == "POST":
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        body = str(size).encode()
    elif path.startswith(USERS):
        kind, body = JSON, orjson.dumps({"id": path[len(USERS) :], "name": "Alice"})
    elif path == "/suspend":
        await asyncio.sleep(0)
    elif path not in ("/health", "/async"):
        status = 404
    fields = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def echo(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
