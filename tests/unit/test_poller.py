"""The loop of Supervisor and Listener: descriptors, signals and one deadline."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from rocket_sup.poller import Poller


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_a_readable_descriptor_is_called_back(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    """The callback of a descriptor with something to read is called, once a turn until it was read."""
    calls: list[str] = []
    poller.watch(pair[0].fileno(), lambda: calls.append("left"))
    pair[1].send(b"x")
    poller.run_once(time.monotonic() + 5)
    poller.run_once(time.monotonic() + 5)
    poller.unwatch(pair[0].fileno())

    assert ["left", "left"] == calls


def test_the_end_of_the_other_side_is_called_back(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    """End-of-file counts as readable: that is how the death of a process is heard."""
    calls: list[str] = []
    poller.watch(pair[0].fileno(), lambda: calls.append("left"))
    pair[1].close()
    poller.run_once(time.monotonic() + 5)
    poller.unwatch(pair[0].fileno())

    assert ["left"] == calls


def test_an_unwatched_descriptor_is_silent(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    """After unwatch nothing is called, though there is something to read."""
    calls: list[str] = []
    poller.watch(pair[0].fileno(), lambda: calls.append("left"))
    poller.unwatch(pair[0].fileno())
    pair[1].send(b"x")
    poller.run_once(time.monotonic())

    assert [] == calls


def test_a_callback_may_unwatch_another_of_the_same_turn(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    """Of two descriptors readable at once, the first callback can take the second one's turn away."""
    left, right = pair
    fds = {left.fileno(), right.fileno()}
    calls: list[int] = []

    def only_one(own: int) -> None:
        calls.append(own)
        for fd in fds:
            poller.unwatch(fd)

    for fd in fds:
        poller.watch(fd, lambda own=fd: only_one(own))
    left.send(b"x")
    right.send(b"x")
    poller.run_once(time.monotonic() + 5)

    assert 1 == len(calls)


def test_a_number_used_anew_does_not_get_the_former_ones_turn(poller: Poller) -> None:
    """A callback may close a descriptor of the same turn and open another that gets its number.

    Two acceptors that die together did this: the end of the second was read on the channel of its successor.
    """
    calls: list[str] = []
    first, first_writing = os.pipe()
    second, second_writing = os.pipe()
    opened: list[int] = []

    def replace(own: int, other: int) -> None:
        calls.append("former")
        poller.unwatch(own)
        poller.unwatch(other)
        opened.append(os.dup2(first_writing, other))
        poller.watch(other, lambda: calls.append("successor"))

    poller.watch(first, lambda: replace(first, second))
    poller.watch(second, lambda: replace(second, first))
    os.write(first_writing, b"x")
    os.write(second_writing, b"x")
    poller.run_once(time.monotonic() + 5)
    poller.unwatch(opened[0])
    for fd in (first, first_writing, second, second_writing):
        os.close(fd)

    assert ["former"] == calls


def test_the_deadline_ends_the_wait(poller: Poller) -> None:
    """With nothing to do, run_once returns at the deadline; one that has passed does not wait."""
    start = time.monotonic()
    poller.run_once(start + 0.02)
    poller.run_once(start - 1)

    assert 0.02 <= time.monotonic() - start < 1.0


def test_a_signal_is_handled_in_the_loop(poller: Poller) -> None:
    """The callback runs from run_once, never in the middle of other code."""
    calls: list[str] = []
    poller.on_signal(signal.SIGUSR1, lambda: calls.append("usr1"))
    os.kill(os.getpid(), signal.SIGUSR1)

    assert [] == calls
    poller.run_once(time.monotonic() + 5)
    assert ["usr1"] == calls


def test_several_signals_at_once_are_one_each(poller: Poller) -> None:
    """Ten of a kind are one call, different ones are a call each, in order of their numbers."""
    calls: list[str] = []
    poller.on_signal(signal.SIGTERM, lambda: calls.append("term"))
    poller.on_signal(signal.SIGHUP, lambda: calls.append("hup"))
    for _ in range(10):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    poller.run_once(time.monotonic() + 5)

    assert ["hup", "term"] == calls


def test_a_storm_of_signals_blocks_nobody(poller: Poller) -> None:
    """More signals than the pipe holds are dropped beyond the first: the handler is still called."""
    calls: list[str] = []
    poller.on_signal(signal.SIGUSR1, lambda: calls.append("usr1"))
    os.write(poller._wakeup, bytes([signal.SIGUSR1]) * 65536)
    for _ in range(100):
        os.kill(os.getpid(), signal.SIGUSR1)
    poller.run_once(time.monotonic() + 5)

    assert ["usr1"] == calls


def test_a_signal_for_nobody_only_wakes(poller: Poller) -> None:
    """A signal whose handler somebody else installed wakes the loop and calls nothing."""
    signal.signal(signal.SIGUSR2, lambda _signum, _frame: None)
    os.kill(os.getpid(), signal.SIGUSR2)
    start = time.monotonic()
    poller.run_once(start + 5)

    assert time.monotonic() - start < 4
