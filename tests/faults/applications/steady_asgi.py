"""The steady application for ASGI, with nothing between it and the server."""

from __future__ import annotations

import asyncio
import os
from typing import Any

WHO = (b"x-served-by", str(os.getpid()).encode())
TEXT = (b"content-type", b"text/plain; charset=utf-8")


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer as `steady.py` does; a lifespan is begun and ended."""
    if scope["type"] == "lifespan":
        for moment in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{moment}.complete"})
        return
    path = scope["path"]
    if path == "/":
        await asyncio.sleep(0.005)  # so that a kill finds requests in flight
    elif path.startswith("/long/"):
        await asyncio.sleep(int(path.removeprefix("/long/")) / 1000)
    await send({"type": "http.response.start", "status": 200, "headers": [TEXT, WHO]})
    await send({"type": "http.response.body", "body": b"ok"})
