"""The examples of ASGI applications and of mounts."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.conformance.conftest import engine as engine
from tests.examples.test_examples import Start
from tests.examples.test_examples import start as start


def test_asgi(start: Start) -> None:
    """Its lifespan's state, and content that comes back in capitals."""
    site, module = start("asgi")

    assert site.request("PUT", "/upper", b"x" * 100_000).body == b"X" * 100_000

    async def begin() -> dict[str, Any]:
        state: dict[str, Any] = {}
        sent: list[str] = []
        events = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive() -> dict[str, Any]:
            return next(events)

        async def send(event: dict[str, Any]) -> None:
            sent.append(event["type"])

        await module.app({"type": "lifespan", "state": state}, receive, send)
        return {**state, "sent": sent}

    assert asyncio.run(begin()) == {
        "greeting": b"hello\n",
        "sent": ["lifespan.startup.complete", "lifespan.shutdown.complete"],
    }


def test_mounts(start: Start) -> None:
    """Routes first, a router below its prefix, and the old application for the rest."""
    site, module = start("mounts")
    asyncio.run(module.load())

    assert site.get("/old/prices").json == {"7": 12, "8": 15}
    assert site.get("/old/shelf").text == "the old /shelf below /old\n"
    assert site.request("DELETE", "/old").status == 200
    assert site.get("/shop/items/7").json == {"id": "7", "price": 12}
    assert site.get("/shop").status == 404
    module.forget()
    assert site.get("/shop/items/7").json == {"id": "7", "price": None}
