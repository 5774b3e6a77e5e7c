"""RFC 9110: what requests mean and what answers say, in the order of its sections."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import orjson
import pytest

from rocket_sup.hooks import RoutingDecision, SetupDecision
from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from tests.conformance.server import Client, Server, get, post, request

DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"\d\d:\d\d:\d\d GMT"
)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (get(), 200),
        (get("/later"), 200),
        (get("/nowhere"), 404),
        (get("/fail"), 500),
        (request("OPTIONS / HTTP/1.1"), 204),
        (b"BROKEN\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000, 414),
        (request("GET / HTTP/2.0"), 505),
        (get("/", "Expect: x"), 417),
    ],
)
def test_6_6_1_every_answer_has_a_date(client: Client, sent: bytes, status: int) -> None:
    """On our own errors too, in IMF-fixdate, and it is now."""
    answer = client.send(sent).read()
    date = answer.get("date") or ""

    assert answer.status == status
    assert DATE.fullmatch(date)
    assert (
        abs(time.mktime(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")) - time.mktime(time.gmtime())) <= 2
    )


def test_6_6_1_an_application_may_give_the_date(client: Client) -> None:
    """Then ours is not added."""
    answer = client.send(get("/results/dated")).read()

    assert answer.get("date") == "Sun, 06 Nov 1994 08:49:37 GMT"


@pytest.mark.slow
def test_6_6_1_the_date_moves_on(client: Client) -> None:
    """It is written once a second, so two answers 1.1 seconds apart differ."""
    first = client.send(get()).read().get("date")
    client.expect_silence(1.1)

    assert client.send(get()).read().get("date") != first


@pytest.mark.parametrize("target", ["/", "/later", "/thread", "/big", "/nowhere", "/fail", "/results/dict"])
def test_9_3_2_head_is_get_without_content(client: Client, target: str) -> None:
    """The fields are the same, Content-Length included."""
    answer = client.send(request(f"HEAD {target} HTTP/1.1")).read(to="HEAD")
    same = client.send(get(target)).read()

    assert answer.status == same.status
    assert [f for f in answer.fields if f[0] != "Date"] == [f for f in same.fields if f[0] != "Date"]


def test_9_3_2_head_may_announce_what_it_does_not_make(client: Client) -> None:
    """A handler of HEAD that knows the length need not make the content; over GET ours is the truth."""
    to_head = client.send(request("HEAD /results/long HTTP/1.1")).read(to="HEAD")
    to_get = client.send(get("/results/long")).read()

    assert to_head.get("content-length") == "1000"
    assert to_get.get("content-length") == "0"


def test_9_3_7_options_lists_what_is_allowed(client: Client) -> None:
    """Made from the table of routes, without a handler."""
    answer = client.send(request("OPTIONS /echo HTTP/1.1")).read()

    assert (answer.status, answer.get("allow")) == (204, "OPTIONS, POST")


def test_9_3_7_an_application_may_answer_options_itself(client: Client) -> None:
    """A route for OPTIONS comes first."""
    answer = client.send(request("OPTIONS /see HTTP/1.1")).read()

    assert orjson.loads(answer.body)["method"] == "OPTIONS"


@pytest.mark.parametrize("value", ["100-continue", "100-Continue", " 100-continue\t"])
def test_10_1_1_100_comes_when_the_content_is_wanted(client: Client, value: str) -> None:
    """One, and then the content is read."""
    client.send(request("POST /echo HTTP/1.1", "Content-Length: 3", f"Expect:{value}"))

    assert client.read_informational().status == 100
    assert client.send(b"abc").read().body == b"abc"
    assert client.send(get()).read().status == 200


def test_10_1_1_100_comes_before_chunks_too(client: Client) -> None:
    """Chunked content can be waited for as well."""
    client.send(request("POST /echo HTTP/1.1", "Transfer-Encoding: chunked", "Expect: 100-continue"))

    assert client.read_informational().status == 100
    assert client.send(b"1\r\na\r\n0\r\n\r\n").read().body == b"a"


def test_10_1_1_100_comes_after_the_answers_owed_before(client: Client) -> None:
    """It belongs to its own request."""
    client.send(get("/later") + request("POST /echo HTTP/1.1", "Content-Length: 1", "Expect: 100-continue"))

    assert client.read().body == b"later"
    assert client.read_informational().status == 100
    assert client.send(b"a").read().body == b"a"


def test_10_1_1_no_100_when_content_is_there_already(client: Client) -> None:
    """The client did not wait."""
    client.send(request("POST /echo HTTP/1.1", "Content-Length: 3", "Expect: 100-continue") + b"abc")

    assert client.read().body == b"abc"


def test_10_1_1_no_100_without_content(client: Client) -> None:
    """There is nothing to wait for."""
    client.send(request("POST /echo HTTP/1.1", "Content-Length: 0", "Expect: 100-continue") + get())

    assert [client.read().body, client.read().body] == [b"", b"ok"]


def test_10_1_1_no_100_to_http_1_0(client: Client) -> None:
    """It would not understand."""
    client.send(request("POST /echo HTTP/1.0", "Content-Length: 3", "Expect: 100-continue") + b"a")
    client.expect_silence(0.05)

    assert client.send(b"bc").read().body == b"abc"


@pytest.mark.parametrize(
    ("line", "fields", "status"),
    [
        ("POST /nowhere HTTP/1.1", ["Content-Length: 3"], 404),
        ("DELETE /echo HTTP/1.1", ["Content-Length: 3"], 405),
        ("FLY /echo HTTP/1.1", ["Content-Length: 3"], 501),
        ("POST /small HTTP/1.1", ["Content-Length: 5"], 413),
        ("POST /echo HTTP/1.1", ["Content-Length: x"], 400),
        ("POST /echo HTTP/1.1", ["Content-Length: 3", "Transfer-Encoding: chunked"], 400),
        ("POST /echo HTTP/1.1", ["Content-Length: 3", "Expect: more"], 417),
    ],
)
def test_10_1_1_the_final_status_instead_of_100(
    client: Client, line: str, fields: list[str], status: int
) -> None:
    """When the content is not wanted, nor ever before a framing error."""
    answer = client.send(request(line, *fields, "Expect: 100-continue")).read()

    assert (answer.status, answer.get("connection")) == (status, "close")
    client.expect_end()


@pytest.mark.parametrize("value", ["", "x", "100-continue, x", "100-continue=1"])
def test_15_5_18_another_expectation_is_417(client: Client, value: str) -> None:
    """Nobody promised that; without content the connection goes on."""
    answer = client.send(get("/", f"Expect: {value}")).read()

    assert answer.status == 417
    assert client.send(get()).read().status == 200


@pytest.mark.parametrize(
    ("kind", "status", "media_type", "body"),
    [
        ("str", 200, "text/plain; charset=utf-8", "é".encode()),
        ("bytes", 200, "application/octet-stream", b"\x00\xff"),
        ("dict", 200, "application/json", b'{"a":1}'),
        ("list", 200, "application/json", b"[1,2]"),
        ("dataclass", 200, "application/json", b'{"x":1,"y":2}'),
        ("int", 202, None, b""),
        ("none", 204, None, b""),
        ("pair", 201, "application/json", b'{"made":true}'),
        ("triple", 200, "text/markdown", b"x"),
        ("response", 418, "text/plain; charset=utf-8", b"x"),
        ("204", 204, None, b""),
        ("205", 205, None, b""),
        ("299", 299, None, b""),
    ],
)
def test_15_results_of_handlers(
    client: Client, kind: str, status: int, media_type: str | None, body: bytes
) -> None:
    """Each kind of result becomes the answer that it stands for."""
    answer = client.send(get(f"/results/{kind}")).read()

    assert (answer.status, answer.get("content-type"), answer.body) == (status, media_type, body)
    assert client.send(get()).read().body == b"ok"


def test_5_3_repeated_fields_stay_apart(client: Client) -> None:
    """Set-Cookie above all."""
    answer = client.send(get("/results/response")).read()

    assert [value for name, value in answer.fields if name == "Set-Cookie"] == ["a=1", "b=2"]


def test_15_4_5_not_modified_has_no_content(client: Client) -> None:
    """304 ends with its head."""
    answer = client.send(get("/results/304") + get()).read()

    assert (answer.status, answer.get("etag"), answer.get("content-length")) == (304, '"1"', None)
    assert client.read().body == b"ok"


def test_15_5_5_nothing_is_there(client: Client) -> None:
    """404, as a line of text that echoes nothing."""
    answer = client.send(get("/<script>")).read()

    assert (answer.status, answer.get("content-type")) == (404, "text/plain; charset=utf-8")
    assert b"<script>" not in answer.body


@pytest.mark.parametrize(
    ("line", "allow"),
    [
        ("POST / HTTP/1.1", "GET, HEAD, OPTIONS"),
        ("GET /echo HTTP/1.1", "OPTIONS, POST"),
        ("TRACE / HTTP/1.1", "GET, HEAD, OPTIONS"),
        ("PURGE /items/1 HTTP/1.1", "GET, HEAD, OPTIONS"),
    ],
)
def test_15_5_6_a_known_path_with_another_method_is_405(client: Client, line: str, allow: str) -> None:
    """And says which are allowed."""
    answer = client.send(request(line)).read()

    assert (answer.status, answer.get("allow")) == (405, allow)
    assert client.send(get()).read().status == 200


@pytest.mark.parametrize("method", ["FLY", "get", "GETT", "!"])
def test_15_6_2_a_method_nobody_knows_is_501(client: Client, method: str) -> None:
    """On every path, known or not."""
    for target in ("/", "/nowhere"):
        answer = client.send(request(f"{method} {target} HTTP/1.1")).read()

        assert answer.status == 501


@pytest.mark.parametrize("target", ["/fail", "/fail-async", "/fail-thread", "/exit", "/odd", "/results/100"])
def test_15_6_1_a_handler_that_fails_is_500_and_logged(server: Server, target: str) -> None:
    """The client learns nothing of the application, the log everything, and the connection goes on."""
    client = server.connect()
    answer = client.send(get(target)).read()

    assert answer.status == 500
    assert b"purpose" not in answer.body
    assert client.send(get()).read().status == 200
    logged = [event for event in server.events() if event["event"] == "handler_failed"]
    assert [(event["method"], event["target"]) for event in logged] == [("GET", target)]
    assert "Traceback" in logged[0]["traceback"] or logged[0]["error"]


@pytest.mark.parametrize("target", ["/split", "/nul", "/results/framed"])
def test_5_5_a_field_that_would_split_the_answer_is_500_and_logged(server: Server, target: str) -> None:
    """CR, LF and NUL never leave, nor does a framing field of the application."""
    client = server.connect()
    answer = client.send(get(target) + get()).read()

    assert (answer.status, answer.get("injected")) == (500, None)
    assert client.read().body == b"ok"
    assert [event["event"] for event in server.events()] == ["handler_failed"]


def test_a_fault_of_the_client_that_a_handler_finds_is_its_400(client: Client) -> None:
    """`req.json()` on what is no JSON is the client's fault."""
    answer = client.send(post("/json", b"{")).read()

    assert answer.status == 400
    assert client.send(post("/json", b"[1]")).read().body == b"[1]"


