"""What `test_asyncio_*.py` and `test_anyio_semantics.py` ask of handlers, asked of native tasks alone."""

from __future__ import annotations

import inspect
from typing import Any, cast

import pytest

from rocket_sup.request import Request
from tests.engine import test_anyio_semantics, test_asyncio_semantics, test_asyncio_surroundings
from tests.engine.conftest import Ask, Handler
from tests.engine.tasks import LOOPS, Starter, run_on


@pytest.fixture(params=sorted(LOOPS))
def ask(request: pytest.FixtureRequest, pipe_of_libuv: None) -> Ask:
    """Give a function that runs a handler as a native task, without a server."""

    def ask_once(handler: Handler) -> Any:
        async def scenario(start: Starter) -> Any:
            awaitable = handler(cast("Request", None))  # none of them looks at it
            return await (await start.from_the_loop(awaitable)).end()

        result = run_on(request.param, "native", scenario)
        return "ok" if result == '"ok"' else result

    return ask_once


# Each keeps its name, with that of its module before it.
LISTED = {
    f"test_{module.__name__.rpartition('_')[0].rpartition('.')[2][5:]}_{name[5:]}": test
    for module in (test_asyncio_semantics, test_asyncio_surroundings, test_anyio_semantics)
    for name, test in vars(module).items()
    if name.startswith("test_") and "ask" in inspect.signature(test).parameters
}
globals().update(LISTED)


def test_the_list_is_here() -> None:
    """A fixture of another name must not empty it."""

    assert len(LISTED) >= 27
