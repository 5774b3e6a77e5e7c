"""The benchmark's answers, with a ticker beside them: how late does the loop call what is due?

GET /ticker/begin    start it; a tick is due every two milliseconds
GET /ticker          how late the ticks since the last such request were, and the delay of this process
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rocket import app

from rocket_sup import Request

PERIOD_S = 0.002
running: list[asyncio.Task[None]] = []  # a loop holds its tasks only weakly
late_ms: list[float] = []


async def tick() -> None:
    while True:
        due = time.perf_counter() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        late_ms.append((time.perf_counter() - due) * 1e3)


@app.get("/ticker/begin")
async def begin(_: Request) -> str:
    running.append(asyncio.create_task(tick()))
    return "ok"


@app.get("/ticker")
def report(_: Request) -> dict[str, Any]:
    ticks = sorted(late_ms)
    late_ms.clear()
    with open("/proc/self/schedstat", encoding="ascii") as file:
        waited_ns = int(file.read().split()[1])
    return {"late_ms": ticks, "waited_ms": waited_ns / 1e6}
