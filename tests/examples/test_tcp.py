"""The examples below HTTP, on every loop that can serve them."""

from __future__ import annotations

import http.client
import importlib
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import ModuleType

import pytest

from examples import tcp_echo
from tests.engine import tcpsite
from tests.engine.tcpsite import Site, read_all, read_exactly

Start = Callable[[str], tuple[Site, ModuleType]]


@pytest.fixture(params=tcpsite.LOOPS)
def start(request: pytest.FixtureRequest, pipe_of_libuv: None) -> Iterator[Start]:
    """Serve an example by its name, with the limits that it asks for."""
    with ExitStack() as stack:

        def start(name: str) -> tuple[Site, ModuleType]:
            module = importlib.import_module(f"examples.{name}")
            limits = getattr(module, "LIMITS", None)
            return stack.enter_context(tcpsite.serve(request.param, module.handler, limits)), module

        yield start


@pytest.mark.parametrize("handler", ["handler", "by_view"])
def test_echo(start: Start, handler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes goes back, by copies and by views, until the client's end."""
    monkeypatch.setattr("examples.tcp_echo.handler", getattr(tcp_echo, handler))
    site, _ = start("tcp_echo")
    client = site.connect()
    for data in (b"hello", bytes(range(256)) * 200):
        client.sendall(data)
        assert data == read_exactly(client, len(data))
    client.shutdown(socket.SHUT_WR)

    assert client.recv(1) == b""


def test_lines(start: Start) -> None:
    """Requests one by one, many at once, and values that look like lines."""
    site, module = start("tcp_lines")
    module.store.clear()
    client = site.connect()
    client.sendall(b"get x\n")
    assert read_exactly(client, 5) == b"none\n"
    client.sendall(b"set x 7\nab\ncd\r\nget x\r\ndelete x\ndelete x\nset\nset x -1\n")
    client.shutdown(socket.SHUT_WR)

    understood = b"ok\nvalue 7\nab\ncd\r\nok\nnone\n"
    assert understood + b"error not understood\n" * 2 == read_all(client)


@pytest.mark.parametrize(
    ("says", "reason"), [(b"x" * 300, b"more than 256"), (b"set x 1048577\n", b"1048577"), (b"x" * 10, b"")]
)
def test_lines_have_limits(start: Start, says: bytes, reason: bytes) -> None:
    """Too long a line or a value is told and ends the connection; a line without an end is no line."""
    site, _ = start("tcp_lines")
    client = site.connect()
    client.sendall(says)
    client.shutdown(socket.SHUT_WR)
    try:
        received = read_all(client)
    except ConnectionResetError:
        received = b""

    assert reason in received
    assert received.startswith(b"error ") == bool(reason)
    assert site.failures == []


def test_fixed(start: Start) -> None:
    """Real clients, pipelined requests and heads in pieces get the answer; content is refused."""
    site, module = start("tcp_fixed")
    connection = http.client.HTTPConnection("127.0.0.1", site.server.addresses[0][1], timeout=10)
    for _ in range(3):
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok\n")
    connection.close()
    client = site.connect()
    client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20 + b"GET / HT")
    assert module.ANSWER * 20 == read_exactly(client, len(module.ANSWER) * 20)
    client.sendall(b"TP/1.1\r\n\r")
    client.sendall(b"\n")
    assert module.ANSWER == read_exactly(client, len(module.ANSWER))
    client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello")

    assert module.REFUSAL == read_all(client)
    long = site.connect()
    long.sendall(b"x" * 20_000)
    assert module.REFUSAL == read_all(long)
