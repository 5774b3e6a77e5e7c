"""RFC 6455 §5 and RFC 7692: frames, faults and limits, on a real connection."""

from __future__ import annotations

import asyncio
import threading
import zlib
from collections.abc import Callable

import pytest

from rocket_sup.http.wsframes import BINARY, FAILED, PING, TEXT, Event
from rocket_sup.websocket import WebSocket
from tests.conformance.server import Server
from tests.conformance.wsclient import Socket, Stage, sleep
from tests.engine.frames import CASES, Case, compressed, frame

Serve = Callable[..., Server]


def is_fault(event: Event) -> bool:
    """It is what a Close with a code has to be sent for."""
    return isinstance(event, tuple) and event[0] == FAILED


def test_5_6_messages_come_back_as_they_were(serve: Serve) -> None:
    """Text and binary, of every size of length."""
    socket = Socket(serve(Stage().router).connect())
    for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
        assert (0x81, b"x" * size) == socket.send(TEXT, b"x" * size).read()
        assert (0x82, b"\xff" * size) == socket.send(BINARY, b"\xff" * size).read()


def test_5_4_fragments_with_a_ping_between(serve: Serve) -> None:
    """The ping is answered at once, the message when it is whole."""
    socket = Socket(serve(Stage().router).connect())
    socket.client.send(frame(TEXT, b"Hel", last=False) + frame(PING, b"?"))
    assert (0x8A, b"?") == socket.read()
    socket.client.send(frame(0, b"lo"))
    assert (0x81, b"Hello") == socket.read()


def test_5_2_frames_that_drip(serve: Serve) -> None:
    """Byte by byte."""
    socket = Socket(serve(Stage().router).connect())
    for byte in frame(TEXT, "κόσμε".encode()) + frame(BINARY, bytes(200)):
        socket.client.send(bytes((byte,)))

    assert (0x81, "κόσμε".encode()) == socket.read()
    assert (0x82, bytes(200)) == socket.read()


def test_many_messages_in_one_read(serve: Serve) -> None:
    """Answered in order, whatever the queue's bound."""
    socket = Socket(serve(Stage(queue=2).router).connect())
    numbers = [str(number).encode() for number in range(500)]
    socket.client.send(b"".join(frame(TEXT, number) for number in numbers))

    assert numbers == [socket.read()[1] for _ in numbers]


_PLAIN_FAULTS = [case for case in CASES if case.deflate is None and is_fault(case.events[-1])]


@pytest.mark.parametrize("case", _PLAIN_FAULTS, ids=[case.name for case in _PLAIN_FAULTS])
def test_7_1_7_faults(serve: Serve, case: Case) -> None:
    """What came before is answered; the code is sent; then TCP is closed, whatever else is sent."""
    stage = Stage(max_message=1000)
    socket = Socket(serve(stage.router).connect())
    socket.client.send(case.received + frame(TEXT, b"ignored"))
    *before, (_, payload) = case.events
    for message in before:
        assert isinstance(message, str)
        assert (0x81, message.encode()) == socket.read()

    assert int.from_bytes(payload[:2], "big") == socket.read_close()[0]


def test_1009_comes_before_the_frame(serve: Serve) -> None:
    """Nothing of a frame that is too large is waited for."""
    socket = Socket(serve(Stage().router).connect())
    socket.client.send(b"\x82\xff" + (1 << 40).to_bytes(8, "big"))

    assert 1009 == socket.read_close()[0]


def test_5_5_2_pings_are_answered_in_order(serve: Serve) -> None:
    """Each with its payload, however many come at once."""
    socket = Socket(serve(Stage(sleep).router).connect())
    socket.client.send(b"".join(frame(PING, bytes((number,))) for number in range(50)))

    assert [(0x8A, bytes((number,))) for number in range(50)] == [socket.read() for _ in range(50)]


