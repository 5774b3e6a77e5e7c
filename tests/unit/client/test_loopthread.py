"""One loop for everybody who has none."""

from __future__ import annotations

import asyncio
import os
import threading

import pytest

from rocket_sup.client.loopthread import run, shared_loop


async def where() -> tuple[str, asyncio.AbstractEventLoop]:
    """Which thread and loop this runs on."""
    return threading.current_thread().name, asyncio.get_running_loop()


def test_all_threads_share_it(loop_of_clients: None) -> None:
    """Started once, whoever comes first."""
    found: list[tuple[str, asyncio.AbstractEventLoop]] = []
    threads = [threading.Thread(target=lambda: found.append(run(where()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert {("rocket-client", shared_loop())} == set(found)
    assert 8 == len(found)


def test_nobody_waits_for_himself(loop_of_clients: None) -> None:
    """A call from the loop itself is refused instead of waiting for ever."""

    async def inside() -> None:
        run(where())

    with pytest.raises(RuntimeError, match="AsyncClient"):
        run(inside())


def test_errors_reach_the_caller(loop_of_clients: None) -> None:
    """As they were raised."""

    async def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(fail())


def test_a_forked_process_has_its_own(loop_of_clients: None) -> None:
    """The thread is not in the child; the child does not wait for it."""
    run(where())
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, run(where())[0].encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert b"rocket-client" == pipe.read()
    assert (child, 0) == os.waitpid(child, 0)
