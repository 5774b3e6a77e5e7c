"""Conversations and streams: the application of the scenario with long exchanges."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from rocket_sup import Request, Response, Router, WebSocket

app = Router()

PIECES, PIECE = 100, b"x" * 1000


@app.get("/")
def short(_: Request) -> tuple[int, str, dict[str, str]]:
    return 200, "ok", {"X-Served-By": str(os.getpid())}


@app.websocket("/talk")
async def talk(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@app.get("/stream")
async def stream(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            yield PIECE
            await asyncio.sleep(0.01)

    return Response.stream(pieces())
