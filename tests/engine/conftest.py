"""The servers of the conformance tests, on every engine that they know, and the short way to ask one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import orjson
import pytest

from rocket_sup.request import Request
from rocket_sup.router import Router
from rocket_sup.tcp import Limits
from tests.conformance.conftest import *  # noqa: F403 - its fixtures, however many make a server
from tests.conformance.server import Server, get
from tests.engine import tcpsite

Handler = Callable[[Request], Awaitable[object]]
Ask = Callable[[Handler], Any]


@pytest.fixture
def ask(serve: Callable[..., Server]) -> Ask:
    """Give a function that serves one handler, asks it once and returns its answer, read as JSON."""

    def ask_once(handler: Handler) -> Any:
        app = Router()
        app.get("/")(handler)
        server = serve(app)
        answer = server.connect().send(get()).read()
        assert answer.status == 200, server.events()
        return orjson.loads(answer.body)

    return ask_once


@pytest.fixture(params=tcpsite.LOOPS)
def served(request: pytest.FixtureRequest, pipe_of_libuv: None) -> Iterator[Callable[..., tcpsite.Site]]:
    """Give a function that serves a TCP handler until the test ends, on each loop in turn."""
    with ExitStack() as stack:

        def start(handler: tcpsite.Handler, **limits: Any) -> tcpsite.Site:
            return stack.enter_context(tcpsite.serve(request.param, handler, Limits(**limits)))

        yield start
