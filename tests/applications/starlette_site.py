"""A Starlette application: routes, mounts, pure ASGI middleware, streams, WebSockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket


async def root(request: Request) -> JSONResponse:
    """What the request says about itself."""
    return JSONResponse(
        {
            "method": request.method,
            "url": str(request.url),
            "client": request.client.host if request.client else None,
            "pool": request.state.pool,
            "query": dict(request.query_params),
        }
    )


async def upper(request: Request) -> StreamingResponse:
    """Content back in capitals, as it comes."""

    async def pieces() -> AsyncIterator[bytes]:
        with contextlib.suppress(ClientDisconnect):
            async for piece in request.stream():
                yield piece.upper()

    return StreamingResponse(pieces(), media_type="text/plain")


async def together(request: Request) -> JSONResponse:
    """A task group, a deadline and a thread."""
    results: list[str] = []

    async def one(name: str) -> None:
        await anyio.sleep(0.001)
        results.append(name)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one, "a")
        tasks.start_soon(one, "b")
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep_forever()
    in_thread = await anyio.to_thread.run_sync(lambda: "thread")
    return JSONResponse([*sorted(results), scope.cancelled_caught, in_thread])


async def where(request: Request) -> PlainTextResponse:
    """Where a mounted application thinks it is."""
    return PlainTextResponse(f"{request.scope['root_path']} {request.url_for('inner:where').path}")


async def echo(websocket: WebSocket) -> None:
    """Send back what comes, with the subprotocol of the client's choice."""
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol=offered[0] if offered else None)
    async for message in websocket.iter_bytes():
        await websocket.send_bytes(message)
        if message == b"bye":
            await websocket.close(4000, "asked")
            return


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """A task group that lives as long as the application."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        yield {"pool": "open"}
        tasks.cancel_scope.cancel()
    print("pool closed", flush=True)


app = Starlette(
    routes=[
        Route("/", root),
        Route("/upper", upper, methods=["POST"]),
        Route("/together", together),
        Mount("/inner", routes=[Route("/where", where, name="where")], name="inner"),
        WebSocketRoute("/echo", echo),
    ],
    middleware=[Middleware(GZipMiddleware, minimum_size=100_000)],
    lifespan=lifespan,
)


async def mounted_where(request: Request) -> PlainTextResponse:
    """The same for a whole application that is mounted by the server."""
    return PlainTextResponse(f"{request.scope['root_path']} {request.url_for('where').path}")


mounted = Starlette(routes=[Route("/where", mounted_where, name="where")])
