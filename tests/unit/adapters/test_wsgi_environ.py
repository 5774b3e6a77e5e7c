"""What an application is told about a request."""

from __future__ import annotations

import pytest

from rocket_sup.adapters.wsgi_environ import MAX_KNOWN, MAX_KNOWN_BYTES, Environ, Environs, variables_of
from rocket_sup.config import LimitsConfig
from rocket_sup.hooks import Client
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request

PEER = ("192.0.2.7", 4711)


def request(head: str, client: Client = PEER) -> Request:
    """A request of a head."""
    parsed = parse_head(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n", 0, LimitsConfig())
    assert parsed is not None
    return Request(parsed, client)


def environ(head: str, *, root_path: str = "", client: Client = PEER) -> Environ:
    """Its environ."""
    environs = Environs(root_path=root_path, server=("a.example", 8080), is_threaded=True, wrapper=list)
    return environs.make(request(head, client), None)


def test_what_the_request_line_says() -> None:
    """Method, path, query and version, each where CGI has it."""
    made = environ("GET /a/b?c=d%20e HTTP/1.1\nHost: b.example")

    assert made["REQUEST_METHOD"] == "GET"
    assert made["PATH_INFO"] == "/a/b"
    assert made["QUERY_STRING"] == "c=d%20e"
    assert made["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert made["REQUEST_URI"] == made["RAW_URI"] == "/a/b?c=d%20e"
    assert made["HTTP_HOST"] == "b.example"


def test_what_is_always_the_same() -> None:
    """Of the server, and of PEP 3333."""
    made = environ("GET / HTTP/1.0")

    assert made["SERVER_NAME"] == "a.example"
    assert made["SERVER_PORT"] == "8080"
    assert made["SERVER_PROTOCOL"] == "HTTP/1.0"
    assert made["SCRIPT_NAME"] == ""
    assert made["wsgi.version"] == (1, 0)
    assert made["wsgi.url_scheme"] == "http"
    assert made["wsgi.multithread"] is True
    assert made["wsgi.run_once"] is False


@pytest.mark.parametrize(
    ("path", "info"),
    [
        ("/%61", "/a"),
        ("/%c3%a9", "/\xc3\xa9"),
        ("/%2f%2e%2e", "//.."),
        ("/100%", "/100%"),
        ("/+", "/+"),
    ],
)
def test_a_path_is_decoded_once_into_bytes_as_unicode(path: str, info: str) -> None:
    """A character of Latin-1 stands for a byte."""
    assert info == environ(f"GET {path} HTTP/1.1\nHost: a")["PATH_INFO"]


@pytest.mark.parametrize(
    ("path", "info"),
    [("/shop/a", "/a"), ("/shop", ""), ("/shopping", "/shopping"), ("/a", "/a"), ("/shop/%61", "/a")],
)
def test_where_an_application_is_mounted_is_taken_from_its_path(path: str, info: str) -> None:
    """Whole segments only; a proxy may have done it already."""
    made = environ(f"GET {path} HTTP/1.1\nHost: a", root_path="/shop")

    assert made["SCRIPT_NAME"] == "/shop"
    assert made["PATH_INFO"] == info


@pytest.mark.parametrize(
    ("client", "address"), [(PEER, "192.0.2.7"), (("::1", 5, 0, 0), "::1"), ("", ""), ("/run/a", "/run/a")]
)
def test_the_peer_is_named(client: Client, address: str) -> None:
    """A Unix socket has no port."""
    made = environ("GET / HTTP/1.1\nHost: a", client=client)

    assert made["REMOTE_ADDR"] == address
    assert (made.get("REMOTE_PORT") is not None) == isinstance(client, tuple)


def test_fields_become_variables() -> None:
    """Content's two by their own names, the others behind HTTP_."""
    block = b"\r\nContent-Type: a/b\r\ncontent-length: 3\r\nX-One: 1\r\nx.two: \xe9 "

    assert variables_of(block) == {
        "CONTENT_TYPE": "a/b",
        "CONTENT_LENGTH": "3",
        "HTTP_X_ONE": "1",
        "HTTP_X.TWO": "\xe9",
    }


def test_repeated_fields_are_joined() -> None:
    """By commas; cookies by semicolons."""
    block = b"\r\nAccept: a\r\nCookie: a=1\r\naccept: b\r\nCookie: b=2"

    assert variables_of(block) == {"HTTP_ACCEPT": "a, b", "HTTP_COOKIE": "a=1; b=2"}


def test_a_name_with_an_underscore_is_left_out() -> None:
    """It would be taken for the field that a proxy guards."""
    block = b"\r\nX_User: evil\r\nX-User: good\r\nContent_Length: 9"

    assert variables_of(block) == {"HTTP_X_USER": "good"}


def test_environs_share_nothing_that_an_application_may_change() -> None:
    """The same fields twice: two dictionaries."""
    environs = Environs(root_path="", server=("a", 1), is_threaded=False, wrapper=list)
    asked = request("GET / HTTP/1.1\nHost: a")
    first = environs.make(asked, None)
    first["HTTP_HOST"] = "changed"

    assert environs.make(asked, None)["HTTP_HOST"] == "a"


def test_what_is_remembered_is_bounded() -> None:
    """In number and size."""
    environs = Environs(root_path="", server=("a", 1), is_threaded=False, wrapper=list)
    for number in range(2 * MAX_KNOWN):
        environs.make(request(f"GET / HTTP/1.1\nHost: a{number}"), None)
    many = len(environs._known)
    environs.make(request(f"GET / HTTP/1.1\nHost: a\nX: {'x' * MAX_KNOWN_BYTES}"), None)

    assert 0 < many <= MAX_KNOWN
    assert len(environs._known) == many
