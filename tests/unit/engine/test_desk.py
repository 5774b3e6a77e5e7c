"""The desk: what the native engine asks Python for is answered as the portable engine answers it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rocket_sup.accesslog import AccessLog
from rocket_sup.config import Config, LimitsConfig, LogConfig
from rocket_sup.engine.contract import WireBrief
from rocket_sup.engine.desk import Desk
from rocket_sup.errors import RemoteProtocolError, TransportError
from rocket_sup.hooks import SetupDecision
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import Router
from rocket_sup.threads import Threads
from tests.unit.conftest import PATIENCE_S, Journal

PEER = ("192.0.2.1", 80)

seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")


def make_request(line: str = "GET /x HTTP/1.1") -> Request:
    """A request to speak about."""
    head = parse_head(f"{line}\r\nHost: a\r\n\r\n".encode(), 0, LimitsConfig())
    assert head is not None
    return Request(head, PEER)


class Desks:
    """Makes desks, and counts what they tell."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.closed = 0
        self.stopped = 0

    def make(
        self,
        router: Router | None = None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        access_log: AccessLog | None = None,
    ) -> Desk:
        """A desk for a router, on a loop that it may need."""
        router = router or Router()
        router.freeze()
        brief = WireBrief(
            router=router,
            config=Config(log=LogConfig(access="json")),
            loop=loop or asyncio.get_running_loop(),
            log=self.journal.log,
            access_log=access_log,
            on_closed=self._on_closed,
            on_stop_accepting=self._on_stop_accepting,
        )
        return Desk(brief)

    def _on_closed(self) -> None:
        self.closed += 1

    def _on_stop_accepting(self) -> None:
        self.stopped += 1


@pytest.fixture
def desks(journal: Journal) -> Desks:
    """A maker of desks."""
    return Desks(journal)


def run(check: Callable[[], Awaitable[None]]) -> None:
    """Run a check on a loop, for a limited time."""

    async def body() -> None:
        await asyncio.wait_for(check(), PATIENCE_S)

    asyncio.run(body())


NO_LOOP: Any = object()  # where none is needed


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("GET /other HTTP/1.1", 404, b"nothing is here"),
        ("POST /x HTTP/1.1", 405, b"the method is not allowed"),
        ("BREW /x HTTP/1.1", 501, b"not known here"),
        ("OPTIONS /x HTTP/1.1", 204, b""),
    ],
)
def test_what_no_route_answers_is_answered(desks: Desks, line: str, status: int, text: bytes) -> None:
    """As by the portable engine."""
    app = Router()
    app.get("/x")(lambda request: "ok")
    app.post("/y")(lambda request: "ok")
    app.options("/y")(lambda request: "ok")
    answer = desks.make(app, loop=NO_LOOP).decide(make_request(line))

    assert isinstance(answer, Answer)
    assert status == answer.status
    assert text in answer.body


def test_the_fallback_is_one_of_the_routes(desks: Desks) -> None:
    """Native code finds it among them by identity."""
    app = Router()
    app.get("/x")(lambda request: "ok")
    app.fallback(lambda request: "fallen back")
    desk = desks.make(app, loop=NO_LOOP)

    assert any(route is desk.decide(make_request("GET /other HTTP/1.1")) for route in desk.routes)
    assert any(route is desk.decide(make_request()) for route in desk.routes)


def test_faults_are_answered_and_failures_logged(desks: Desks) -> None:
    """Nobody but the log learns what went wrong inside."""
    desk = desks.make(loop=NO_LOOP)

    assert 431 == desk.refuse(431, "too large", PEER).status
    assert 418 == desk.failure(make_request(), RemoteProtocolError("a teapot", status=418)).status
    failed = desk.failure(make_request(), ValueError("a secret"))
    assert 500 == failed.status
    assert b"secret" not in failed.body
    slow = desk.too_slow(make_request())
    assert 503 == slow.status
    assert b"the application took too long (RFC 9110 \xc2\xa715.6.4)" in slow.body
    desk.log_failure(make_request(), ValueError("nobody waits"))
    refused, failure, late, dropped = desks.journal.events()
    assert ("request_refused", "192.0.2.1", 431) == (
        refused["event"],
        refused["client"],
        refused["status"],
    )
    assert ("handler_failed", "ValueError: a secret") == (failure["event"], failure["error"])
    assert ("handler_too_slow", "GET", "/x") == (late["event"], late["method"], late["target"])
    assert ("handler_failed", "ValueError: nobody waits") == (dropped["event"], dropped["error"])


def test_any_awaitable_becomes_a_coroutine(desks: Desks) -> None:
    """A future that a plain handler returned, for instance."""

    async def check() -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_result("done")
        desk = desks.make()
        assert desk.is_awaitable(future)
        assert not desk.is_awaitable("text")
        assert await desk.wait_for(future) == "done"

    run(check)


@pytest.mark.parametrize("fails", [False, True])
def test_a_blocking_handler_is_delivered_on_the_loop(desks: Desks, fails: bool) -> None:
    """Under its token; its context was a copy of the desk's."""
    error = ValueError("it failed")

    def handler(request: Request) -> object:
        where = (seen.get(), threading.current_thread().name.startswith("rocket-handler"))
        seen.set("the thread")
        if fails:
            raise error
        return where

    async def check() -> None:
        seen.set("the desk")
        desk = desks.make()
        seen.set("elsewhere")
        delivered = asyncio.get_running_loop().create_future()
        desk.deliver = lambda *result: delivered.set_result((*result, seen.get()))
        desk.start_thread(handler, make_request(), 7)
        result = error if fails else ("the desk", True)
        assert await delivered == (7, result, fails, "the desk")
        assert seen.get() == "elsewhere"
        desk.close()

    run(check)


