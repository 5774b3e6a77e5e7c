"""A WSGI application called in threads: what its two sides tell each other.

The conduit here only records; tests/conformance/test_wsgi.py does the same with real ones.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.adapters.wsgi_environ import Environs
from rocket_sup.adapters.wsgi_files import FileWrapper
from rocket_sup.adapters.wsgi_threads import READ_AHEAD, WRITE_AHEAD, call_in_threads
from rocket_sup.config import LimitsConfig
from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.http.framing import parse_head
from rocket_sup.request import Request
from rocket_sup.response import Answer

PATIENCE_S = 10.0
Start = Callable[..., Callable[[bytes], object]]
App = Callable[[dict[str, Any], Start], Iterable[bytes]]


class RecordingConduit:
    """See `conduit.Conduit`; what is done with it is kept, in order."""

    date_line = b"Date: now\r\n"

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(2)
        self.keep_alive = True
        self.is_begun = False
        self.has_room = True
        self.written = b""
        self.steps: list[str] = []
        self.finished: tuple[int, int, bool] | None = None
        self.content: list[bytes] = []
        self.receiver: Any = None
        self.changed = asyncio.Event()

    def attach(self, receiver: Any) -> None:
        self.receiver = receiver

    def resume_reading(self) -> None:
        self.step("resume")

    def pause_reading(self) -> None:
        self.step("pause")

    def begin(self) -> None:
        self.is_begun = True

    def write(self, data: bytes) -> bool:
        self.written += data
        self.step("write")
        return self.has_room

    @property
    def unsent(self) -> int:
        return 0 if self.has_room else 1

    def send_file(self, fd: int, offset: int, count: int) -> bool:
        self.step(f"file {offset} {count}")
        return self.has_room

    def abort(self, error: Exception | None = None) -> None:
        self.step("abort")

    def finish(self, status: int, content_bytes: int, *, keep_alive: bool = True) -> None:
        self.finished = (status, content_bytes, keep_alive)
        self.step("finish")

    def step(self, name: str) -> None:
        self.steps.append(name)
        self.changed.set()

    async def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until the other side has done something."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Call:
    """An application under way."""

    def __init__(self, app: App, head: str) -> None:
        environs = Environs(root_path="", server=("a", 80), is_threaded=True, wrapper=FileWrapper)
        parsed = parse_head(head.replace("\n", "\r\n").encode() + b"\r\n\r\n", 0, LimitsConfig())
        assert parsed is not None
        self.conduit = RecordingConduit()
        handler = call_in_threads(app, environs)
        coroutine = handler(Request(parsed, ("::1", 1)), self.conduit)  # type: ignore[arg-type]
        self.task = asyncio.create_task(coroutine)

    async def end(self) -> Answer | None:
        """Wait for what the engine is to do, and for the threads."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.task
            finally:
                await asyncio.to_thread(self.conduit.executor.shutdown)

    @property
    def receiver(self) -> Any:
        return self.conduit.receiver


GET = "GET / HTTP/1.1\nHost: a"
POST = "POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked"


