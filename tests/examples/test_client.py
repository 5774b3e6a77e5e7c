"""Examples of the client: client_bulk.py and reverse_proxy.py."""

from __future__ import annotations

import asyncio

import pytest

from examples import client_bulk, hello, reverse_proxy
from rocket_sup.engine.portable import PortableEngine
from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.examples.serving import serve

PORTABLE = PortableEngine("asyncio", reason="tested")


def test_client_bulk(capsys: pytest.CaptureFixture[str]) -> None:
    """Every URL is told about, and the report closes."""
    with serve(hello.app, PORTABLE) as site:
        base = f"http://127.0.0.1:{site.port}"
        said = asyncio.run(client_bulk.fetch_all([f"{base}/health", f"{base}/none", "http://127.0.0.1:1/"]))

    assert "200 2 bytes" == said[f"{base}/health"]
    assert said[f"{base}/none"].startswith("404")
    assert "failed: ConnectError" == said["http://127.0.0.1:1/"]
    assert "3 requests in" in capsys.readouterr().out


def test_reverse_proxy() -> None:
    """What one server says is said by the other."""
    upstream = Router()
    upstream.get("/who")(lambda req: {"for": req.get_header("x-forwarded-for"), "path": req.path})
    with serve(upstream, PORTABLE) as behind:
        module, client = reverse_proxy, reverse_proxy.upstream_client()

        async def close(req: Request) -> str:
            await client.close()
            return "closed"

        app = Router()
        forward = module.proxy(f"http://127.0.0.1:{behind.port}", client)
        app.route("/**", methods=module.METHODS, stream=True)(forward)
        app.get("/close")(close)
        with serve(app, PORTABLE) as site:
            assert {"for": "127.0.0.1", "path": "/who"} == site.get("/who").json
            assert 404 == site.get("/none").status
            assert "closed" == site.get("/close").text
