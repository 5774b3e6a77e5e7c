"""One call for one answer."""

from __future__ import annotations

import pytest

from rocket_sup import Router
from rocket_sup.client import onecall, send_request_with_cache
from rocket_sup.client.errors import ConnectError
from tests.client.conftest import served


@pytest.fixture
def asked(loop_of_clients: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the server was asked; the clients of the test end with it."""
    clients: dict[tuple[int, bool, int], onecall.Client] = {}
    monkeypatch.setattr(onecall, "_clients", clients)
    return []


def test_the_same_question_is_asked_once(asked: list[str]) -> None:
    """GET and HEAD are kept for a while; POST never, and a ttl of nothing asks the server."""
    app = Router()

    @app.route("/count", methods=["GET", "POST"])
    def count(req: object) -> str:
        asked.append(req.method + req.get_header("connection", ""))  # type: ignore[attr-defined]
        return f"{len(asked)}{req.body.decode()}"  # type: ignore[attr-defined]

    with served(app) as site:
        url = f"http://127.0.0.1:{site.port}/count"
        try:
            assert "1" == send_request_with_cache("GET", url) == send_request_with_cache("GET", url)
            assert "2" == send_request_with_cache("GET", url, ttl=0)
            assert "3x" == send_request_with_cache("POST", url, "x", keep_alive=False)
            assert "4x" == send_request_with_cache("POST", url, b"x", max_workers=2)
            assert ["GET", "GET", "POSTclose", "POST"] == asked
            assert {10, 2} == {workers for _, _, workers in onecall._clients}
            with pytest.raises(ConnectError):
                send_request_with_cache("GET", "http://127.0.0.1:1/")
        finally:
            for client in onecall._clients.values():
                client.close()
