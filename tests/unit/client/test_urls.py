"""URLs: what is accepted, what is refused, what stands on the wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.client.errors import UrlError
from rocket_sup.client.urls import Params, Url


@pytest.mark.parametrize(
    ("text", "origin", "authority", "target"),
    [
        ("http://Host", ("http", "host", 80), "host", "/"),
        ("HTTPS://host:443/a?b#c", ("https", "host", 443), "host", "/a?b"),
        ("http://host:8080?q=1", ("http", "host", 8080), "host:8080", "/?q=1"),
        ("http://[::1]:81/x", ("http", "::1", 81), "[::1]:81", "/x"),
        ("http://host:/x", ("http", "host", 80), "host", "/x"),
        ("http://bücher.example/ü?ß=%20 %", ("http", "xn--bcher-kva.example", 80), "xn--bcher-kva.example",
         "/%C3%BC?%C3%9F=%20%20%25"),
        ("http://host/a\r\nX: y", ("http", "host", 80), "host", "/a%0D%0AX:%20y"),
        ('http://host/"<>\\^`{|}', ("http", "host", 80), "host", "/%22%3C%3E%5C%5E%60%7B%7C%7D"),
        ("http://host/[a];b=c,d/~!$&'()*+@:", ("http", "host", 80), "host", "/[a];b=c,d/~!$&'()*+@:"),
    ],
)  # fmt: skip
def test_what_is_read(text: str, origin: object, authority: str, target: str) -> None:
    """Origin, Host and request target of an address."""
    url = Url(text)

    assert (origin, authority, target) == (url.origin, url.authority, url.target)


@pytest.mark.parametrize(
    "text",
    [
        "", "host/path", "/path", "ftp://host/", "http://", "http:///path", "http://host:0/", "http://host:65536/",
        "http://host:99999999999/", "http://ho st/", "http://host:x/", "http://[::1/", "http://a\x00b/",
        "http://" + "ü" * 70 + "/", "http://host\r\nX: y/",
    ],
)  # fmt: skip
def test_what_is_refused(text: str) -> None:
    """No scheme, no host, impossible hosts and ports: nothing is guessed."""
    with pytest.raises(UrlError):
        Url(text)


def test_parts() -> None:
    """Path, query, userinfo and fragment are there without what separates them."""
    url = Url("http://us%65r:p%3Aw@host/a/b?c=d&e#f")

    assert ("/a/b", "c=d&e", ("user", "p:w"), "f") == (url.path, url.query, url.userinfo, url.fragment)
    assert ("user", "") == Url("http://user@host/").userinfo
    assert "http://host/a/b?c=d&e#f" == str(url)
    assert "Url('http://host/')" == repr(Url("http://host/"))


def test_equality_is_that_of_the_text() -> None:
    """A port that is the default makes no difference."""
    assert Url("http://host") == Url("HTTP://HOST:80/")
    assert hash(Url("http://host")) == hash(Url("HTTP://HOST:80/"))
    assert Url("http://host") != Url("http://host/x")
    assert Url("http://host") != "http://host/"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("/x", "http://host:81/x#f"), ("x", "http://host:81/a/x#f"), ("?q", "http://host:81/a/b?q#f"),
        ("//other/x", "http://other/x#f"), ("https://other", "https://other/#f"), ("#g", "http://host:81/a/b#g"),
        ("../../x", "http://host:81/x#f"), (" /x ", "http://host:81/x#f"),
    ],
)  # fmt: skip
def test_references(reference: str, expected: str) -> None:
    """Relative references are resolved; a fragment is inherited (RFC 9110 §10.2.2)."""
    assert expected == str(Url("http://host:81/a/b#f").join(reference))


def test_a_reference_to_another_scheme_is_refused() -> None:
    """A redirect to a file is followed by nobody."""
    with pytest.raises(UrlError):
        Url("http://host/").join("file:///etc/passwd")


@pytest.mark.parametrize(
    ("params", "target"),
    [
        ({"a": 1, "b": True, "c": None, "d": ["x", "y z"]}, "/?a=1&b=true&c=&d=x&d=y+z"),
        ([("a", "ü"), ("a", False)], "/?a=%C3%BC&a=false"), ("?q=1", "/?q=1"), ("q= ", "/?q=%20"),
        ({}, "/"), ("", "/"),
    ],
)  # fmt: skip
def test_params(params: Params, target: str) -> None:
    """Parameters are added to the query."""
    assert target == Url("http://host/").with_params(params).target


def test_params_join_a_query_that_is_there() -> None:
    """Nothing of it is lost, and the first URL stays as it was."""
    url = Url("http://host/?a=1")

    assert "/?a=1&b=2" == url.with_params({"b": 2}).target
    assert "/?a=1" == url.target


@given(st.text())
def test_no_text_breaks_the_request_line(text: str) -> None:
    """Whatever stands in a path, the target is visible ASCII."""
    target = Url("http://host/" + text.partition("#")[0].strip()).target

    assert all(0x21 <= ord(character) <= 0x7E for character in target)