def giving(result: Iterable[bytes], *headers: tuple[str, str]) -> App:
    """An application that gives an iterable."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", list(headers))
        return result

    return app


def run(app: App, head: str = GET) -> tuple[Answer | None, RecordingConduit]:
    """Call an application, and let nothing hold it up."""

    async def call() -> tuple[Answer | None, RecordingConduit]:
        call = Call(app, head)
        return await call.end(), call.conduit

    return asyncio.run(call())


@pytest.mark.parametrize(
    "app",
    [
        giving([b"abc"]),
        giving((b"abc",)),
        giving((piece for piece in [b"", b"abc"]), ("Content-Length", "3")),
    ],
)
def test_one_piece_is_a_whole_answer(app: App) -> None:
    """The engine writes it like any other."""
    answer, conduit = run(app)

    assert answer is not None
    assert answer.body == b"abc"
    assert conduit.steps == []


def test_pieces_are_chunks() -> None:
    """When nobody knows their length."""
    answer, conduit = run(giving(piece for piece in [b"abc", b"", b"de"]))

    assert answer is None
    assert conduit.written.startswith(b"HTTP/1.1 200 OK\r\nDate: now\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert conduit.written.endswith(b"0\r\n\r\n")
    assert conduit.finished == (200, 5, True)


def test_pieces_of_a_known_length_are_not() -> None:
    """They have to be as long as was said."""
    _, conduit = run(giving((piece for piece in [b"abc", b"de"]), ("Content-Length", "5")))

    assert conduit.written.endswith(b"Content-Length: 5\r\n\r\nabcde")
    assert conduit.finished == (200, 5, True)


def test_to_http_1_0_the_end_of_the_connection_is_the_end() -> None:
    """It knows no chunks."""
    _, conduit = run(giving(piece for piece in [b"abc", b"de"]), "GET / HTTP/1.0")

    assert conduit.written.endswith(b"Connection: close\r\n\r\nabcde")
    assert conduit.finished == (200, 5, False)


def test_head_has_the_fields_alone() -> None:
    """And the application is not asked for more than the first piece."""
    asked: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(9):
            asked.append(number)
            yield b"abc"

    _, conduit = run(giving(pieces()), GET.replace("GET", "HEAD"))

    assert conduit.written.endswith(b"Date: now\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert conduit.finished == (200, 0, True)
    assert asked == [0]


def test_a_client_that_does_not_read_holds_the_application_up() -> None:
    """In its thread, after a bounded number of bytes."""
    size = WRITE_AHEAD // 2
    given: list[int] = []

    def pieces() -> Iterator[bytes]:
        for number in range(20):
            given.append(number)
            yield b"x" * size

    async def call() -> None:
        call = Call(giving(pieces(), ("Content-Length", str(20 * size))), GET)
        call.conduit.has_room = False
        await call.conduit.wait_for(lambda: len(call.conduit.written) >= WRITE_AHEAD)
        before = len(given)
        call.conduit.has_room = True
        call.receiver.on_room()
        await call.end()

        assert before <= 3
        assert len(given) == 20
        assert call.conduit.finished == (200, 20 * size, True)

    asyncio.run(call())


def test_content_is_read_as_it_comes() -> None:
    """The application waits, and the client when the application does not read."""
    seen: list[bytes] = []
    is_read = threading.Event()

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        seen.append(environ["wsgi.input"].read(3))
        is_read.wait(PATIENCE_S)
        seen.append(environ["wsgi.input"].read())
        start("200 OK", [])
        return [b"ok"]

    async def call() -> None:
        call = Call(app, POST)
        await call.conduit.wait_for(lambda: call.conduit.steps == ["resume"])
        call.receiver.on_content(b"abcdef")
        call.receiver.on_content(b"x" * READ_AHEAD)
        await call.conduit.wait_for(lambda: "pause" in call.conduit.steps)
        is_read.set()
        await call.conduit.wait_for(lambda: call.conduit.steps == ["resume", "pause", "resume"])
        call.receiver.on_content_end(b"")
        answer = await call.end()

        assert answer is not None
        assert seen == [b"abc", b"def" + b"x" * READ_AHEAD]

    asyncio.run(call())


def test_without_content_nothing_is_waited_for() -> None:
    """Reading gives nothing, at once."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        return [repr(environ["wsgi.input"].read()).encode()]

    answer, conduit = run(app, GET + "\nContent-Length: 0")

    assert answer is not None
    assert answer.body == b"b''"
    assert conduit.steps == []