def test_pings_of_a_client_who_does_not_read_do_not_grow(serve: Serve) -> None:
    """It is not read either, and is cut after a while; memory stays flat."""
    stage = Stage(sleep)
    server = serve(stage.router, timeouts={"write": 0.3})
    socket = Socket(server.connect())
    flood = frame(PING, bytes(125)) * 500
    held = [0]

    def pour() -> None:
        while True:
            socket.client.send(flood)
            held.extend(server.call(server.wire.held_bytes))

    with pytest.raises(OSError):  # noqa: PT011 - reset or broken pipe
        pour()
    server.wait_until(lambda: server.closed)

    assert max(held) < 1 << 20


def test_a_client_that_is_too_fast_is_held_back(serve: Serve) -> None:
    """What a handler does not take stays in the client's socket."""
    go = asyncio.Event()
    taken: list[int] = []

    async def slow(socket: WebSocket) -> None:
        await socket.accept()
        await go.wait()
        async for message in socket:
            taken.append(len(message))

    stage = Stage(slow, queue=4)
    server = serve(stage.router)
    socket = Socket(server.connect())
    sending = threading.Thread(target=socket.client.send, args=(frame(BINARY, bytes(50_000)) * 400,))
    sending.start()
    server.wait_until(lambda: stage.sockets[0]._lane.is_paused)
    assert sending.is_alive()
    assert [] == taken

    server.call(go.set)
    server.wait_until(lambda: len(taken) == 400)
    sending.join()
    assert {50_000} == set(taken)


def test_a_client_that_does_not_read_holds_back_the_sender(serve: Serve) -> None:
    """`send` waits; nothing is lost once it reads."""
    sent: list[int] = []

    async def pour(socket: WebSocket) -> None:
        for number in range(400):
            await socket.send(bytes(50_000))
            sent.append(number)

    stage = Stage(pour)
    server = serve(stage.router)
    socket = Socket(server.connect())
    server.wait_until(lambda: sent and stage.sockets[0]._lane.is_full)
    assert len(sent) < 400

    for _ in range(400):
        assert (0x82, bytes(50_000)) == socket.read()
    assert (0x88, b"\x03\xe8") == socket.read()


# -- RFC 7692


def test_7692_messages_are_compressed_both_ways(serve: Serve) -> None:
    """With a window that is kept."""
    socket = Socket(serve(Stage().router).connect(), "Sec-WebSocket-Extensions: permessage-deflate")
    assert "permessage-deflate; server_max_window_bits=12" == socket.answer.get("sec-websocket-extensions")
    inflater = zlib.decompressobj(-12)
    message = b"many words " * 100
    sizes = []
    for _ in range(3):
        socket.client.send(frame(TEXT, message))
        first, payload = socket.read()
        sizes.append(len(payload))

        assert 0xC1 == first
        assert message == inflater.decompress(payload + b"\x00\x00\xff\xff")
    assert sizes[1] < sizes[0]
    socket.client.send(compressed(b"short"))
    assert (0x81, b"short") == socket.read()


def test_7692_a_bomb_is_1009(serve: Serve) -> None:
    """The limit is that of the inflated message."""
    socket = Socket(
        serve(Stage(max_message=1000).router).connect(), "Sec-WebSocket-Extensions: permessage-deflate"
    )
    socket.client.send(compressed(bytes(100_000)))

    assert 1009 == socket.read_close()[0]


def test_7692_many_bombs_within_the_limit_do_not_grow(serve: Serve) -> None:
    """What inflates far is inflated as fast as it is taken."""
    taken: list[int] = []

    async def count(socket: WebSocket) -> None:
        async for message in socket:
            taken.append(len(message))
            await asyncio.sleep(0)

    server = serve(Stage(count, queue=1).router)
    socket = Socket(
        server.connect(), "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover"
    )
    socket.client.send(compressed(bytes(1 << 20), BINARY) * 64)
    server.wait_until(lambda: len(taken) == 64)

    assert {1 << 20} == set(taken)


def test_7692_without_the_offer_there_is_no_compression(serve: Serve) -> None:
    """Nor where it is switched off."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    plain = Socket(serve(Stage().router).connect())
    off = Socket(serve(Stage(compression=False).router).connect(), offer)
    for socket in (plain, off):
        assert socket.answer.get("sec-websocket-extensions") is None
        assert (0x81, b"x" * 1000) == socket.send(TEXT, b"x" * 1000).read()