def test_a_call_that_was_cancelled_in_time_is_not_delivered(desks: Desks) -> None:
    """One thread; the second call waits for it, and never begins."""
    begun, gate = threading.Event(), threading.Event()
    calls: list[int] = []

    def block(request: Request) -> None:
        begun.set()
        gate.wait(PATIENCE_S)

    async def check() -> None:
        desk = desks.make()
        desk.threads = Threads(1)
        first = asyncio.get_running_loop().create_future()
        desk.deliver = lambda token, *_: first.set_result(token)
        desk.start_thread(block, make_request(), 1)
        assert await asyncio.to_thread(begun.wait, PATIENCE_S)
        waiting = desk.start_thread(lambda request: calls.append(2), make_request(), 2)
        assert waiting.cancel()
        gate.set()
        assert await first == 1
        desk.close()

    run(check)

    assert calls == []


@pytest.mark.parametrize("is_loop_closed", [False, True])
def test_a_thread_that_outlives_the_desk_is_not_delivered(desks: Desks, is_loop_closed: bool) -> None:
    """Whether its loop still turns or is closed; the thread itself ends in peace."""
    begun, gate = threading.Event(), threading.Event()
    delivered: list[object] = []

    def block(request: Request) -> None:
        begun.set()
        gate.wait(PATIENCE_S)

    loop = asyncio.new_event_loop()
    desk = desks.make(loop=loop)
    desk.deliver = lambda *result: delivered.append(result)
    future = desk.start_thread(block, make_request(), 1)
    assert begun.wait(PATIENCE_S)
    desk.close()
    if is_loop_closed:
        loop.close()
    told = threading.Event()
    future.add_done_callback(lambda _: told.set())  # after the desk's own
    gate.set()
    assert told.wait(PATIENCE_S)
    if not is_loop_closed:
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    assert delivered == []
    desk.close()  # again, and nothing is there


@pytest.mark.parametrize(
    ("decision", "is_admitted", "stopped"),
    [
        (None, True, 0),
        (SetupDecision.PROCEED, True, 0),
        (SetupDecision.DROP, False, 0),
        (SetupDecision.STOP_ACCEPTING, False, 1),
    ],
)
def test_setup_hooks_admit(
    desks: Desks, decision: SetupDecision | None, is_admitted: bool, stopped: int
) -> None:
    """Whoever is dropped may be the last."""
    app = Router()
    app.on_connection_setup(lambda client: decision)
    desk = desks.make(app, loop=NO_LOOP)

    assert desk.has_setup
    assert (desk.timeouts if is_admitted else None) is desk.admit(PEER)
    assert stopped == desks.stopped


def test_a_setup_hook_that_raises_admits_nobody(desks: Desks) -> None:
    """It is logged."""
    app = Router()

    @app.on_connection_setup
    def hook(client: object) -> None:
        raise ValueError("no")

    assert desks.make(app, loop=NO_LOOP).admit(PEER) is None
    (event,) = desks.journal.events()
    assert ("hook_failed", "setup") == (event["event"], event["hook"])


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (("", 0, ""), None),
        (("fault", 408, "too slow"), RemoteProtocolError("too slow", status=408)),
        (("unread", 0, ""), TransportError("the client does not read its answer")),
        (("slow", 0, ""), TimeoutError("the handler's deadline passed")),
        (("broken", 104, ""), OSError(104, "the connection broke")),
    ],
)
def test_teardown_hooks_are_told_why(
    desks: Desks, told: tuple[str, int, str], error: Exception | None
) -> None:
    """By the exceptions that the portable engine tells."""
    app = Router()
    ends: list[tuple[object, Exception | None]] = []
    app.on_connection_teardown(lambda client, error: ends.append((client, error)))
    desk = desks.make(app, loop=NO_LOOP)
    assert desk.has_teardown
    desk.tear_down(PEER, *told)

    ((client, given),) = ends
    assert client == PEER
    assert (type(error), str(error)) == (type(given), str(given))
    assert getattr(error, "status", None) == getattr(given, "status", None)


def test_a_teardown_hook_that_raises_is_logged(desks: Desks) -> None:
    """Nothing else comes of it."""
    app = Router()

    @app.on_connection_teardown
    def hook(client: object, error: Exception | None) -> None:
        raise ValueError("no")

    desks.make(app, loop=NO_LOOP).tear_down(PEER, "", 0, "")

    assert [("hook_failed", "teardown")] == [
        (event["event"], event["hook"]) for event in desks.journal.events()
    ]


def test_what_is_gone_is_told(desks: Desks) -> None:
    """By whoever serves it; a queue that nobody watches is nobody's business."""
    desk = desks.make(loop=NO_LOOP)
    desk.on_closed()
    desk.on_stuck(3, 0, "full", 0)

    assert desks.closed == 1
    assert not desk.has_teardown
    assert desk.places is None


def test_lines_of_the_access_log_are_taken_over(desks: Desks, tmp_path: Any) -> None:
    """When there is a log; its format is told to who writes the lines."""
    access_log = AccessLog(format="json", file=str(tmp_path / "access.log"))
    access_log.source = lambda: b"a line\n"
    desk = desks.make(loop=NO_LOOP, access_log=access_log)
    desk.flush_log()
    access_log.source = None
    access_log.close()
    without = desks.make(loop=NO_LOOP)
    without.flush_log()

    assert ("json", "") == (desk.access_format, without.access_format)
    assert b"a line\n" == (tmp_path / "access.log").read_bytes()
