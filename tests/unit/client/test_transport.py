"""The seam is small enough to be stood in for."""

from __future__ import annotations

import asyncio

from rocket_sup.client.messages import Request, Response
from rocket_sup.client.transport import Transport


class Fixed:
    """A transport that always says the same."""

    async def send(self, request: Request) -> Response:
        return Response(200, text=request.url.path, request=request)

    async def close(self) -> None:
        """There is nothing to let go of."""


def test_two_methods_make_a_transport() -> None:
    """Whatever has them can be sent with."""
    transport: Transport = Fixed()

    assert "/x" == asyncio.run(transport.send(Request("GET", "http://host/x"))).text
