"""Names become addresses once."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from rocket_sup.client.errors import ResolveError
from rocket_sup.client.resolving import Resolver, alternating

FOUR, SIX = socket.AF_INET, socket.AF_INET6


def test_families_alternate() -> None:
    """The resolver's favourite comes first (RFC 8305 §4)."""
    assert [(SIX, "a"), (FOUR, "x"), (SIX, "b"), (SIX, "c")] == alternating(
        [(SIX, "a"), (SIX, "b"), (SIX, "c"), (FOUR, "x")]
    )
    assert [] == alternating([])


def test_many_callers_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Callers at once share a question, later ones its answer until it is old; who leaves takes nothing."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        asked: list[str] = []
        answer = loop.create_future()

        async def ask(host: str, *_: object, **__: object) -> list[Any]:
            asked.append(host)
            await asyncio.shield(answer)
            return [(FOUR, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))] * 2

        monkeypatch.setattr(loop, "getaddrinfo", ask)
        resolver = Resolver(loop, 0.05)
        callers = [asyncio.ensure_future(resolver.resolve("name")) for _ in range(3)]
        await asyncio.sleep(0)
        callers[0].cancel()
        answer.set_result(None)
        assert [(FOUR, "192.0.2.1")] == await callers[1] == await callers[2] == await resolver.resolve("name")
        assert ["name"] == asked
        await asyncio.sleep(0.06)
        await resolver.resolve("name")
        assert ["name", "name"] == asked
        await resolver.close()

    asyncio.run(run())


def test_literals_and_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address needs no resolver; a failure is asked again."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        answers: list[Any] = [socket.gaierror(-2, "Name or service not known"), []]

        async def ask(*_: object, **__: object) -> list[Any]:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return list(answer)

        monkeypatch.setattr(loop, "getaddrinfo", ask)
        resolver = Resolver(loop, 10)
        assert [(FOUR, "127.0.0.1")] == await resolver.resolve("127.0.0.1")
        assert [(SIX, "::1")] == await resolver.resolve("::1")
        for _ in range(2):
            with pytest.raises(ResolveError, match="name:"):
                await resolver.resolve("name")
        assert [] == answers

    asyncio.run(run())
