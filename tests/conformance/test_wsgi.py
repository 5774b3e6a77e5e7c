"""PEP 3333: WSGI applications, in threads and on the loop, in the order of the document.

Every application here stands between two validators: that of the standard library around it, and a client
that sees each byte.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from rocket_sup.adapters.wsgi import wsgi_router
from tests.conformance.server import PATIENCE_S, Client, Server, get, post, request

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, Start], Iterable[bytes]]
TEXT = ("Content-Type", "text/plain")
SOME_KEYS = (
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT"),
    *("SERVER_PROTOCOL", "REMOTE_ADDR", "HTTP_HOST", "HTTP_X_TWO"),
    *("wsgi.url_scheme", "wsgi.version", "wsgi.multithread", "wsgi.run_once"),
)
MODES = pytest.mark.parametrize("threads", [0, 4], ids=["loop", "threads"])


@pytest.fixture
def connect(serve: Callable[..., Server]) -> Callable[..., Client]:
    """Give a function that serves an application and returns a connection to it."""

    def start(
        app: App, threads: int, *, checked: bool = True, root_path: str = "", **sections: Any
    ) -> Client:
        router = wsgi_router(
            validator(app) if checked else app, root_path=root_path, threads=threads, server=("a.example", 80)
        )
        return serve(router, **sections).connect()

    return start


def telling(*keys: str) -> App:
    """An application that answers with some variables of its environ, a line each."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [TEXT])
        return ["\n".join(f"{key}={environ.get(key)}" for key in keys).encode("latin-1")]

    return app


def streaming(*pieces: bytes, headers: tuple[tuple[str, str], ...] = ()) -> App:
    """An application that answers with an iterator."""

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [TEXT, *headers])
        yield from pieces

    return app


def end_of(client: Client) -> bytes:
    """What a server that closes has sent after its head."""
    return client.read_rest().partition(b"\r\n\r\n")[2]


# --- the environ ---


@MODES
def test_environ_of_a_request(connect: Callable[..., Client], threads: int) -> None:
    """The request line, the fields, the peer."""
    client = connect(telling(*SOME_KEYS), threads)
    client.send(request("GET /a%20b/%C3%A9?q=%20 HTTP/1.1", "X-Two: 1", "X-Two: 2"))

    assert client.read().body.decode("latin-1").split("\n") == [
        "REQUEST_METHOD=GET",
        "SCRIPT_NAME=",
        "PATH_INFO=/a b/\xc3\xa9",
        "QUERY_STRING=q=%20",
        "SERVER_NAME=a.example",
        "SERVER_PORT=80",
        "SERVER_PROTOCOL=HTTP/1.1",
        "REMOTE_ADDR=127.0.0.1",
        "HTTP_HOST=example.test",
        "HTTP_X_TWO=1, 2",
        "wsgi.url_scheme=http",
        "wsgi.version=(1, 0)",
        f"wsgi.multithread={threads > 0}",
        "wsgi.run_once=False",
    ]


@MODES
def test_environ_has_no_fields_with_underscores(connect: Callable[..., Client], threads: int) -> None:
    """They would be taken for those with hyphens."""
    client = connect(telling("HTTP_X_USER"), threads)
    client.send(request("GET / HTTP/1.1", "X_User: evil"))

    assert client.read().body == b"HTTP_X_USER=None"


@MODES
def test_environ_where_the_application_is_mounted(connect: Callable[..., Client], threads: int) -> None:
    """SCRIPT_NAME and PATH_INFO together are the path."""
    client = connect(telling("SCRIPT_NAME", "PATH_INFO"), threads, root_path="/shop")
    client.send(get("/shop/a"))

    assert client.read().body == b"SCRIPT_NAME=/shop\nPATH_INFO=/a"


@MODES
@pytest.mark.parametrize("method", ["DELETE", "OPTIONS", "PURGE"])
def test_environ_of_any_method(connect: Callable[..., Client], threads: int, method: str) -> None:
    """The application decides about methods and paths."""
    client = connect(telling("REQUEST_METHOD"), threads, checked=False)
    client.send(request(f"{method} /nowhere HTTP/1.1"))

    assert client.read().body == f"REQUEST_METHOD={method}".encode()


