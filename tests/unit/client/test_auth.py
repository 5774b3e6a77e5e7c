"""Fields that say who we are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rocket_sup.client import auth
from rocket_sup.client.auth import Basic, Bearer, Digest, Netrc, auth_of, parse_challenge
from rocket_sup.client.errors import InvalidRequest
from rocket_sup.client.messages import Request, Response


def said(scheme: auth.Auth, url: str = "http://host/") -> str | None:
    """What a request then says."""
    request = Request("GET", url)
    scheme.apply(request)
    return request.headers.get("authorization")


def test_basic_and_bearer() -> None:
    """At once, and no second attempt (RFC 7617 §2, RFC 6750 §2.1)."""
    request = Request("GET", "http://host/")

    assert "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" == said(Basic("Aladdin", "open sesame"))
    assert "Basic dGVzdDoxMjPCow==" == said(Basic("test", "123\u00a3"))
    assert "Bearer token" == said(Bearer("token"))
    assert not Basic("a", "b").on_challenge(request, Response(401))
    assert not Bearer("a").on_challenge(request, Response(401))
    with pytest.raises(InvalidRequest):
        Basic("a:b", "c")


def test_what_a_caller_may_write() -> None:
    """A pair is Basic."""
    bearer = Bearer("x")

    assert isinstance(auth_of(("a", "b")), Basic)
    assert bearer is auth_of(bearer)
    assert auth_of(None) is None


def test_netrc(tmp_path: Path) -> None:
    """By host; nobody else learns anything."""
    path = tmp_path / "netrc"
    path.write_text("machine host login me password secret\n")

    assert "Basic bWU6c2VjcmV0" == said(Netrc(path))
    assert said(Netrc(path), "http://other/") is None
    assert not Netrc(path).on_challenge(Request("GET", "http://host/"), Response(401))
    path.write_text("nonsense")
    with pytest.raises(InvalidRequest):
        Netrc(path)
    with pytest.raises(OSError, match="No such file"):
        Netrc(tmp_path / "none")


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc(algorithm: str, response: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 7616 §3.9.1, to the letter."""
    monkeypatch.setattr(auth.secrets, "token_hex", lambda _: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    digest = Digest("Mufasa", "Circle of Life")
    request = Request("GET", "http://www.example.org/dir/index.html")
    challenge = (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )

    assert digest.on_challenge(request, Response(401, {"WWW-Authenticate": challenge}))
    digest.apply(request)

    sent = request.headers["authorization"]
    assert f'response="{response}"' in sent
    assert 'uri="/dir/index.html"' in sent
    assert "qop=auth, nc=00000001" in sent
    digest.apply(request)
    assert "nc=00000002" in request.headers["authorization"]


def test_older_servers_and_sessions() -> None:
    """Without qop there is no count; a session hashes once more; names are quoted."""
    request = Request("GET", "http://host/")
    old, session = Digest('a"b', "c"), Digest("a", "b")
    assert old.on_challenge(request, Response(401, {"WWW-Authenticate": 'Digest realm="r", nonce="n"'}))
    session.on_challenge(
        request, Response(401, {"WWW-Authenticate": 'Digest nonce="n", qop="auth", algorithm=MD5-sess'})
    )

    old.apply(request)
    assert 'username="a\\"b"' in request.headers["authorization"]
    assert "qop" not in request.headers["authorization"]
    session.apply(request)
    assert "algorithm=MD5-sess" in request.headers["authorization"]
    assert re.search(r'response="[0-9a-f]{32}"', request.headers["authorization"])


@pytest.mark.parametrize(
    "line",
    [
        'Basic realm="r"',
        "Digest",
        'Digest realm="r"',
        'Digest nonce="n", algorithm=ROT13',
        'Digest nonce="n", qop="auth-int"',
    ],
)
def test_challenges_of_no_use(line: str) -> None:
    """Another scheme, no nonce, an algorithm or a quality that we do not have."""
    digest = Digest("a", "b")

    assert not digest.on_challenge(Request("GET", "http://host/"), Response(401, {"WWW-Authenticate": line}))
    assert said(digest) is None


def test_parameters() -> None:
    """Quoted or not, in any case, with escapes."""
    assert {"nonce": 'a"b', "qop": "auth", "stale": "true"} == parse_challenge(
        'DIGEST Nonce="a\\"b" , QOP=auth,stale=true'
    )
