"""An application that misbehaves on request."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from rocket_sup import Router
from rocket_sup.engine.native import load

app = Router()
hoard: list[bytes] = []


@app.get("/pid")
def pid(req):
    return str(os.getpid())


@app.get("/switch")
def switch_interval(req):
    return str(sys.getswitchinterval())


@app.get("/block")
def block(req):
    Path("blocked").touch()  # from here on the loop does not turn, so nobody else is accepted
    time.sleep(3600)


@app.get("/wait")
async def wait(req):
    await asyncio.sleep(float(req.get_query_param("s") or 1))
    return "waited"


@app.get("/die")
def die(req):
    os.kill(os.getpid(), signal.SIGKILL)


def panic():
    module, _ = load()
    module.answer(200, b"", b"", b"", 9, False, 0)  # of three kinds of connection: the core panics


@app.get("/panic")
def panic_at_once(req):
    panic()


@app.get("/panic-later")
async def panic_later(req):
    await asyncio.sleep(0.001)  # from here on the loop calls the task
    panic()


@app.get("/hoard")
def keep(req):
    hoard.append(b"x" * (64 << 20))
    return "kept"


@app.websocket("/ws")
async def converse(ws):
    async for message in ws:
        await ws.send(f"{os.getpid()} {message}")
