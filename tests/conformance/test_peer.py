"""A peer is not a friend: deadlines on whatever it controls, and bounds on whatever it sends.

Deadlines are a few tenths of a second here, and kept within a quarter of a second; the client's own
patience is what bounds a test that fails.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from rocket_sup.connection import READ_AHEAD
from rocket_sup.request import Request
from rocket_sup.router import Router
from tests.conformance.server import Client, Server, chunked, get, post, request

SHORT_S = 0.3
LATEST_S = 4.0  # the deadline, a sweep, and a very busy machine
pytestmark = pytest.mark.slow


def drip(client: Client, piece: bytes, *, until_s: float = LATEST_S, pause_s: float = 0.03) -> float:
    """Send pieces until the server has said something; return the seconds that took."""
    began = time.monotonic()
    client.socket.settimeout(pause_s)
    while time.monotonic() - began < until_s:
        try:
            client.socket.sendall(piece)
            if arrived := client.socket.recv(65536):
                client._received += arrived
            break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    client.socket.settimeout(10)
    return time.monotonic() - began


def test_silence_after_accept_is_closed(serve: Callable[..., Server]) -> None:
    """Without an answer: nothing was asked."""
    client = serve(timeouts={"first_byte": SHORT_S}).connect()
    began = time.monotonic()
    client.expect_end()

    assert SHORT_S <= time.monotonic() - began < LATEST_S


def test_a_silent_head_is_408(serve: Callable[..., Server]) -> None:
    """The head began, and never ended."""
    client = serve(timeouts={"head": SHORT_S}).connect()
    answer = client.send(b"GET / HTTP/1.1\r\nHost: a\r\n").read()

    assert (answer.status, answer.get("connection")) == (408, "close")
    client.expect_end()


@pytest.mark.parametrize("before", [b"", get()])
def test_a_dripping_head_is_408_in_time(serve: Callable[..., Server], before: bytes) -> None:
    """Each byte extends nothing; on a kept connection neither."""
    client = serve(timeouts={"head": SHORT_S}).connect()
    if before:
        client.send(before).read()
    client.send(b"GET / HTTP/1.1\r\nX: ")
    took = drip(client, b"a")

    assert took < LATEST_S
    assert client.read().status == 408


def test_content_that_does_not_come_is_408(serve: Callable[..., Server]) -> None:
    """The head announced more."""
    client = serve(timeouts={"body": SHORT_S}).connect()
    answer = client.send(post("/echo", b"abc")[:-1]).read()

    assert (answer.status, answer.get("connection")) == (408, "close")
    client.expect_end()


def test_408_to_head_has_no_content(serve: Callable[..., Server]) -> None:
    """Also when it is the content of HEAD that does not come."""
    client = serve(timeouts={"body": SHORT_S}).connect()
    answer = client.send(request("HEAD / HTTP/1.1", "Content-Length: 5")).read(to="HEAD")

    assert answer.status == 408
    client.expect_end()


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (request("POST /echo HTTP/1.1", "Content-Length: 100000"), b"a"),
        (chunked("/echo", b"ffff\r\n"), b"a"),
        (chunked("/echo", b""), b"1\r\na\r\n"),
        (chunked("/echo", b"1;"), b"a"),
        (chunked("/echo", b"0\r\nX: "), b"a"),
        (request("POST /nowhere HTTP/1.1", "Content-Length: 60000"), b"a"),
    ],
)
def test_dripping_content_is_cut_in_time(serve: Callable[..., Server], start: bytes, piece: bytes) -> None:
    """Progress counts only above the floor of the rate; extensions and trailers are no progress at all."""
    client = serve(timeouts={"body": SHORT_S}).connect()
    client.send(start)
    if b"/nowhere" in start:
        assert client.read().status == 404  # the answer was not held up; what follows is the connection's end
    took = drip(client, piece)

    assert took < LATEST_S
    if b"/nowhere" in start:
        client.expect_end()
    else:
        assert client.read().status == 408


def test_content_at_an_honest_rate_is_waited_for(serve: Callable[..., Server]) -> None:
    """Four times the deadline, at ten times the floor."""
    client = serve(timeouts={"body": SHORT_S, "body_min_rate": 512}).connect()
    client.send(request("POST /length HTTP/1.1", "Content-Length: 8000"))
    for _ in range(40):
        client.send(b"x" * 200)
        time.sleep(0.03)  # a slow client: the pause is what is tested

    assert client.read().body == b"8000"


def test_idle_connections_are_closed(serve: Callable[..., Server]) -> None:
    """Without an answer, and after having been kept."""
    client = serve(timeouts={"idle": SHORT_S}).connect()
    client.send(get()).read()
    began = time.monotonic()
    client.expect_end()

    assert SHORT_S - 0.01 <= time.monotonic() - began < LATEST_S


def test_zero_switches_deadlines_off(serve: Callable[..., Server]) -> None:
    """All of them at once."""
    never = dict.fromkeys(("first_byte", "head", "body", "idle", "write", "handler"), 0.0)
    server = serve(timeouts=never)
    client = server.connect()
    client.expect_silence(0.6)
    client.send(b"GET / HTTP/1.1\r\n")
    client.expect_silence(0.6)

    assert client.send(b"Host: a\r\n\r\n").read().status == 200


def flood(client: Client, data: bytes) -> int:
    """Send until the server takes no more for a moment; return how many bytes it took."""
    sent = 0
    client.socket.settimeout(0.3)
    try:
        while True:
            sent += client.socket.send(data)
    except (TimeoutError, ConnectionError):
        return sent


def test_a_client_that_does_not_read_is_not_read_and_then_cut(serve: Callable[..., Server]) -> None:
    """One answer at most is held for it, however much it asks."""
    server = serve(timeouts={"write": SHORT_S})
    client = server.connect()
    began = time.monotonic()
    flood(client, get("/big") * 100)
    server.wait_until(lambda: not server.wire.connection_count())

    assert time.monotonic() - began < LATEST_S + SHORT_S
    assert server.call(lambda: server.wire.statistics.requests) <= 2


def test_a_client_that_reads_a_little_is_cut_too(serve: Callable[..., Server]) -> None:
    """Holding on to eight megabytes by reading a byte now and then extends nothing for long."""
    server = serve(timeouts={"write": SHORT_S})
    client = server.connect().send(get("/big"))
    deadline = time.monotonic() + LATEST_S
    while server.call(lambda: server.wire.connection_count()):
        assert time.monotonic() < deadline
        client.socket.recv(1)
        time.sleep(0.03)  # a slow client: the pause is what is tested


def test_a_slow_but_steady_reader_gets_everything(serve: Callable[..., Server]) -> None:
    """Longer than the deadline takes no harm while the rate is honest; the connection goes on."""
    deadline_s = 3 * SHORT_S  # a busy machine may stop the client for longer than one
    client = serve(timeouts={"write": deadline_s}).connect()
    client.send(get("/big") + get("/", "Connection: close"))
    received = b""
    began = time.monotonic()
    while not received.endswith(b"\r\n\r\nok"):
        piece = client.socket.recv(200_000)
        assert piece
        received = received[-10:] + piece
        time.sleep(0.06)  # a slow client: the pause is what is tested

    assert time.monotonic() - began > 2 * deadline_s


def most_in_one_read(server: Server) -> int:
    """Bytes that may come at once beyond the mark: one read, or all buffers of a ring."""
    ring = server.config.engine_io_uring
    return ring.buffers * ring.buffer_size if server.engine.name == "io_uring" else 262_144


def test_many_answers_nobody_reads_do_not_grow_memory(serve: Callable[..., Server]) -> None:
    """Small answers to an endless pipeline: what is unsent stays below one batch."""
    server = serve(timeouts={"write": 5.0}, limits={"pipeline": 64})
    client = server.connect()
    flood(client, get("/see") * 1000)
    received, unsent = server.call(server.wire.held_bytes)

    assert unsent < 64 * 1024
    assert received <= READ_AHEAD + most_in_one_read(server)


def test_a_pipeline_behind_a_slow_handler_is_bounded(serve: Callable[..., Server]) -> None:
    """Reading stops when enough is held; it goes on when the handler is done."""
    app = Router()
    gate: list[asyncio.Event] = []

    @app.get("/wait")
    async def wait(req: Request) -> str:
        gate.append(asyncio.Event())
        await gate[0].wait()
        return "waited"

    @app.get("/")
    def root(req: Request) -> str:
        return "ok"

    server = serve(app)
    client = server.connect().send(get("/wait"))
    server.wait_until(lambda: gate)
    sent = flood(client, get("/") * 1000)
    held, _ = server.call(server.wire.held_bytes)
    server.call(lambda: gate[0].set())

    assert held <= READ_AHEAD + most_in_one_read(server)
    assert client.read().body == b"waited"
    for _ in range(sent // len(get("/"))):
        assert client.read().body == b"ok"


def test_a_pipeline_of_slow_handlers_is_bounded_all_the_time(serve: Callable[..., Server]) -> None:
    """Each request that is done once let in another read, however much was held already."""
    app = Router()
    held: list[int] = []

    @app.get("/")
    async def root(req: Request) -> str:
        await asyncio.sleep(0)
        held.append(server.wire.held_bytes()[0])
        return "ok"

    server = serve(app)
    client = server.connect()
    requests = get() * 20_000
    sender = threading.Thread(target=client.socket.sendall, args=(requests,))
    sender.start()
    for _ in range(20_000):
        assert client.read().body == b"ok"
    sender.join(10)

    assert max(held) <= READ_AHEAD + most_in_one_read(server)


@pytest.mark.parametrize("target", ["/never", "/stuck"])
def test_a_handler_beyond_its_deadline_is_503(serve: Callable[..., Server], target: str) -> None:
    """A coroutine is cancelled, a thread is left to itself; the client gets an answer."""
    server = serve(timeouts={"handler": SHORT_S})
    client = server.connect().send(get(target) + get())
    answer = client.read()

    assert (answer.status, answer.get("connection")) == (503, "close")
    client.expect_end()
    assert [event["event"] for event in server.events() if event["level"] == "warning"] == [
        "handler_too_slow"
    ]
    server.wait_until(lambda: server.wire.statistics.in_flight == 0)


def test_a_handler_whose_client_has_left_is_cancelled(serve: Callable[..., Server]) -> None:
    """Nobody would read its answer."""
    app = Router()
    fates: list[str] = []

    @app.get("/")
    async def root(req: Request) -> None:
        fates.append("started")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            fates.append("cancelled")
            raise

    server = serve(app)
    client = server.connect().send(get())
    server.wait_until(lambda: fates)
    client.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: closing resets, as a crash would
    client.close()
    server.wait_until(lambda: fates[-1] == "cancelled")

    assert server.call(lambda: server.wire.statistics.in_flight) == 0
    assert server.closed == 1


def test_draining_closes_idle_connections_and_ends_busy_ones(serve: Callable[..., Server]) -> None:
    """Nothing that was asked is lost; every answer says that it is the last."""
    app = Router()
    gate: list[asyncio.Event] = []

    @app.get("/wait")
    async def wait(req: Request) -> str:
        gate.append(asyncio.Event())
        await gate[0].wait()
        return "waited"

    @app.get("/")
    def root(req: Request) -> str:
        return "ok"

    server = serve(app)
    fresh, idle, busy, half = (server.connect() for _ in range(4))
    idle.send(get()).read()
    busy.send(get("/wait") + get())
    half.send(get()[:-3])
    server.wait_until(lambda: gate and server.wire.connection_count() == 4)
    server.call(server.wire.drain)

    idle.expect_end()
    answer = fresh.send(get()).read()
    assert (answer.body, answer.get("connection")) == (b"ok", "close")
    answer = half.send(get()[-3:]).read()
    assert (answer.body, answer.get("connection")) == (b"ok", "close")
    server.call(lambda: gate[0].set())
    assert (busy.read().body, busy.read().get("connection")) == (b"waited", "close")
    for client in (fresh, half, busy):
        client.expect_end()


def test_draining_does_not_wait_long_for_a_first_request(serve: Callable[..., Server]) -> None:
    """A connection that was opened in advance is given a second."""
    server = serve()
    client = server.connect()
    server.wait_until(server.wire.connection_count)
    server.call(server.wire.drain)
    client.expect_end()
    server.wait_until(lambda: not server.wire.connection_count())


def test_the_longest_idle_connection_is_closed_first(server: Server) -> None:
    """In the order in which they became idle, and never one that is not."""
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        client.send(get()).read()
    busy = server.connect().send(get("/never"))
    clients[0].send(get()).read()
    server.wait_until(lambda: server.wire.statistics.in_flight == 1)

    for client in (clients[1], clients[2], clients[0]):
        assert server.call(server.wire.longest_idle_since) is not None
        assert server.call(server.wire.close_longest_idle)
        client.expect_end()
    server.wait_until(lambda: server.wire.connection_count() == 1)
    assert server.call(server.wire.longest_idle_since) is None
    assert not server.call(server.wire.close_longest_idle)
    busy.expect_silence(0.05)


def test_ten_thousand_bytes_one_at_a_time_cost_no_quadratic_time(server: Server) -> None:
    """The end of a head is searched for once, not again for every byte."""
    client = server.connect()
    head = get("/", "X: " + "a" * 20_000)
    began = time.process_time()
    for byte in head[:-4]:
        client.socket.send(bytes([byte]))
    client.send(head[-4:])

    assert client.read().status == 200
    assert time.process_time() - began < 5.0  # client and server; quadratic costs a minute
