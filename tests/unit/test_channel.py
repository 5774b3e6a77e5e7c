"""Messages between two processes: bounds, order, descriptors, and what a slow or dead other side means."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from rocket_sup.channel import MAX_MESSAGE_BYTES, Channel, ChannelClosedError


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Both ends of a channel."""
    left, right = Channel.pair()
    yield left, right
    left.close()
    right.close()


def fill(channel: Channel) -> int:
    """Send until the kernel takes no more and one message waits; return how many were sent."""
    sent = 0
    while channel.flush():
        channel.send("number", value=sent, padding="x" * 10_000)
        sent += 1
    return sent


def test_messages_keep_bounds_and_order(ends: tuple[Channel, Channel]) -> None:
    """Three messages sent at once are three messages received, in both directions."""
    left, right = ends
    values = (1, [], {"deep": None})
    for value in values:
        left.send("test", value=value)
        right.send("back", value=value)

    expected = [1, [], {"deep": None}]
    assert [({"type": "test", "value": value}, []) for value in expected] == [
        right.receive() for _ in expected
    ]
    assert [({"type": "back", "value": value}, []) for value in expected] == [
        left.receive() for _ in expected
    ]


def test_nothing_yet_is_none(ends: tuple[Channel, Channel]) -> None:
    """An empty channel answers at once."""
    left, right = ends

    assert left.receive() is None
    left.send("one")
    assert right.receive() is not None
    assert right.receive() is None


def test_descriptors_arrive_as_duplicates(ends: tuple[Channel, Channel]) -> None:
    """A descriptor sent along works for the receiver, is closed at exec, and leaves the sender's open."""
    left, right = ends
    reading, writing = os.pipe()
    left.send("pipe", fds=[writing, reading])
    os.close(writing)
    received = right.receive()
    assert received is not None
    message, (their_writing, their_reading) = received
    os.write(their_writing, b"hello")

    assert {"type": "pipe"} == message
    assert b"hello" == os.read(reading, 10)
    assert fcntl.fcntl(their_writing, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    for fd in (reading, their_writing, their_reading):
        os.close(fd)


def test_many_descriptors_in_one_message(ends: tuple[Channel, Channel]) -> None:
    """As many descriptors as the kernel allows in one message arrive whole, in order."""
    left, right = ends
    fd = os.open("/dev/null", os.O_RDONLY)
    left.send("many", fds=[fd] * 253)
    received = right.receive()
    assert received is not None
    fds = received[1]
    os.close(fd)
    for each in fds:
        os.close(each)

    assert 253 == len(set(fds))


def test_the_largest_message_passes(ends: tuple[Channel, Channel]) -> None:
    """A message of exactly the limit arrives whole; one byte more is refused and nothing is sent."""
    left, right = ends
    overhead = len(b'{"type":"big","text":""}')
    text = "x" * (MAX_MESSAGE_BYTES - overhead)
    left.send("big", text=text)

    with pytest.raises(ValueError, match=f"message 'big' of {MAX_MESSAGE_BYTES + 1} bytes"):
        left.send("big", text=text + "x")
    assert ({"type": "big", "text": text}, []) == right.receive()
    assert right.receive() is None


def test_a_slow_reader_loses_nothing(ends: tuple[Channel, Channel]) -> None:
    """What the kernel does not take is queued without blocking, and follows in order once there is room."""
    left, right = ends
    sent = fill(left)
    for value in range(sent, sent + 5):
        left.send("number", value=value)
    numbers = []
    while len(numbers) < sent + 5:
        received = right.receive()
        if received is None:
            left.flush()
        else:
            numbers.append(received[0]["value"])

    assert list(range(sent + 5)) == numbers
    assert left.flush()


def test_descriptors_wait_with_their_message(ends: tuple[Channel, Channel]) -> None:
    """A descriptor whose message had to wait arrives with that message and no other."""
    left, right = ends
    sent = fill(left)
    fd = os.open("/dev/null", os.O_RDONLY)
    left.send("with", fds=[fd])
    for _ in range(sent - 1):
        received = right.receive()
        assert received is not None
        assert [] == received[1]
    left.flush()
    os.close(fd)
    rest = [received for _ in range(2) if (received := right.receive()) is not None]

    assert [("number", 0), ("with", 1)] == [(message["type"], len(fds)) for message, fds in rest]
    os.close(rest[1][1][0])


def test_a_reader_that_stopped_is_given_up(ends: tuple[Channel, Channel]) -> None:
    """The queue is bounded: past 256 waiting messages the other side counts as gone."""
    left, _ = ends
    fill(left)  # one waits
    for _ in range(255):
        left.send("more")

    with pytest.raises(ChannelClosedError, match="stopped reading"):
        left.send("too much")


def test_the_end_of_the_other_side(ends: tuple[Channel, Channel]) -> None:
    """Its last words are still received, then its end; sending to it is refused."""
    left, right = ends
    left.send("last words")
    left.close()

    assert ({"type": "last words"}, []) == right.receive()
    with pytest.raises(ChannelClosedError):
        right.receive()
    with pytest.raises(ChannelClosedError):
        right.send("anybody there")


def test_what_waited_for_a_reader_that_died(ends: tuple[Channel, Channel]) -> None:
    """Flushing to the dead is refused like sending to them."""
    left, right = ends
    fill(left)
    right.close()

    with pytest.raises(ChannelClosedError):
        left.flush()


def test_the_death_of_a_process_is_the_end(ends: tuple[Channel, Channel]) -> None:
    """When the process that holds the only other end is gone, end-of-file is read."""
    left, right = ends
    pid = os.fork()
    if pid == 0:
        left.close()
        right.send("alive")
        os._exit(0)
    right.close()
    os.waitpid(pid, 0)

    assert ({"type": "alive"}, []) == left.receive()
    with pytest.raises(ChannelClosedError, match="end of file"):
        left.receive()


def test_the_descriptor_to_wait_on(ends: tuple[Channel, Channel]) -> None:
    """fileno is that of an open socket, for the loop to watch."""
    left, right = ends

    assert left.fileno() != right.fileno()
    assert os.fstat(left.fileno())


def test_a_descriptor_may_be_closed_while_its_message_waits(ends: tuple[Channel, Channel]) -> None:
    """A message that is queued keeps duplicates: its sender need not keep what it hands over."""
    left, right = ends
    sent = fill(left)
    reading, writing = os.pipe()
    left.send("late", fds=[reading])
    os.close(reading)
    for _ in range(sent - 1):
        assert right.receive() is not None
    left.flush()
    received = [right.receive(), right.receive()][1]
    assert received is not None
    os.write(writing, b"x")

    assert b"x" == os.read(received[1][0], 1)
    os.close(writing)
    os.close(received[1][0])
