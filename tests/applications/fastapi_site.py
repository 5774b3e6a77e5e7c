"""A FastAPI application as its documentation teaches it: nothing in it knows who serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request, UploadFile, WebSocket
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Open what requests need; every request sees it in its state."""
    events = ["started"]
    yield {"events": events}
    print("lifespan ended", flush=True)


app = FastAPI(lifespan=lifespan)
produced: list[str] = []


class Item(BaseModel):
    """What is posted."""

    name: str
    price: float = 0


async def paging(skip: int = 0, limit: int = 10) -> dict[str, int]:
    """A dependency."""
    return {"skip": skip, "limit": limit}


@app.middleware("http")
async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Middleware with a task of its own for each request."""
    response = await call_next(request)
    response.headers["x-stamp"] = request.url.path
    return response


@app.get("/")
async def root(request: Request) -> dict[str, Any]:
    """What the lifespan left."""
    return {"hello": "world", "events": request.state.events}


@app.get("/plain")
def plain() -> dict[str, str]:
    """Runs in a thread."""
    return {"from": "a thread"}


@app.get("/items/{item_id}")
async def item(item_id: int, page: Annotated[dict[str, int], Depends(paging)]) -> dict[str, int]:
    """Parameters and a dependency."""
    if item_id == 0:
        raise HTTPException(404, "no such item")
    return {"id": item_id, **page}


@app.post("/items", status_code=201)
async def create(item: Item) -> Item:
    """Content that is validated."""
    return item


@app.post("/upload")
async def upload(file: UploadFile) -> dict[str, Any]:
    """A file of a form."""
    return {"name": file.filename, "size": len(await file.read())}


@app.get("/stream")
async def stream() -> StreamingResponse:
    """An answer in pieces."""

    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"piece {number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/endless")
async def endless() -> StreamingResponse:
    """An answer whose producer is cancelled when the client leaves."""

    async def pieces() -> AsyncIterator[str]:
        try:
            yield "begun\n"
            await asyncio.get_running_loop().create_future()
        finally:
            produced.append("cancelled")

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/produced")
async def what_was_produced() -> list[str]:
    """What producers and background tasks have noted."""
    return produced


@app.post("/later", status_code=202)
async def later(tasks: BackgroundTasks) -> dict[str, bool]:
    """Work behind the answer."""

    async def work() -> None:
        await asyncio.sleep(0.01)
        produced.append("worked")

    tasks.add_task(work)
    return {"accepted": True}


@app.get("/file")
async def file() -> FileResponse:
    """A file."""
    return FileResponse(__file__, media_type="text/x-python")


@app.get("/fail")
async def fail() -> None:
    """What nobody catches."""
    raise RuntimeError("on purpose")


@app.websocket("/ws/{room}")
async def chat(websocket: WebSocket, room: str) -> None:
    """Send back what comes."""
    await websocket.accept()
    try:
        while True:
            await websocket.send_json({"room": room, "said": await websocket.receive_text()})
    except WebSocketDisconnect as left:
        produced.append(f"left with {left.code}")


@app.websocket("/private")
async def private(websocket: WebSocket) -> None:
    """Refuse."""
    await websocket.close()
