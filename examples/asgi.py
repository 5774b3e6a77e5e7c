"""An ASGI application without a framework: what FastAPI, Starlette, Django and Litestar are underneath.

rocket-sup examples.asgi:app
curl http://localhost:8080/
curl -T - http://localhost:8080/upper          # type, and see it come back while you go on typing
"""

from collections.abc import Awaitable, Callable
from typing import Any

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


async def app(scope: Event, receive: Receive, send: Send) -> None:
    """Called once for the whole life of the process, and once for each request."""
    if scope["type"] == "lifespan":
        await live(scope["state"], receive, send)
    elif scope["path"] == "/upper":
        await upper(receive, send)
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-shop", b"yes")]})
        await send({"type": "http.response.body", "body": scope["state"]["greeting"]})


async def live(state: dict[str, Any], receive: Receive, send: Send) -> None:
    """Open what requests need, then wait for the end; a start that fails is a server that does not start."""
    await receive()
    state["greeting"] = b"hello\n"
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def upper(receive: Receive, send: Send) -> None:
    """Answer while the content comes."""
    await send({"type": "http.response.start", "status": 200})
    has_more = True
    while has_more:
        event = await receive()
        has_more = event.get("more_body", False)
        await send({"type": "http.response.body", "body": event["body"].upper(), "more_body": has_more})