def test_a_fallback_answers_unknown_paths_with_their_content(serve: Callable[..., Server]) -> None:
    """In every method; known paths keep their 405."""
    app = Router()

    @app.get("/known")
    def known(req: Request) -> str:
        return "known"

    @app.fallback
    def missing(req: Request) -> object:
        return 404, req.method.encode() + req.body

    client = serve(app).connect()

    assert client.send(post("/x", b"abc")).read().body == b"POSTabc"
    assert client.send(post("/known", b"abc")).read().status == 405


def test_hooks_before_routing(serve: Callable[..., Server]) -> None:
    """They answer, proceed, or drop the connection; a failing one is a failing handler."""
    app = Router()

    @app.on_pre_routing
    def guard(req: Request) -> object:
        if req.path == "/drop":
            return RoutingDecision.DROP
        if req.path == "/fail":
            raise RuntimeError("hook")
        return None if req.get_header("x-token") == "1" else Response("no", 401)

    @app.get("/")
    @app.post("/")
    def root(req: Request) -> str:
        return "in"

    server = serve(app)
    client = server.connect()

    assert client.send(get()).read().status == 401
    assert client.send(get("/", "X-Token: 1")).read().body == b"in"
    assert client.send(post("/", b"abc")).read().status == 401
    assert client.send(get("/fail")).read().status == 500
    client.send(get("/", "X-Token: 1") + get("/drop") + get())
    assert client.read().body == b"in"
    client.expect_end()


