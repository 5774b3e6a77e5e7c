"""A request decodes what is asked for, and blames the client for what cannot be decoded."""

from __future__ import annotations

import encodings

import pytest

from rocket_sup.config import LimitsConfig
from rocket_sup.errors import RemoteProtocolError
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request


def make(target: str = "/", *fields: str, body: bytes = b"") -> Request:
    """Make a request as the connection does."""
    lines = "".join(f"{field}\r\n" for field in ("Host: a:80", *fields))
    head = parse_head(f"POST {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"), 0, LimitsConfig())
    assert head is not None
    request = Request(head, ("192.0.2.1", 4711))
    request.body = body
    return request


def test_what_was_sent() -> None:
    """Method, target and its parts, version, client."""
    request = make("/a%20b/?c=%20&c=d")

    assert (request.method, request.target, request.http_version) == ("POST", "/a%20b/?c=%20&c=d", "1.1")
    assert (request.path, request.query_string, request.host) == ("/a%20b/", "c=%20&c=d", "a:80")
    assert request.path_segments == ["a b", ""]
    assert request.client == ("192.0.2.1", 4711)
    assert repr(request) == "<Request POST /a%20b/?c=%20&c=d>"


@pytest.mark.parametrize("is_decoded", [False, True])
def test_a_header_is_found_in_any_letter_case(is_decoded: bool) -> None:
    """The first value, whether all were decoded before or not."""
    request = make("/", "X-One:  a \t", "x-one: b", "X-One-More: c", "X-Empty:", "X-Raw: \xe9")
    if is_decoded:
        assert len(request.headers) == 6

    assert [request.get_header(name) for name in ("x-ONE", "X-One-More", "x-empty", "X-Raw")] == [
        *("a", "c", "", "\xe9")
    ]
    assert request.get_header("one") is None
    assert request.get_header("x.one", "none") == "none"
    assert request.headers.get_all("X-One") == ["a", "b"]
    assert request.headers is request.headers


def test_query_parameters() -> None:
    """The first value by name, all by `get_all`."""
    request = make("/?a=1&b=%C3%A9&a=2")

    assert request.get_query_param("a") == request.query_params["a"] == "1"
    assert request.get_query_param("b") == "é"
    assert request.get_query_param("c") is None
    assert request.get_query_param("c", "d") == "d"
    assert request.query_params.get_all("a") == ["1", "2"]


def test_a_path_that_is_no_utf_8_is_the_clients_fault() -> None:
    """When it is asked for in segments."""
    with pytest.raises(RemoteProtocolError) as caught:
        assert make("/%ff").path_segments

    assert caught.value.status == 400


def test_json() -> None:
    """Content of any Content-Type."""
    assert make(body=b'{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(RemoteProtocolError, match="not JSON") as caught:
        make(body=b"{").json()
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        (None, "é".encode(), "é"),
        ("text/plain", "é".encode(), "é"),
        ("text/plain; charset=latin-1", b"\xe9", "é"),
        ('text/plain; charset="UTF-16"', "é".encode("utf-16"), "é"),
    ],
)
def test_text_in_its_charset(content_type: str | None, body: bytes, expected: str) -> None:
    """UTF-8 unless something else is said."""
    fields = [f"Content-Type: {content_type}"] if content_type else []

    assert make("/", *fields, body=body).text() == expected


@pytest.mark.parametrize(
    ("charset", "status"),
    [
        *(
            ("utf-8", 400),
            ("klingon", 415),
            ("hex", 415),
            ("idna", 415),
            ("punycode", 415),
            ("unicode_escape", 415),
        ),
        ("utf-7", 415),
    ],
)
def test_text_that_cannot_be_decoded_is_the_clients_fault(charset: str, status: int) -> None:
    """Also codecs of Python that are no charsets."""
    with pytest.raises(RemoteProtocolError) as caught:
        make("/", f"Content-Type: text/plain; charset={charset}", body=b"\xff\xfe\xfa").text()

    assert caught.value.status == status


def test_forms() -> None:
    """By the Content-Type."""
    request = make("/", "Content-Type: application/x-www-form-urlencoded", body=b"a=1&a=2")

    assert request.form()["a"] == "1"
    with pytest.raises(RemoteProtocolError) as caught:
        make(body=b"a=1").form()
    assert caught.value.status == 415


def test_requests_share_nothing_but_their_head() -> None:
    """A head may serve many requests; what one changes the next does not see."""
    first = make("/", "X: 1")
    second = Request(first.head, "")
    first.headers.add("Y", "2")
    first.body = b"a"
    first.path_params = {"a": "b"}

    assert "y" not in second.headers
    assert (second.body, dict(second.path_params)) == (b"", {})
    assert first.get_header("y") == "2"


def test_path_params_are_a_dict_of_its_own() -> None:
    """A route without parameters has none; what a handler adds to them is seen by no other request."""
    first, second = make(), make()
    first.path_params["added"] = "1"

    assert ({"added": "1"}, {}) == (first.path_params, second.path_params)
    with pytest.raises(AttributeError, match="no attribute 'parameters'"):
        _ = first.parameters


def test_names_of_charsets_leave_no_trace() -> None:
    """Python remembers every codec it was asked for and does not know: clients must not fill that memory."""
    before = len(encodings._cache)
    for number in range(50):
        with pytest.raises(RemoteProtocolError, match="unknown"):
            make("/", f"Content-Type: text/plain; charset=made-up-{number}").text()

    assert before == len(encodings._cache)


def test_headers_for_asgi() -> None:
    """Pairs of bytes in order: names in lower case, values without the blanks around them."""
    request = make("/", "X-One: 1", "x-ONE:\t two: 2 ", "Empty:", "X: \xe9")

    assert request.asgi_headers() == [
        (b"host", b"a:80"),
        (b"x-one", b"1"),
        (b"x-one", b"two: 2"),
        (b"empty", b""),
        (b"x", b"\xe9"),
    ]
