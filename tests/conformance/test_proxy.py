"""RFC 7239 and its forerunners: what a trusted proxy says, for every kind of application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup.accesslog import AccessLog
from rocket_sup.adapters.recognition import prepare
from rocket_sup.config import Config, LogConfig
from rocket_sup.config_proxy import ProxyConfig
from rocket_sup.engine.contract import Engine
from rocket_sup.proxy import believe_proxies
from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Server, request

FIELDS = (
    "X-Forwarded-For: 203.0.113.9, 192.0.2.1:4711",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: proxied.test",
)
BELIEVED = {"client": ["192.0.2.1", 4711], "scheme": "https"}


def routes() -> Router:
    """A handler that tells who asks."""
    app = Router()

    @app.get("/")
    def root(request: Request) -> dict[str, Any]:
        return {"client": request.client, "scheme": request.scheme, "host": request.host}

    @app.get("/later")
    async def later(request: Request) -> dict[str, Any]:
        return root(request)

    return app


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The same as WSGI."""
    start("200 OK", [])
    return [
        orjson.dumps(
            {
                "client": [environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])],
                "scheme": environ["wsgi.url_scheme"],
                "host": environ["HTTP_HOST"],
            }
        )
    ]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same as ASGI."""
    host = dict(scope["headers"])[b"host"].decode()
    body = orjson.dumps({"client": scope["client"], "scheme": scope["scheme"], "host": host})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(serve: Callable[..., Server], app: object, config: ProxyConfig, *, path: str = "/") -> dict[str, Any]:
    """What an application is told about a request that a proxy at 127.0.0.1 hands on."""
    router = prepare(app)
    believe_proxies(router, config)
    client = serve(router).connect()
    answers = [
        client.send(request(f"GET {path} HTTP/1.1", *FIELDS)).read(),
        client.send(request(f"GET {path} HTTP/1.1")).read(),
    ]
    told: list[dict[str, Any]] = [orjson.loads(answer.body) for answer in answers]

    assert told[1]["client"][0] == "127.0.0.1", "what was said of one request is not said of the next"
    assert (told[1]["scheme"], told[1]["host"]) == ("http", "example.test")
    return told[0]


APPLICATIONS = pytest.mark.parametrize(
    ("app", "path"), [(routes, "/"), (routes, "/later"), (lambda: wsgi, "/"), (lambda: asgi, "/")]
)


@APPLICATIONS
def test_a_trusted_proxy_is_believed(serve: Callable[..., Server], app: Any, path: str) -> None:
    """About client and scheme."""
    told = ask(serve, app(), ProxyConfig(trusted=("127.0.0.1",)), path=path)

    assert told == {**BELIEVED, "host": "example.test"}


@APPLICATIONS
def test_a_trusted_proxy_may_be_believed_about_the_host(
    serve: Callable[..., Server], app: Any, path: str
) -> None:
    """When the configuration says so."""
    told = ask(serve, app(), ProxyConfig(trusted=("127.0.0.1",), host=True), path=path)

    assert told == {**BELIEVED, "host": "proxied.test"}


@APPLICATIONS
@pytest.mark.parametrize(
    "config",
    [ProxyConfig(), ProxyConfig(trusted=("192.0.2.1",)), ProxyConfig(trusted=("*",), headers="forwarded")],
)
def test_nobody_else_is(serve: Callable[..., Server], app: Any, path: str, config: ProxyConfig) -> None:
    """Another peer, other fields, or no proxy at all."""
    told = ask(serve, app(), config, path=path)

    assert told["client"][0] == "127.0.0.1"
    assert (told["scheme"], told["host"]) == ("http", "example.test")


def test_the_access_log_names_the_client(engine: Engine, tmp_path: Path) -> None:
    """Not the proxy, of whom every line would tell the same."""
    router = prepare(routes())
    believe_proxies(router, ProxyConfig(trusted=("127.0.0.1",)))
    log = AccessLog(format="json", file=str(tmp_path / "access.log"))
    config = Config(log=LogConfig(access="json"))
    server = Server(router, config, str(tmp_path / "events.log"), engine, access_log=log)
    server.start()
    try:
        client = server.connect()
        for path in ("/", "/later"):
            client.send(request(f"GET {path} HTTP/1.1", *FIELDS)).read()
        client.send(request("GET / HTTP/1.1")).read()
        server.call(log.flush)
    finally:
        server.stop()
        log.close()
    lines = [orjson.loads(line) for line in (tmp_path / "access.log").read_bytes().splitlines()]

    assert [line["client"] for line in lines] == ["192.0.2.1", "192.0.2.1", "127.0.0.1"]
