"""The jar: what is kept, who gets it, and for how long."""

from __future__ import annotations

import pytest

from rocket_sup.client.cookies import CookieJar
from rocket_sup.client.urls import Url

NOW = 1_800_000_000.0


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def kept(url: str, *lines: str) -> CookieJar:
    """A jar that was told these by one URL."""
    jar = CookieJar(clock=Clock())
    for line in lines:
        jar.store(Url(url), line)
    return jar


@pytest.mark.parametrize(
    ("sender", "line", "asked", "expected"),
    [
        ("http://a.example/x/y", "n=v", "http://a.example/x/z", "n=v"),
        ("http://a.example/x/y", "n=v", "http://a.example/x", "n=v"),
        ("http://a.example/x/y", "n=v", "http://a.example/xy", ""),
        ("http://a.example/x/y", "n=v; Path=/", "http://a.example/", "n=v"),
        ("http://a.example/", "n=v; path=/p/", "http://a.example/p", ""),
        ("http://a.example/", "n=v", "http://b.a.example/", ""),
        ("http://a.example/", "n=v; Domain=.A.example", "http://b.a.example/", "n=v"),
        ("http://b.a.example/", "n=v; Domain=a.example", "http://a.example/", "n=v"),
        ("http://a.example/", "n=v; Domain=b.a.example", "http://b.a.example/", ""),
        ("http://a.example/", "n=v; Domain=example", "http://b.example/", ""),
        ("http://a.example/", "n=v; Domain=evil.example", "http://evil.example/", ""),
        ("http://xa.example/", "n=v; Domain=a.example", "http://a.example/", ""),
        ("http://1.2.3.4/", "n=v; Domain=2.3.4", "http://2.3.4/", ""),
        ("http://localhost/", "n=v; Domain=localhost", "http://localhost/", "n=v"),
        ("https://a.example/", "n=v; Secure", "http://a.example/", ""),
        ("https://a.example/", "n=v; Secure", "https://a.example/", "n=v"),
        ("http://a.example/", "n=v; Secure", "https://a.example/", ""),
        ("https://a.example/", "__Host-n=v; Secure; Path=/", "https://a.example/", "__Host-n=v"),
        ("https://a.example/", "__Host-n=v; Secure", "https://a.example/", ""),
        ("https://a.example/", "__Secure-n=v", "https://a.example/", ""),
        ("http://a.example/", "n=v=w ; HttpOnly", "http://a.example/", "n=v=w"),
        ("http://a.example/", "n=", "http://a.example/", "n="),
        ("http://a.example/", "=v", "http://a.example/", ""),
        ("http://a.example/", "nothing", "http://a.example/", ""),
        ("http://a.example/", "n=v\x00w", "http://a.example/", ""),
        ("http://a.example/", "n=" + "v" * 5000, "http://a.example/", ""),
        ("http://a.example/", "n=v; Max-Age=0", "http://a.example/", ""),
        ("http://a.example/", "n=v; Max-Age=x", "http://a.example/", "n=v"),
        ("http://a.example/", "n=v; Expires=Wed, 21 Oct 2015 07:28:00 GMT", "http://a.example/", ""),
        ("http://a.example/", "n=v; Expires=Wed, 21-Oct-2015 07:28:00 GMT", "http://a.example/", ""),
        (
            "http://a.example/",
            "n=v; Expires=Wed, 21 Oct 2015 07:28:00 GMT; Max-Age=9",
            "http://a.example/",
            "n=v",
        ),
        ("http://a.example/", "n=v; Expires=never", "http://a.example/", "n=v"),
    ],
)
def test_who_gets_what(sender: str, line: str, asked: str, expected: str) -> None:
    """Domains, paths, secure ones, prefixes, and times (RFC 6265 §5)."""
    assert expected == kept(sender, line).header_for(Url(asked))


def test_longer_paths_first_and_the_newest_value() -> None:
    """One cookie per name, domain and path (RFC 6265 §5.4)."""
    jar = kept("http://a.example/x/y", "n=1; Path=/", "n=2", "m=3; Path=/", "n=4; Path=/")

    assert "n=2; n=4; m=3" == jar.header_for(Url("http://a.example/x/y"))
    assert ["n", "m"] == list(jar)
    assert 2 == len(jar)


def test_they_end_in_time_or_by_order() -> None:
    """A cookie lives until its moment, or until the server takes it back."""
    clock = Clock()
    jar = CookieJar(clock=clock)
    url = Url("http://a.example/")
    jar.store(url, "n=v; Max-Age=10")
    jar.store(url, "m=w")
    clock.now += 9.9
    assert "n=v; m=w" == jar.header_for(url)
    clock.now += 0.2
    assert "m=w" == jar.header_for(url)
    jar.store(url, "m=; Max-Age=-1")

    assert "" == jar.header_for(url)
    assert not jar


def test_as_a_mapping() -> None:
    """What a caller puts in goes to every host, and can be taken out again."""
    jar = CookieJar({"n": "v"}, clock=Clock())
    jar.store(Url("http://a.example/"), "n=w")

    assert "n=v; n=w" == jar.header_for(Url("http://a.example/"))
    assert "n=v" == jar.header_for(Url("http://b.example/x"))
    assert "v" == jar["n"]
    del jar["n"]
    assert [] == jar.cookies()
    with pytest.raises(KeyError):
        del jar["n"]
    with pytest.raises(KeyError):
        _ = jar["n"]


def test_no_server_can_fill_memory() -> None:
    """The oldest ones go."""
    jar = kept("http://a.example/", *[f"n{number}=v" for number in range(500)])
    for number in range(3500):
        jar.store(Url(f"http://h{number}.example/"), "n=v")

    assert len(jar.cookies()) <= 3000 + 180
    assert "n=v" == jar.header_for(Url("http://h3499.example/"))
