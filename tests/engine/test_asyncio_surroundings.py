"""A handler reaches beyond its own coroutine: threads, processes, streams, generators, awaitables.

Like `test_asyncio_semantics.py`: served on a real socket by every engine.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from rocket_sup.request import Request
from tests.engine.conftest import Ask

seen: ContextVar[str] = ContextVar("seen", default="nothing")


def test_threads(ask: Ask) -> None:
    """`to_thread` takes the context along, executors do not; a future may be resolved from a thread."""

    async def handler(req: Request) -> list[object]:
        seen.set("handler's")
        loop = asyncio.get_running_loop()
        by_thread: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(by_thread.set_result, "resolved"))
        thread.start()
        resolved = await by_thread
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            in_executor = await loop.run_in_executor(pool, seen.get)
        return [resolved, await asyncio.to_thread(seen.get), in_executor]

    assert ask(handler) == ["resolved", "handler's", "nothing"]


def test_asynchronous_generators(ask: Ask) -> None:
    """`athrow`, `aclose` and the clean-up of one that is forgotten."""

    async def handler(req: Request) -> list[str]:
        story: list[str] = []

        async def numbers(name: str) -> AsyncIterator[int]:
            try:
                for n in range(10):
                    await asyncio.sleep(0)
                    yield n
            except LookupError:
                story.append(f"{name} thrown")
                yield -1
            finally:
                await asyncio.sleep(0)
                story.append(f"{name} closed")

        first, second = numbers("first"), numbers("second")
        story.append(str([await anext(first), await anext(second), await anext(first)]))
        story.append(str(await first.athrow(LookupError())))  # type: ignore[attr-defined]
        await first.aclose()  # type: ignore[attr-defined]
        del second
        while "second closed" not in story:  # noqa: ASYNC110 - the loop closes it and tells nobody
            await asyncio.sleep(0)
        return story

    assert ask(handler) == ["[0, 0, 1]", "first thrown", "-1", "first closed", "second closed"]


def test_asynchronous_context_managers(ask: Ask) -> None:
    """Leave while an exception passes through."""

    async def handler(req: Request) -> list[str]:
        story: list[str] = []

        @asynccontextmanager
        async def opened() -> AsyncIterator[str]:
            await asyncio.sleep(0)
            try:
                yield "open"
            except LookupError:
                await asyncio.sleep(0)
                story.append("caught")

        async with opened() as state:
            story.append(state)
            raise LookupError
        return story

    assert ask(handler) == ["open", "caught"]


def test_processes(ask: Ask) -> None:
    """Their output and their end are awaited."""

    async def handler(req: Request) -> list[object]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-Ic", "print(input()[::-1])", stdin=-1, stdout=-1
        )
        output, _ = await process.communicate(b"stressed\n")
        return [output.decode().strip(), process.returncode]

    assert ask(handler) == ["desserts", 0]


def test_streams(ask: Ask) -> None:
    """A handler may be a client, and a server, of its own."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def handler(req: Request) -> list[str]:
        async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\n")
            received = await reader.read()
            writer.close()
            await writer.wait_closed()
        return [received.decode()]

    assert ask(handler) == ["hello\n"]


class Awaitable:
    """Something to await that is neither a coroutine nor a future."""

    def __await__(self) -> Generator[Any, None, str]:
        yield from asyncio.sleep(0).__await__()
        return '"ok"'


@pytest.mark.parametrize("kind", ["coroutine", "future", "task", "object"])
def test_a_plain_handler_may_return_something_to_await(ask: Ask, kind: str) -> None:
    """It is awaited, in a task."""

    async def answer() -> str:
        await asyncio.sleep(0)
        return '"ok"'

    def handler(req: Request) -> Any:
        loop = asyncio.get_running_loop()
        if kind == "future":
            future = loop.create_future()
            loop.call_soon(future.set_result, '"ok"')
            return future
        if kind == "task":
            return loop.create_task(answer())
        return answer() if kind == "coroutine" else Awaitable()

    assert ask(handler) == "ok"
