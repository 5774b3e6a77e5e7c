"""A little of everything that handlers do: the application of the soak."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from rocket_sup import Request, Router

app = Router()


@app.get("/")
def plain(_: Request) -> tuple[int, str, dict[str, str]]:
    return 200, "ok", {"X-Served-By": str(os.getpid())}


@app.get("/users/:id")
async def user(request: Request) -> dict[str, Any]:
    await asyncio.sleep(0.001)
    return {"id": request.path_params["id"], "query": list(request.query_params.items())}


@app.post("/size")
async def size(request: Request) -> str:
    await asyncio.sleep(0)
    return str(len(request.body))


@app.get("/thread", blocking=True)
def thread(_: Request) -> str:
    time.sleep(0.001)
    return "done"


@app.get("/fails")
def fails(_: Request) -> str:
    raise RuntimeError("on purpose")
