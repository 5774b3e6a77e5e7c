"""A chain around all handlers: rocket-sup examples.middleware:app

curl -i localhost:8080/                                    # X-Request-Id and Server-Timing
curl -i localhost:8080/admin                               # 401 without the handler, with both fields
curl -i -H 'X-User: alice' localhost:8080/admin
curl -i localhost:8080/nowhere                             # 404, with both fields
"""

from __future__ import annotations

import contextvars
import time
import uuid
from collections.abc import Generator

from rocket_sup import Request, Response, Router
from rocket_sup.middleware import CallNext

app = Router()
user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


@app.middleware
def request_id(req: Request) -> Generator[None, Response, None]:
    """Name each request; the outermost, as it is the first. A generator leaves plain handlers plain."""
    name = req.get_header("x-request-id") or uuid.uuid4().hex
    response = yield
    response.headers["X-Request-Id"] = name


@app.middleware
async def timing(req: Request, call_next: CallNext) -> Response:
    """Tell how long it took; a coroutine, which may wait for something before or after."""
    started = time.perf_counter()
    response = await call_next(req)
    response.headers["Server-Timing"] = f"app;dur={(time.perf_counter() - started) * 1000:.3f}"
    return response


@app.middleware
def authenticate(req: Request) -> Generator[None, Response, tuple[int, str] | None]:
    """Answer without the handler, or tell it who asks."""
    name = req.get_header("x-user")
    if req.path.startswith("/admin") and name is None:
        return 401, "who are you?\n"
    if name is not None:
        user.set(name)
    yield
    return None


@app.get("/")
def hello(req: Request) -> str:
    """Answer."""
    return f"hello, {user.get()}\n"


@app.get("/admin")
async def admin(req: Request) -> dict[str, str]:
    """Answer whom the middleware let through."""
    return {"user": user.get()}
