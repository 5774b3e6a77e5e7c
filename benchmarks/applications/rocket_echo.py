"""The benchmark's echo as a rocket-sup application."""

from __future__ import annotations

from rocket_sup import Router, WebSocket

app = Router()


@app.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send(message)
