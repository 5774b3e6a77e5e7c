"""The benchmark's answers as a rocket-sup application."""

from __future__ import annotations

import asyncio
from typing import Any

from rocket_sup import Request, Router

app = Router()


@app.get("/health")
def health(_: Request) -> str:
    return "ok"


@app.get("/async")
async def soon(_: Request) -> str:
    return "ok"


@app.get("/suspend")
async def suspend(_: Request) -> str:
    await asyncio.sleep(0)
    return "ok"


@app.get("/api/users/:id")
def user(request: Request) -> dict[str, Any]:
    return {"id": request.path_params["id"], "name": "Alice"}


@app.post("/api/users")
def create(request: Request) -> str:
    return str(len(request.body))
