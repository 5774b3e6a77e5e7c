"""Single flight: one says how it ended, all hear it once."""

from __future__ import annotations

import asyncio

import pytest

from rocket_sup.client.cache.flight import ABANDONED, UNSHARED, Flight, Landing
from rocket_sup.client.cache.tee import Tee
from tests.unit.client.cache.origins import Pieces, run, until


def test_all_who_follow_hear_the_first_word() -> None:
    """And it is told once to who keeps the flights."""

    async def scenario() -> None:
        told: list[Landing] = []
        flight = Flight(told.append)
        followers = [asyncio.create_task(flight.follow()) for _ in range(3)]
        await until(lambda: flight.followers == 3)
        assert not flight.is_landed
        flight.land(UNSHARED)
        flight.land(ABANDONED)
        assert [UNSHARED] * 3 == await asyncio.gather(*followers)
        assert ([UNSHARED], 0, True) == (told, flight.followers, flight.is_landed)
        assert await flight.follow() is UNSHARED

    run(scenario())


def test_a_follower_may_leave() -> None:
    """The others do not notice."""

    async def scenario() -> None:
        flight = Flight(lambda landing: None)
        one, two = (asyncio.create_task(flight.follow()) for _ in range(2))
        await until(lambda: flight.followers == 2)
        one.cancel()
        await asyncio.wait([one])
        assert flight.followers == 1
        flight.land(ABANDONED)
        assert await two is ABANDONED

    run(scenario())


@pytest.mark.parametrize("comes_first", ["content", "follower"])
def test_content_is_read_ahead_as_soon_as_somebody_follows(comes_first: str) -> None:
    """Whichever comes first; and no longer than somebody does."""

    async def scenario() -> None:
        gate = asyncio.Event()
        source = Pieces(b"a", gate=gate)

        async def on_whole(content: bytes) -> None:
            flight.land(UNSHARED)

        async def on_lost(error: Exception | None, is_left: bool) -> None:
            flight.land(ABANDONED)

        tee = Tee(source, max_bytes=10, on_whole=on_whole, on_lost=on_lost)
        flight = Flight(lambda landing: None)
        if comes_first == "content":
            flight.carry(tee)
        follower = asyncio.create_task(flight.follow())
        await until(lambda: flight.followers)
        if comes_first == "follower":
            flight.carry(tee)
        await tee.leave()
        assert not tee.is_over
        follower.cancel()
        await asyncio.wait([follower])
        assert source.is_closed
        assert flight.is_landed

    run(scenario())