# --- wsgi.input ---


def reading(environ: Environ, start: Start) -> Iterable[bytes]:
    """Answer with what was read."""
    body = environ["wsgi.input"].read(5) + b"|" + b"|".join(environ["wsgi.input"])
    start("200 OK", [TEXT])
    return [body]


@MODES
@pytest.mark.parametrize(
    "sent",
    [
        post("/", b"abcdefg\nhij"),
        request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
        + b"3\r\nabc\r\n5\r\ndefg\n\r\n3\r\nhij\r\n0\r\n\r\n",
    ],
)
def test_input_is_the_content(connect: Callable[..., Client], threads: int, sent: bytes) -> None:
    """However it was framed, and however it was cut on the way."""
    client = connect(reading, threads)
    for byte in sent[:-4]:
        client.send(bytes([byte]))
    client.send(sent[-4:] + sent)

    assert client.read().body == b"abcde|fg\n|hij"
    assert client.read().body == b"abcde|fg\n|hij"


@MODES
def test_input_without_content_is_empty(connect: Callable[..., Client], threads: int) -> None:
    """Nothing is waited for."""
    assert connect(reading, threads).send(get()).read().body == b"|"


@MODES
def test_input_that_nobody_reads_is_forgotten(connect: Callable[..., Client], threads: int) -> None:
    """The connection goes on if it is little."""
    client = connect(telling("REQUEST_METHOD"), threads)
    client.send(post("/", b"x" * 1000) + get())

    assert client.read().body == b"REQUEST_METHOD=POST"
    assert client.read().body == b"REQUEST_METHOD=GET"


def test_input_is_read_while_it_comes(connect: Callable[..., Client]) -> None:
    """The application has the first part before the second was sent, and the 100 when it reads."""
    seen = threading.Event()

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        first = environ["wsgi.input"].read(3)
        seen.set()
        rest = environ["wsgi.input"].read(3)
        start("200 OK", [TEXT])
        return [first + b"-" + rest]

    client = connect(app, 4)
    client.send(request("POST / HTTP/1.1", "Content-Length: 6", "Expect: 100-continue"))
    continued = client.read_informational().status
    client.send(b"abc")
    was_seen = seen.wait(PATIENCE_S)
    client.send(b"def")

    assert continued == 100
    assert was_seen
    assert client.read().body == b"abc-def"


def test_input_larger_than_what_is_held(connect: Callable[..., Client]) -> None:
    """Content flows through; the client waits for an application that reads slowly."""
    size = 3_000_000

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        total = 0
        while piece := environ["wsgi.input"].read(1000):
            total += len(piece)
        start("200 OK", [TEXT])
        return [str(total).encode()]

    client = connect(app, 4, server={"max_body": size})

    assert client.send(post("/", b"x" * size)).read().body == str(size).encode()


@MODES
def test_input_that_is_too_large_is_413(connect: Callable[..., Client], threads: int) -> None:
    """Whether its length was announced or not."""
    for sent in (
        post("/", b"x" * 11),
        request("POST / HTTP/1.1", "Transfer-Encoding: chunked") + b"b\r\nxxxxxxxxxxx\r\n0\r\n\r\n",
    ):
        client = connect(reading, threads, server={"max_body": 10})

        assert client.send(sent).read().status == 413


def test_input_cut_short_is_no_content(connect: Callable[..., Client]) -> None:
    """The application's read fails; nothing takes half of it for all."""
    failed = threading.Event()

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except Exception:
            failed.set()
            raise
        raise AssertionError("half of the content was taken for all of it")

    client = connect(app, 4, checked=False)
    client.send(request("POST / HTTP/1.1", "Content-Length: 6") + b"abc").end()

    assert client.read().status == 400
    assert failed.is_set()


# --- start_response ---


