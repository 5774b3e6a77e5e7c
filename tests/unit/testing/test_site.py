"""An application behind a wire, in whatever loop runs."""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.config import Config
from rocket_sup.pattern import RouteError
from rocket_sup.request import Request
from rocket_sup.router import Router
from rocket_sup.testing.site import ApplicationFailed, FailureLog, Site, configured


def test_options_are_written_as_in_the_file() -> None:
    """What does not exist is refused."""
    assert configured({"server": {"max_body": 7}}).server.max_body == 7
    with pytest.raises(TypeError):
        configured({"server": {"max_bodies": 7}})
    with pytest.raises(AttributeError):
        configured({"sever": {}})


def test_failures_of_the_application_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """Everything else is logged."""
    log = FailureLog()
    log.error("handler_failed", traceback="a\nb")
    log.error("connection_failed", error="x")
    with pytest.raises(ApplicationFailed, match="a\nb"):
        log.raise_failures()
    log.raise_failures()
    log.close()

    assert "connection_failed" in capfd.readouterr().err


def test_what_is_no_application_is_refused() -> None:
    """Before anything is opened."""

    async def make() -> None:
        Site(object(), Config())

    with pytest.raises(RouteError):
        asyncio.run(make())


def test_a_router_can_be_tested_again_with_other_options() -> None:
    """What one test believes is not believed in the next."""
    router = Router()

    @router.get("/")
    def client(request: Request) -> str:
        return str(request.client)

    async def ask(config: Config) -> bytes:
        site = Site(router, config)
        await site.begin()
        reader, writer = await asyncio.open_connection(sock=site.connect())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await site.end()
        return answer

    assert b"192.0.2.1" in asyncio.run(ask(configured({"proxy": {"trusted": ("unix",)}})))
    assert b"192.0.2.1" not in asyncio.run(ask(Config()))
    assert router.hooks.pre_routing == []