@pytest.mark.parametrize("decision", [SetupDecision.DROP, SetupDecision.STOP_ACCEPTING, "fails"])
def test_hooks_at_the_beginning_and_the_end(serve: Callable[..., Server], decision: object) -> None:
    """A connection that is not wanted ends without a byte; every connection's end is told."""
    app = Router()
    ended: list[tuple[object, Exception | None]] = []

    @app.on_connection_setup
    def setup(client: object) -> SetupDecision:
        if isinstance(decision, SetupDecision):
            return decision
        raise RuntimeError("hook")

    @app.on_connection_teardown
    def teardown(client: object, error: Exception | None) -> None:
        ended.append((client, error))

    server = serve(app)
    client = server.connect()
    client.expect_end()
    server.wait_until(lambda: server.closed)

    assert ended == [(client.socket.getsockname(), None)]
    assert server.stopped_accepting == (decision is SetupDecision.STOP_ACCEPTING)
    assert server.closed == 1


def test_context_variables_stay_with_their_request(serve: Callable[..., Server]) -> None:
    """What one handler sets, no other sees: plain, coroutine, or thread."""
    import contextvars

    seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nothing")
    app = Router()

    @app.get("/plain")
    def plain(req: Request) -> str:
        before = seen.get()
        seen.set("plain")
        return before

    @app.get("/async")
    async def soon(req: Request) -> str:
        before = seen.get()
        seen.set("async")
        return before

    @app.get("/thread", blocking=True)
    def in_thread(req: Request) -> str:
        before = seen.get()
        seen.set("thread")
        return before

    client = serve(app).connect()
    targets = ["/plain", "/async", "/thread", "/async", "/plain", "/thread", "/plain"]
    client.send(b"".join(get(target) for target in targets))

    assert [client.read().body for _ in targets] == [b"nothing"] * len(targets)
    for _ in range(3):  # one by one, so that they are known from before
        for target in targets[:3]:
            assert client.send(get(target)).read().body == b"nothing"
