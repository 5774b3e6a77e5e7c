"""Which route or which answer: the order of the questions."""

from __future__ import annotations

import pytest

from rocket_sup.config import LimitsConfig
from rocket_sup.dispatch import allow_field, decide, refusal
from rocket_sup.hooks import RoutingDecision
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.response import Answer
from rocket_sup.router import Route, Router


def ask(router: Router, line: str) -> tuple[Route | Answer | None, Request]:
    """Decide about a request line."""
    router.freeze()
    head = parse_head(f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 0, LimitsConfig())
    assert head is not None
    request = Request(head, "")
    return decide(router, request), request


def make_router() -> Router:
    """Two routes, one of a custom method."""
    router = Router()
    router.get("/a/:id")(lambda request: "get")
    router.route("/a/:id", methods=["PURGE"])(lambda request: "purge")
    return router


@pytest.mark.parametrize("line", ["GET /a/1", "HEAD /a/1", "PURGE /a/1"])
def test_a_route_is_found_with_its_parameters(line: str) -> None:
    """HEAD by the route of GET."""
    decision, request = ask(make_router(), line)

    assert isinstance(decision, Route)
    assert request.path_params == {"id": "1"}


@pytest.mark.parametrize(
    ("line", "status", "allow"),
    [
        ("GET /b", 404, None),
        ("POST /a/1", 405, b"GET, HEAD, OPTIONS, PURGE"),
        ("OPTIONS /a/1", 204, b"GET, HEAD, OPTIONS, PURGE"),
        ("OPTIONS /b", 404, None),
        ("OPTIONS *", 204, b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PURGE, PUT"),
        ("CONNECT a:80", 501, None),
        ("FLY /a/1", 501, None),
    ],
)
def test_answers_without_a_route(line: str, status: int, allow: bytes | None) -> None:
    """Each with the fields it owes."""
    decision, _ = ask(make_router(), line)

    assert isinstance(decision, Answer)
    assert decision.status == status
    assert (b"Allow: " in decision.fields) == (allow is not None)
    assert allow is None or b"Allow: " + allow + b"\r\n" in decision.fields


def test_the_fallback_serves_unknown_paths_only() -> None:
    """A known path keeps its 405, an unknown method its 501."""
    router = make_router()
    router.fallback(lambda request: "fallback")

    assert ask(router, "GET /b")[0] is router.fallback_route
    assert ask(router, "POST /b")[0] is router.fallback_route
    for line, status in (("POST /a/1", 405), ("FLY /b", 501)):
        decision, _ = ask(router, line)
        assert isinstance(decision, Answer)
        assert decision.status == status


@pytest.mark.parametrize(("value", "status"), [("no", 200), ((401, "no"), 401), (204, 204)])
def test_a_hook_answers_before_the_route(value: object, status: int) -> None:
    """With any value that a handler may return."""
    router = make_router()
    router.on_pre_routing(lambda request: value)
    decision, _ = ask(router, "GET /a/1")

    assert isinstance(decision, Answer)
    assert decision.status == status


def test_a_hook_drops_or_lets_pass() -> None:
    """None means proceed."""
    for value, expected in (
        (RoutingDecision.DROP, type(None)),
        (RoutingDecision.PROCEED, Route),
        (None, Route),
    ):
        router = make_router()
        router.on_pre_routing(lambda request, value=value: value)

        assert isinstance(ask(router, "GET /a/1")[0], expected)


def test_a_failing_hook_fails_the_request() -> None:
    """The connection makes 500 of it."""
    router = make_router()

    @router.on_pre_routing
    def fail(request: Request) -> None:
        raise RuntimeError("hook")

    with pytest.raises(RuntimeError, match="hook"):
        ask(router, "GET /a/1")


def test_refusals_are_one_line_of_text() -> None:
    """With their reason."""
    answer = refusal(404, "nothing")

    assert (answer.status, answer.body) == (404, b"404 Not Found: nothing\n")
    assert answer.fields == b"Content-Type: text/plain; charset=utf-8\r\n"
    assert allow_field(("A", "B")) == b"Allow: A, B\r\n"


@pytest.mark.parametrize(
    ("line", "is_mounted"),
    [("GET /in/x", True), ("FLY /in/x", True), ("POST /in/a", True), ("GET /in/a", False), ("FLY /a", False)],
)
def test_what_is_mounted_takes_any_method(line: str, is_mounted: bool) -> None:
    """Routes come first; outside of the prefix nothing changes."""
    router = make_router()
    router.get("/in/a")(lambda request: "own")
    inner = Router()
    inner.sole_route = Route("*", "", lambda request: "mounted")
    router.mount("/in", inner)

    decision, _ = ask(router, line)

    assert (decision is inner.sole_route) == is_mounted