@MODES
def test_start_response_says_status_and_fields(connect: Callable[..., Client], threads: int) -> None:
    """Repeated fields stay apart."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("404 Lost", [TEXT, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"lost"]

    answer = connect(app, threads).send(get()).read()

    assert (answer.status, answer.body) == (404, b"lost")
    assert [value for name, value in answer.fields if name == "Set-Cookie"] == ["a=1", "b=2"]


@MODES
def test_start_response_may_come_with_the_first_piece(connect: Callable[..., Client], threads: int) -> None:
    """Also when there is no piece at all."""
    client = connect(streaming(headers=(("X-A", "b"),)), threads)

    assert client.send(get()).read().get("X-A") == "b"


@MODES
def test_start_response_again_with_a_failure(connect: Callable[..., Client], threads: int) -> None:
    """An error page replaces what was not sent."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [TEXT])
        try:
            raise ValueError
        except ValueError:
            start("500 Sorry", [TEXT], sys.exc_info())
        return [b"sorry"]

    answer = connect(app, threads).send(get()).read()

    assert (answer.status, answer.body) == (500, b"sorry")


@MODES
@pytest.mark.parametrize(
    "app",
    [
        lambda environ, start: [b"x"],
        lambda environ, start: start("200 OK", []) and start("200 OK", []) and [b"x"],
        lambda environ, start: start("200 OK", [("A", "b\r\nC: d")]) and [b"x"],
        lambda environ, start: start("OK", []) and [b"x"],
        lambda environ, start: start("200 OK", []) and ["text"],
        lambda environ, start: 1 / 0,
        lambda environ, start: start("200 OK", [("Content-Length", "9")]) and [b"x"],
        lambda environ, start: start("200 OK", []) and None,
    ],
)
def test_start_response_and_other_mistakes_are_500(
    connect: Callable[..., Client], threads: int, app: App
) -> None:
    """Nothing was sent, so that there can be an answer; the next request is served."""
    client = connect(app, threads, checked=False)

    assert client.send(get()).read().status == 500
    assert client.send(get()).read().status == 500


# --- the answer ---


@MODES
def test_an_iterable_is_sent_in_chunks(connect: Callable[..., Client], threads: int) -> None:
    """When nobody knows its length."""
    client = connect(streaming(b"abc", b"", b"de"), threads)
    client.send(request("GET / HTTP/1.1", "Connection: close"))
    rest = client.read_rest()
    head, _, content = rest.partition(b"\r\n\r\n")

    assert b"Transfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert undone(content) == b"abcde"


@MODES
def test_an_iterable_of_a_known_length(connect: Callable[..., Client], threads: int) -> None:
    """Is sent as it is, and the connection goes on."""
    client = connect(streaming(b"abc", b"de", headers=(("Content-Length", "5"),)), threads)

    for _ in range(3):
        assert client.send(get()).read().body == b"abcde"


@MODES
def test_an_iterable_to_http_1_0(connect: Callable[..., Client], threads: int) -> None:
    """The end of the connection is its end."""
    client = connect(streaming(b"abc", b"de"), threads)
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head, _, content = client.read_rest().partition(b"\r\n\r\n")

    assert content == b"abcde"
    assert b"Connection: close" in head
    assert b"Transfer-Encoding" not in head


def test_pieces_leave_before_the_next_is_asked_for(connect: Callable[..., Client]) -> None:
    """PEP 3333: no block may be delayed."""
    go_on = threading.Event()

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [TEXT, ("Content-Length", "6")])
        yield b"abc"
        go_on.wait(PATIENCE_S)
        yield b"def"

    client = connect(app, 4)
    client.send(get())
    received = b""
    while not received.endswith(b"abc"):
        received += client.socket.recv(65536)
    go_on.set()

    assert client.socket.recv(65536) == b"def"


