"""A reverse proxy between two real servers."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rocket_sup import Request, Response, Router
from rocket_sup.client import AsyncClient, Timeout
from rocket_sup.http.headers import Headers
from rocket_sup.reverse import METHODS, _dropped, proxy, upstream_client
from tests.client.conftest import served
from tests.examples.serving import Site


def behind() -> Router:
    """What is behind the proxy."""
    app = Router()

    @app.route("/base/echo", methods=["GET", "POST", "PUT"])
    def echo(req: Request) -> object:
        headers = {name.lower(): value for name, value in req.headers.items()}
        return {"method": req.method, "target": req.target, "headers": headers, "size": len(req.body)}

    app.get("/base/large")(lambda req: Response(b"0123456789" * 300_000))
    app.get("/base/old")(lambda req: (302, "", {"Location": "/new"}))
    app.get("/base/none")(lambda req: Response(None, 204))
    app.get("/base/packed")(
        lambda req: Response(gzip.compress(b"x" * 1000), headers={"Content-Encoding": "gzip"})
    )
    return app


@pytest.fixture
def front() -> Iterator[Site]:
    """The proxy, before a server."""
    with served(behind()) as upstream:
        app, client = Router(), upstream_client()
        handler = proxy(f"http://127.0.0.1:{upstream.port}/base/", client)
        app.route("/**", methods=METHODS, stream=True, max_body=10_000_000)(handler)
        with closing(app, client) as site:
            yield site


@contextmanager
def closing(app: Router, client: AsyncClient) -> Iterator[Site]:
    """Serve, and close a client on the loop that it was used on."""

    async def close(req: Request) -> str:
        await client.close()
        return "closed"

    app.get("/close-the-client")(close)
    with served(app) as site:
        yield site
        assert "closed" == site.get("/close-the-client").text


def test_both_ways(front: Site) -> None:
    """Targets, bodies large and small, statuses, redirects and codings arrive as they were."""
    asked = front.request("POST", "/echo?a=%20b", b"x" * 1_000_000).json
    assert ("POST", "/base/echo?a=%20b", 1_000_000) == (asked["method"], asked["target"], asked["size"])
    assert b"0123456789" * 300_000 == front.get("/large").body
    moved = front.get("/old")
    assert (302, "/new") == (moved.status, moved.headers["location"])
    assert 204 == front.get("/none").status
    assert b"x" * 1000 == gzip.decompress(front.get("/packed").body)
    head = front.request("HEAD", "/large")
    assert (200, "3000000", b"") == (head.status, head.headers["content-length"], head.body)


def test_fields_of_one_connection_stay_on_it(front: Site) -> None:
    """In both directions; and who asked is said by us, not by the client."""
    sent = {"Connection": "x-secret", "X-Secret": "1", "TE": "trailers", "X-Kept": "1"}
    sent["X-Forwarded-For"] = "6.6.6.6"
    found = front.get("/echo", sent).json["headers"]

    assert {"x-secret", "te", "connection"}.isdisjoint(found)
    assert ("1", "127.0.0.1", "http") == (
        found["x-kept"],
        found["x-forwarded-for"],
        found["x-forwarded-proto"],
    )
    assert f"127.0.0.1:{front.port}" == found["x-forwarded-host"]
    assert found["forwarded"] == f'for=127.0.0.1;host="127.0.0.1:{front.port}";proto=http'
    assert {"x-hop", "te", "upgrade"} <= _dropped(Headers([("Connection", "close, X-Hop")]))


def test_an_upstream_that_is_not_there_or_too_slow() -> None:
    """502 and 504."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        app, client = Router(), upstream_client()
        app.get("/gone", stream=True)(proxy("http://127.0.0.1:1", client))
        slow = proxy(f"http://127.0.0.1:{silent.getsockname()[1]}", client, timeout=Timeout(read=0.1))
        app.get("/slow", stream=True)(slow)
        with closing(app, client) as site:
            assert 502 == site.get("/gone").status
            assert 504 == site.get("/slow").status


def test_an_upstream_that_breaks_off() -> None:
    """The client's connection is cut: half of an answer is none."""

    def break_off(listening: socket.socket) -> None:
        sock, _ = listening.accept()
        with sock:
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=break_off, args=(listening,))
        thread.start()
        app, client = Router(), upstream_client()
        app.get("/", stream=True)(proxy(f"http://127.0.0.1:{listening.getsockname()[1]}", client))
        with closing(app, client) as site, socket.create_connection(("127.0.0.1", site.port), 10) as ours:
            ours.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            received = b""
            while piece := ours.recv(65536):
                received += piece
        thread.join(10)

    assert b"Content-Length: 10" in received
    assert not received.endswith(b"\r\n\r\n" + b"x" * 10)
