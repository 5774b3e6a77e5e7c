"""A first application: JSON, a path parameter, a handler that blocks, and an answer for everything else.

rocket-sup examples.hello:app
"""

from __future__ import annotations

import time

from rocket_sup import Request, Router

app = Router()


@app.get("/health")
def health(req: Request) -> str:
    """A plain function runs on the event loop: it must not block."""
    return "ok"


@app.get("/api/users/:id")
async def user(req: Request) -> dict[str, str]:
    """An async function may await; a dict becomes JSON."""
    return {"id": req.path_params["id"], "name": "Alice"}


@app.post("/api/users")
def create(req: Request) -> tuple[int, dict[str, object]]:
    """A status, then the body; headers may follow as a third."""
    return 201, {"status": "created", "got": req.json()}


@app.get("/report", blocking=True)
def report(req: Request) -> str:
    """With blocking=True it runs in a thread, and may take its time."""
    time.sleep(0.05)
    return "the report\n"


@app.fallback
def missing(req: Request) -> tuple[int, str]:
    """Whatever no pattern matches."""
    return 404, "not found"
