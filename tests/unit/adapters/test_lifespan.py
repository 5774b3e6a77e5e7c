"""What runs before the first request and after the last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup.adapters.lifespan import Lifespan, Lifetime
from rocket_sup.errors import ApplicationError
from rocket_sup.log import EventLog
from rocket_sup.router import Router

STARTED = {"type": "lifespan.startup.complete"}
ENDED = {"type": "lifespan.shutdown.complete"}


def app_of(*steps: Any, seen: list[Any] | None = None) -> Any:
    """An application that receives before each step, and sends it, or raises it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if seen is not None:
            seen.append(scope)
        for step in steps:
            event = await receive()
            if seen is not None:
                seen.append(event["type"])
            if isinstance(step, BaseException):
                raise step
            await send(step)

    return app


def live(app: Any, *, is_required: bool = False, state: dict[str, Any] | None = None) -> None:
    """Begin and end it."""

    async def run() -> None:
        life = Lifespan(app, {} if state is None else state, is_required=is_required)
        await life.begin()
        await life.end()

    asyncio.run(run())


def test_an_application_is_started_and_ended() -> None:
    """In one task, with a scope in which it leaves its state."""
    seen: list[Any] = []
    state: dict[str, Any] = {}
    tasks = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        tasks.append(asyncio.current_task())
        scope["state"]["pool"] = 1
        await app_of(STARTED, ENDED, seen=seen)(scope, receive, send)
        tasks.append(asyncio.current_task())

    live(app, state=state)

    assert seen[0]["type"] == "lifespan"
    assert seen[0]["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert seen[1:] == ["lifespan.startup", "lifespan.shutdown"]
    assert state == {"pool": 1}
    assert tasks[0] is tasks[1] is not None


@pytest.mark.parametrize("is_required", [False, True])
def test_a_start_that_fails_by_its_own_word(is_required: bool) -> None:
    """Its message is the report; without a traceback in it, that of what it raised is added."""
    failed = {"type": "lifespan.startup.failed", "message": "no database"}

    with pytest.raises(ApplicationError, match="failed at startup: no database") as error:
        live(app_of(failed), is_required=is_required)
    with pytest.raises(ApplicationError) as raised:
        live(app_of(failed, ENDED), is_required=is_required)

    assert error.value.report == "no database"
    assert "Traceback" not in raised.value.report


def test_what_it_raised_is_shown() -> None:
    """Many frameworks send their traceback themselves; then it is not shown twice."""

    def app_with(message: str) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": message})
            raise ValueError("no database")

        return app

    with pytest.raises(ApplicationError) as short:
        live(app_with(""))
    with pytest.raises(ApplicationError) as whole:
        live(app_with("Traceback (most recent call last):\n  ...\nKeyError: 3\n"))

    assert "ValueError: no database" in short.value.report
    assert "ValueError" not in whole.value.report
    assert str(whole.value) == "the ASGI application failed at startup: KeyError: 3"


def test_an_exception_is_a_failed_start() -> None:
    """The application has received its event, and so it knows the protocol."""
    with pytest.raises(ApplicationError, match="failed at startup: ValueError: 3") as error:
        live(app_of(ValueError(3)))

    assert "Traceback" in error.value.report


async def _refuses(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError(scope["type"])


async def _answers(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200})


async def _returns(scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("app", [_refuses, _answers, _returns])
def test_an_application_without_a_lifespan(app: Any) -> None:
    """It goes on without, unless it is demanded."""
    live(app)
    with pytest.raises(ApplicationError, match="lifespan"):
        live(app, is_required=True)


@pytest.mark.parametrize(
    "steps",
    [[STARTED, {"type": "lifespan.shutdown.failed", "message": "late"}], [STARTED, ValueError("late")]],
)
def test_an_end_that_fails(steps: list[Any]) -> None:
    """It says so; nothing else depends on it."""
    with pytest.raises(ApplicationError, match="late"):
        live(app_of(*steps))


def test_an_application_that_has_returned_is_ended() -> None:
    """It waits for nothing."""
    live(app_of(STARTED))


def test_a_failure_while_it_serves_is_told_at_once() -> None:
    """To the loop, which logs it; at the end it is told again."""
    told: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(STARTED)
        raise ValueError("a task of mine")

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        life = Lifespan(app, {}, is_required=False)
        await life.begin()
        await asyncio.sleep(0)
        assert str(told[0]["exception"]) == "a task of mine"
        with pytest.raises(ApplicationError, match="a task of mine"):
            await life.end()

    asyncio.run(run())


def test_the_same_word_twice_is_refused() -> None:
    """What was said about the start stands."""
    with pytest.raises(ApplicationError, match="after its startup was over"):
        live(app_of(STARTED, STARTED))


# --- lifetimes


@pytest.fixture
def live_router(tmp_path: Path) -> Callable[[Router], list[dict[str, Any]]]:
    """Begin and end a router's lifetime; return what was logged."""

    def run(router: Router) -> list[dict[str, Any]]:
        file = tmp_path / "events"
        log = EventLog(level="info", format="json", file=str(file))

        async def both() -> None:
            lifetime = Lifetime(router, log)
            await lifetime.begin()
            await lifetime.end()

        try:
            asyncio.run(both())
        finally:
            log.close()
        return [orjson.loads(line) for line in file.read_bytes().splitlines()]

    return run


class Noted:
    """A life that notes its moments."""

    def __init__(self, into: list[str], name: str, *, fails: str = "") -> None:
        self._into, self._name, self._fails = into, name, fails

    async def begin(self) -> None:
        """See `Life`."""
        if self._fails == "begin":
            raise ApplicationError("not today", report="why")
        self._into.append(f"begin {self._name}")

    async def end(self) -> None:
        """See `Life`."""
        self._into.append(f"end {self._name}")
        if self._fails == "end":
            raise ApplicationError("not tomorrow", report="why")


def test_hooks_come_first_and_go_last(live_router: Any) -> None:
    """Plain or not; what was made last is undone first."""
    router, seen = Router(), list[str]()
    router.on_startup(lambda: seen.append("start a"))

    @router.on_startup
    async def start_b() -> None:
        await asyncio.sleep(0)
        seen.append("start b")

    router.on_shutdown(lambda: seen.append("stop a"))

    @router.on_shutdown
    async def stop_b() -> None:
        seen.append("stop b")

    router.hooks.lives += [Noted(seen, "1"), Noted(seen, "2")]

    assert live_router(router) == []
    assert seen == ["start a", "start b", "begin 1", "begin 2", "end 2", "end 1", "stop b", "stop a"]


def test_a_hook_that_fails_is_a_failed_start(live_router: Any) -> None:
    """With its name and its traceback; the rest is not started."""
    router, seen = Router(), list[str]()

    @router.on_startup
    def connect() -> None:
        raise ValueError("refused")

    router.hooks.lives.append(Noted(seen, "1"))

    with pytest.raises(
        ApplicationError, match=r"startup hook .*connect.* failed: ValueError: refused"
    ) as error:
        live_router(router)
    assert "Traceback" in error.value.report
    assert seen == []


def test_a_start_that_fails_ends_what_was_started(live_router: Any) -> None:
    """Nothing is left half open."""
    router, seen = Router(), list[str]()
    router.hooks.lives += [Noted(seen, "1"), Noted(seen, "2", fails="begin")]
    router.on_shutdown(lambda: seen.append("stop"))

    with pytest.raises(ApplicationError, match="not today"):
        live_router(router)
    assert seen == ["begin 1", "end 1", "stop"]


def test_an_end_that_fails_is_logged(live_router: Any) -> None:
    """The others end all the same."""
    router, seen = Router(), list[str]()
    router.hooks.lives += [Noted(seen, "1"), Noted(seen, "2", fails="end")]

    (event,) = live_router(router)

    assert (event["event"], event["error"], event["traceback"]) == ("shutdown_failed", "not tomorrow", "why")
    assert seen[-1] == "end 1"
