"""Another attempt: when, how often, how much later."""

from __future__ import annotations

import asyncio
from time import time

import pytest

from rocket_sup.client.errors import ConnectError, ExchangeError, ProtocolError, ReadError, TlsError
from rocket_sup.client.messages import Request, Response, Upload
from rocket_sup.client.retries import Retry, RetryTransport, retry_after
from rocket_sup.http.semantics import http_date


class Script:
    """A transport that answers with one thing after the other."""

    def __init__(self, *answers: Response | ExchangeError) -> None:
        self.answers = list(answers)
        self.closed = False

    async def send(self, request: Request) -> Response:
        answer = self.answers.pop(0)
        if isinstance(answer, ExchangeError):
            raise answer
        return answer

    async def close(self) -> None:
        self.closed = True


def send(request: Request, script: Script, retry: Retry | None = None, *, drawn: float = 0.0) -> Response:
    """Send through a script; waiting is as short as it may be."""

    async def main() -> Response:
        transport = RetryTransport(script, retry or Retry(), draw=lambda: drawn)
        try:
            return await transport.send(request)
        finally:
            await transport.close()

    return asyncio.run(main())


GET, POST = Request("GET", "http://host/"), Request("POST", "http://host/", body=b"x")


def test_until_it_succeeds() -> None:
    """Broken connections and statuses that may pass, in any order."""
    script = Script(ReadError("gone"), Response(503), Response(200))

    assert 200 == send(GET, script).status
    assert script.closed


def test_not_for_ever() -> None:
    """The last failure is told, whether it is an error or an answer."""
    script = Script(ReadError("1"), ReadError("2"), ReadError("3"), Response(200))

    with pytest.raises(ReadError, match="3"):
        send(GET, script)
    assert 503 == send(GET, Script(*[Response(503) for _ in range(3)])).status
    assert 503 == send(GET, Script(Response(503)), Retry(attempts=1)).status


@pytest.mark.parametrize("error", [ProtocolError("bad"), TlsError("who?")])
def test_what_will_not_pass(error: ExchangeError) -> None:
    """A server that breaks the rules or is not trusted is not asked again."""
    with pytest.raises(type(error)):
        send(GET, Script(error, Response(200)))


def test_what_is_not_safe() -> None:
    """A POST that may have arrived is not sent again; one that never left is, if its body is there."""
    assert 200 == send(POST, Script(ConnectError("refused"), Response(200))).status
    with pytest.raises(ReadError):
        send(POST, Script(ReadError("gone"), Response(200)))
    assert 503 == send(POST, Script(Response(503), Response(200))).status
    once = Request("PUT", "http://host/", body=Upload(lambda: aiter(())))  # type: ignore[call-overload]
    with pytest.raises(ConnectError):
        send(once, Script(ConnectError("refused"), Response(200)))


def test_how_much_later() -> None:
    """It doubles, up to a limit, times what was drawn; a server that says when is believed."""
    transport = RetryTransport(Script(), Retry(attempts=9, first_delay_s=1, max_delay_s=5), draw=lambda: 0.5)

    assert [0.5, 1.0, 2.0, 2.5, 2.5] == [transport._delay(GET, attempt) for attempt in range(1, 6)]
    assert 4.0 == transport._delay(GET, 1, 4.0)
    assert transport._delay(GET, 1, 6.0) is None
    assert transport._delay(GET, 9) is None


def test_no_time_left() -> None:
    """An attempt that would come after the deadline is not waited for."""
    request = Request("GET", "http://host/")

    async def main() -> None:
        request.deadline = asyncio.get_running_loop().time() + 1
        transport = RetryTransport(
            Script(Response(503), Response(200)), Retry(first_delay_s=9), draw=lambda: 1
        )
        assert 503 == (await transport.send(request)).status
        assert 0 == transport.open_connections

    asyncio.run(main())


def test_retry_after() -> None:
    """Seconds, a date, or nonsense (RFC 9110 §10.2.3)."""
    assert 120.0 == retry_after(Response(503, {"Retry-After": " 120 "}))
    assert 50 < retry_after(Response(503, {"Retry-After": http_date(time() + 60)})) < 61
    for value in ("", "soon", "-5", http_date(time() - 60)):
        assert 0.0 == retry_after(Response(503, {"Retry-After": value}))