def test_broken_content_fails_where_it_is_read() -> None:
    """Left alone it becomes the client's answer."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        return [environ["wsgi.input"].read()]

    async def call() -> None:
        call = Call(app, POST)
        await call.conduit.wait_for(lambda: call.conduit.steps)
        call.receiver.on_content(b"abc")
        call.receiver.on_content_error(RemoteProtocolError("too large", status=413))
        with pytest.raises(RemoteProtocolError, match="too large"):
            await call.end()

    asyncio.run(call())


@pytest.mark.parametrize("waits_for", ["content", "room"])
def test_a_client_that_is_gone_ends_every_wait(waits_for: str) -> None:
    """The application hears of it as of a broken file; the iterable is closed."""
    closed = threading.Event()

    class Pieces:
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b"x" * WRITE_AHEAD

        def close(self) -> None:
            closed.set()

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        if waits_for == "content":
            try:
                environ["wsgi.input"].read()
            except OSError:
                closed.set()
                raise
        return Pieces()

    async def call() -> None:
        call = Call(app, POST)
        call.conduit.has_room = False
        await call.conduit.wait_for(lambda: call.conduit.steps)
        call.receiver.on_gone(None)

        assert await call.end() is None
        assert closed.is_set()

    asyncio.run(call())


def test_a_call_that_had_to_queue_never_begins_for_a_client_that_is_gone() -> None:
    """Its place in the queue is given up."""
    called: list[int] = []

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        called.append(1)
        return []

    async def call() -> None:
        call = Call(app, GET)
        release = threading.Event()
        for _ in range(2):
            call.conduit.executor.submit(release.wait, PATIENCE_S)
        await asyncio.sleep(0)
        call.receiver.on_gone(None)
        release.set()

        assert await call.end() is None
        assert called == []

    asyncio.run(call())


@pytest.mark.parametrize("stays", [True, False])
def test_a_file_is_sent_by_the_engine(tmp_path: Path, stays: bool) -> None:
    """No thread waits for it, and the application's own is closed; who leaves meanwhile is no failure."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    files: list[io.BufferedReader] = []

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        start("200 OK", [])
        files.append(path.open("rb"))
        files[0].seek(4)
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](files[0])
        return wrapped

    async def call() -> None:
        call = Call(app, GET)
        call.conduit.has_room = False
        await call.conduit.wait_for(lambda: "file 4 99996" in call.conduit.steps)
        call.conduit.has_room = True
        if stays:
            call.receiver.on_room()
        else:
            call.receiver.on_gone(None)

        assert await call.end() is None
        assert files[0].closed
        assert b"Content-Length: 99996\r\n" in call.conduit.written
        assert call.conduit.finished == ((200, 99996, True) if stays else None)

    asyncio.run(call())


@pytest.mark.parametrize(("promised", "match"), [("3", "more content"), ("9", "5 bytes")])
def test_a_broken_promise_is_a_failure(promised: str, match: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is too much is not sent; what is too little cannot look whole."""
    app = giving((piece for piece in [b"ab", b"cde"]), ("Content-Length", promised))
    if promised == "9":
        with pytest.raises(LocalProtocolError, match=match):
            run(app)
        return
    _, conduit = run(app)

    assert conduit.written.endswith(b"\r\n\r\nabc")
    assert conduit.finished == (200, 3, True)
    assert match in capsys.readouterr().err


def test_a_failure_after_the_answer_is_told_where_the_application_writes_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The client has its answer."""

    class Pieces(list[bytes]):
        def close(self) -> None:
            raise ValueError("too late")

    answer, _ = run(giving(Pieces([b"ok"])))

    assert answer is not None
    assert "ValueError: too late" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("broken"), StopIteration("broken")])
def test_a_failure_before_the_answer_is_the_handlers(error: Exception) -> None:
    """The engine answers and logs it."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        raise error

    with pytest.raises((ValueError, RuntimeError), match="broken"):
        run(app)


def test_written_pieces_leave_before_the_iterable() -> None:
    """`write` sends."""

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        write = start("200 OK", [("Content-Length", "3")])
        write(b"a")
        write(b"b")
        return [b"c"]

    _, conduit = run(app)

    assert conduit.written.endswith(b"\r\n\r\nabc")


def test_a_call_that_took_too_long_is_told_that_nobody_waits() -> None:
    """Its coroutine is cancelled by the engine."""
    gone = threading.Event()

    def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        try:
            environ["wsgi.input"].read()
        except ConnectionResetError:
            gone.set()
        return []

    async def call() -> None:
        call = Call(app, POST)
        await call.conduit.wait_for(lambda: call.conduit.steps)
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.end()

        assert gone.is_set()

    asyncio.run(call())
