"""A Litestar application: validation, dependencies, streams, WebSockets, and its own start and end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, WebSocket, get, post, websocket
from litestar.datastructures import State
from litestar.di import Provide
from litestar.response import Stream


@dataclass
class Point:
    """What is posted."""

    x: int
    y: int


async def provide_factor() -> int:
    """A dependency."""
    return 2


@get("/")
async def root(state: State) -> dict[str, Any]:
    """What was made at start."""
    return {"hello": "litestar", "pool": state.pool}


@get("/scaled/{number:int}", dependencies={"factor": Provide(provide_factor)})
async def scaled(number: int, factor: int) -> dict[str, int]:
    """A parameter and a dependency."""
    return {"scaled": number * factor}


@post("/points")
async def create(data: Point) -> Point:
    """Content that is validated."""
    return Point(data.y, data.x)


@get("/stream")
async def stream() -> Stream:
    """An answer in pieces."""

    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"piece {number}\n"

    return Stream(pieces(), media_type="text/plain")


@websocket("/ws")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    """Send back what comes, once."""
    await socket.accept()
    await socket.send_json({"said": await socket.receive_json()})
    await socket.close()


async def open_pool(app: Litestar) -> None:
    """At start."""
    app.state.pool = "open"


async def close_pool(app: Litestar) -> None:
    """At the end."""
    print("pool closed", flush=True)


app = Litestar([root, scaled, create, stream, echo], on_startup=[open_pool], on_shutdown=[close_pool])