@MODES
def test_write_sends_before_the_iterable(connect: Callable[..., Client], threads: int) -> None:
    """The old way."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        write = start("200 OK", [TEXT, ("Content-Length", "3")])
        write(b"a")
        write(b"b")
        return [b"c"]

    assert connect(app, threads).send(get()).read().body == b"abc"


@MODES
def test_a_large_answer_to_a_client_that_reads_late(connect: Callable[..., Client], threads: int) -> None:
    """All of it arrives; meanwhile the application is not asked for more than can be held."""
    asked: list[int] = []

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [TEXT])
        for number in range(400):
            asked.append(number)
            yield b"x" * 65536

    client = connect(app, threads)
    client.send(request("GET / HTTP/1.1", "Connection: close"))
    first = client.socket.recv(1)
    held = len(asked)
    rest = first + b"".join(iter(lambda: client.socket.recv(1_000_000), b""))

    assert held < 400
    assert len(undone(rest.partition(b"\r\n\r\n")[2])) == 400 * 65536


@MODES
def test_head_gets_no_content(connect: Callable[..., Client], threads: int) -> None:
    """Whatever the application gives."""
    client = connect(streaming(b"abc", headers=(("Content-Length", "3"),)), threads)
    answer = client.send(request("HEAD / HTTP/1.1")).read(to="HEAD")

    assert answer.get("Content-Length") == "3"
    assert client.send(get()).read().body == b"abc"


@MODES
def test_204_has_no_content(connect: Callable[..., Client], threads: int) -> None:
    """Nor a length."""

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("204 No Content", [])
        return []

    client = connect(app, threads)

    assert client.send(get()).read().status == 204
    assert client.send(get()).read().status == 204


@MODES
def test_a_failure_in_the_middle_cuts_the_connection(connect: Callable[..., Client], threads: int) -> None:
    """What was sent must not look whole."""

    def app(environ: Environ, start: Start) -> Iterator[bytes]:
        start("200 OK", [TEXT])
        yield b"x" * 100_000  # more than is gathered before the head leaves
        yield b"y" * 100_000
        raise ValueError("broken")

    client = connect(app, threads, checked=False)
    client.send(get())
    received = b""
    try:
        received = client.read_rest()
    except ConnectionResetError:
        pass  # the other way to say so

    assert received.startswith(b"HTTP/1.1 200 ") or not received
    assert not received.endswith(b"0\r\n\r\n")


@MODES
def test_close_is_called_once(connect: Callable[..., Client], threads: int) -> None:
    """When the answer is complete."""
    closed = Closed(b"abc", b"de")
    client = connect(closed.app, threads)
    client.send(request("GET / HTTP/1.1", "Connection: close"))
    content = undone(end_of(client))

    assert content == b"abcde"
    assert closed.wait() == 1


@MODES
def test_close_is_called_when_the_client_leaves(connect: Callable[..., Client], threads: int) -> None:
    """Nobody wants the rest."""
    closed = Closed(*[b"x" * 65536] * 1000)
    client = connect(closed.app, threads)
    client.send(get())
    client.socket.recv(1)
    client.close()

    assert closed.wait() == 1


class Closed:
    """Pieces that know when they were closed."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = iter(pieces)
        self.times = 0
        self.event = threading.Event()

    def app(self, environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [TEXT])
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces

    def close(self) -> None:
        self.times += 1
        self.event.set()

    def wait(self) -> int:
        assert self.event.wait(PATIENCE_S)
        return self.times


# --- wsgi.file_wrapper ---


@MODES
@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_file_wrapper_sends_a_file(
    connect: Callable[..., Client], threads: int, size: int, tmp_path: Path
) -> None:
    """With its length when the application says none, from where it is."""
    path = tmp_path / "file"
    path.write_bytes(b"skipped" + b"x" * size)
    files: list[Any] = []

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [TEXT])
        file = path.open("rb")
        files.append(file)
        file.seek(7)
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return result

    client = connect(app, threads, checked=False)
    client.send(get() + get())

    assert client.read().body == b"x" * size
    assert client.read().body == b"x" * size
    client.close()


@MODES
def test_a_client_that_leaves_a_file_is_no_failure(
    serve: Callable[..., Server], threads: int, tmp_path: Path
) -> None:
    """Nor does anything stay behind of it."""
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(200_000_000)

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [TEXT])
        result: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
        return result

    server = serve(wsgi_router(app, threads=threads))
    client = server.connect().send(get())
    client.socket.recv(1)
    client.close()
    server.wait_until(lambda: not server.wire.connection_count())
    server.wait_until(lambda: not server.wire.statistics.in_flight)

    assert "handler_failed" not in [event["event"] for event in server.events()]


def undone(content: bytes) -> bytes:
    """Chunked content, decoded; it has to be whole."""
    parts = []
    while True:
        line, _, content = content.partition(b"\r\n")
        size = int(line, 16)
        if not size:
            assert content == b"\r\n"
            return b"".join(parts)
        parts.append(content[:size])
        assert content[size : size + 2] == b"\r\n"
        content = content[size + 2 :]
