"""Serves, and says who served: the application of most scenarios."""

from __future__ import annotations

import asyncio
import os

from rocket_sup import Request, Router

app = Router()

WHO = {"X-Served-By": str(os.getpid())}


@app.get("/")
async def short(_: Request) -> tuple[int, str, dict[str, str]]:
    await asyncio.sleep(0.005)  # so that a kill finds requests in flight
    return 200, "ok", WHO


@app.get("/plain")
def plain(_: Request) -> tuple[int, str, dict[str, str]]:
    return 200, "ok", WHO


@app.get("/long/:milliseconds")
async def long(request: Request) -> tuple[int, str, dict[str, str]]:
    await asyncio.sleep(int(request.path_params["milliseconds"]) / 1000)
    return 200, "ok", WHO
