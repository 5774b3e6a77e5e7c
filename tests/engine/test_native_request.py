"""Requests and answers of the native engine are those of the portable one: part by part, without a socket."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rocket_sup
from rocket_sup.config import LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.framing import RequestHead, parse_head
from rocket_sup.http.multidict import MultiDict
from rocket_sup.request import Request
from tests.unit import test_request as portable_cases
from tests.unit.test_request import *  # noqa: F403 - its tests run here again, on native requests

native = pytest.importorskip("rocket_sup.engine._native", reason="the native module is not built")

CLIENT = ("192.0.2.1", 4711)
PLAIN = b"GET /a?b=c HTTP/1.1\r\nHost: a\r\n\r\n"
BROWSER = (
    b"GET /users/1?page=2 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: text/html,*/*;q=0.8\r\nAccept-Language: en\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n"
)


def test_it_has_whatever_the_portable_one_has() -> None:
    """Also what is only there for routes that stream, and says so."""
    public = [name for name in dir(Request) if not name.startswith("_")]
    request = read(PLAIN)

    assert [name for name in public if not hasattr(type(request), name) and name != "__class__"] == []
    assert (request.scheme, request.forwarded) == ("http", None)


@pytest.fixture(autouse=True, scope="module")
def _native_requests() -> Iterator[None]:
    """Let the unit tests of the portable request make native ones."""

    def make(target: str = "/", *fields: str, body: bytes = b"") -> Request:
        lines = "".join(f"{field}\r\n" for field in ("Host: a:80", *fields))
        return read(f"POST {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portable_cases, "make", make)
        yield


def read(data: bytes) -> Any:  # it says that it is a Request, and type checkers cannot know
    """Make a native request."""
    return native.read_request(data, CLIENT)


def read_portable(data: bytes) -> Request:
    """Make a portable request of the same bytes."""
    head = parse_head(data, 0, LimitsConfig())
    assert head is not None
    request = Request(head, CLIENT)
    request.body = data[head.end :]
    return request


def outcome(ask: Callable[..., object], *args: object) -> object:
    """What a question gives: a value that can be compared, or what it raises."""
    try:
        found = ask(*args)
    except RemoteProtocolError as error:
        return error.status, str(error), error.offset
    if isinstance(found, RequestHead):
        return {name: getattr(found, name) for name in RequestHead.__slots__}
    return found.pairs() if isinstance(found, MultiDict) else found


def facts(request: Request, names: list[str]) -> Iterator[tuple[str, object]]:
    """Everything that can be asked of a request, twice: the second time its headers are decoded."""
    for _ in range(2):
        for attribute in (
            *("method", "target", "path", "query_string", "http_version", "fields", "host", "client", "body"),
            *("path_params", "path_segments", "query_params", "head"),
        ):
            yield attribute, outcome(getattr, request, attribute)
        yield "asgi_headers", request.asgi_headers()
        for name in names:
            yield f"header {name}", (request.get_header(name), request.get_header(name, default="none"))
            yield f"parameter {name}", outcome(request.get_query_param, name, "none")
        for method in ("json", "text", "form", "__repr__"):
            yield method, outcome(getattr(request, method))
        yield "headers", request.headers


def check_same(data: bytes, names: list[str]) -> None:
    """Compare both requests of the same bytes."""
    assert list(facts(read_portable(data), names)) == list(facts(read(data), names))


token = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=5)
blanks = st.text(" \t", max_size=2)
value = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=9)
field = st.tuples(token.map("X{}".format), blanks, value, blanks)
visible = st.lists(st.sampled_from([*"az09/%&=+?~:@-.", "%20", "%c3%a9", "%ff"]), max_size=12).map("".join)
target = st.one_of(
    visible.map("/{}".format),
    visible.map("http://example.com:80/{}".format),
    st.sampled_from(["http://example.com", "http://example.com?a=b", "HTTPS://[::1]/"]),
)


@pytest.mark.slow
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) | token,
    target=target,
    minor=st.sampled_from("0129"),
    fields=st.lists(field, max_size=5),
    host_at=st.integers(0, 5),
    body=st.sampled_from([b"", b"{}", b"[1", b"a=%20", b"\xff"]),
    empty_line=st.booleans(),
)
def test_any_request(
    method: str,
    target: str,
    minor: str,
    fields: list[tuple[str, str, str, str]],
    host_at: int,
    body: bytes,
    empty_line: bool,
) -> None:
    """Whatever is asked of it."""
    lines = [f"{name}:{before}{text}{after}\r\n" for name, before, text, after in fields]
    lines.insert(host_at, "hOst: example.org \t\r\n")
    head = f"{method} {target} HTTP/1.{minor}\r\n{''.join(lines)}\r\n".encode("latin-1")
    if method == "CONNECT":
        return
    names = [name.swapcase() for name, *_ in fields]

    check_same(b"\r\n" * empty_line + head + body, [*names, "host", "x", "é", "", "host: example.org"])


@pytest.mark.parametrize(
    "head",
    [
        "OPTIONS * HTTP/1.1\r\nHost: a",
        "OPTIONS http://b HTTP/1.1\r\nHost: a",
        "OPTIONS http://b? HTTP/1.1\r\nX: y\r\nHost: a\r\nhost-b: c\r\nHostess: d",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80",
        "GET / HTTP/1.0",
        "GET http://b/ HTTP/1.0",
        "GET / HTTP/1.0\r\nConnection: keep-alive",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\nExpect: 100-continue",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: a miracle",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain; charset=klingon",
    ],
)
def test_a_table_of_requests(head: str) -> None:
    """Every form of the target, and every fact of a head."""
    check_same(f"{head}\r\n\r\na=b".encode("latin-1"), ["host", "expect", "content-type"])


def test_it_is_a_request() -> None:
    """Applications ask, and match."""
    request = read(PLAIN)

    assert isinstance(request, rocket_sup.Request)
    match request:
        case Request(method=method):
            assert method == "GET"
        case _:
            pytest.fail("not a Request")


def test_applications_put_things_into_it() -> None:
    """As attributes, and in the place of what was received; the rest cannot be set."""
    request = read(PLAIN)
    request.user = "a"
    request.client = ("198.51.100.7", 1)
    request.body = bytearray(b"{}")
    request.path_params = {"b": "c"}

    assert request.user == "a"
    assert request.__dict__ == {"user": "a"}
    assert (request.client, request.json(), request.path_params) == (("198.51.100.7", 1), {}, {"b": "c"})
    for name in ("method", "target", "path", "query_string", "fields", "headers"):
        with pytest.raises(AttributeError):
            setattr(request, name, "x")
    del request.user
    assert not hasattr(request, "user")


@pytest.mark.parametrize("keep", ["user", "body", "path_params", "client"])
def test_a_circle_through_a_request_is_collected(keep: str) -> None:
    """An application that stores the request in itself loses no memory."""
    request = read(PLAIN)
    if keep == "path_params":
        request.path_params["self"] = request
    else:
        setattr(request, keep, [request])
    trace = weakref.ref(request)
    del request
    gc.collect()

    assert trace() is None


def test_a_request_that_somebody_keeps_is_never_used_again() -> None:
    """By a reference, a weak one, its attributes' dict, or an attribute."""
    kept: list[Any] = []
    keepers: list[Callable[[Any], object]] = [
        lambda request: request,
        lambda request: request.__dict__,
        lambda request: setattr(request, "user", 1),
        weakref.ref,
    ]
    for keep in keepers:
        kept.append(native.handle_request(PLAIN, CLIENT, keep))
        others = [native.handle_request(BROWSER, "b", lambda other: dict(other.__dict__)) for _ in range(3)]
        assert others == [{}, {}, {}]

    assert (kept[0].target, kept[0].client, kept[1]) == ("/a?b=c", CLIENT, {})
    assert kept[3]() is None


def test_a_request_that_is_used_again_remembers_nothing() -> None:
    """Content, parameters, decoded headers and query are those of the new one."""

    def use(request: Any) -> None:
        assert request.headers
        assert request.query_params
        request.path_params["a"] = "b"

    seen: list[object] = []

    def look(request: Any) -> None:
        expected = read_portable(BROWSER)
        seen.append(id(request))
        assert (request.client, request.body, request.path_params) == ("c", b"", {})
        assert (request.headers, request.query_params) == (expected.headers, expected.query_params)

    for _ in range(3):
        native.handle_request(PLAIN + b"content", CLIENT, use)
        native.handle_request(BROWSER, "c", look)

    assert len({*seen}) == 1, "no request was used again, and this test shows nothing"
