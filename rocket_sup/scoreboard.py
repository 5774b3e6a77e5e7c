"""One shared mapping that is the connection counter, the health check, the statistics and the black box at
once.

The Supervisor creates it before it forks; every process of the tree inherits it. It is anonymous memory:
nothing is left on the machine when the tree is gone, however it went. It holds one header and one slot per
acceptor; a slot is written by its owner alone, and cleared by whoever reaps the owner. All cells are aligned
64-bit words, which the hardware reads and writes whole, so readers need no lock and a process killed at any
instruction leaves nothing locked.

`max_connections` is exact because of the order of three steps (`Slot.try_claim`): add to your own cell,
fence, then sum all cells; over the limit, take it back. Two processes that race for the last place may both
step back; they never both get it. `claims` holds places asked for, `connections` those in use; at every
instant connections <= claims. A native engine takes the same steps in the same cells
(`crates/rocket-core/src/scoreboard.rs`).

The layout is defined here and exported (`LAYOUT_VERSION`, the word indices, `SharedPlaces`); no other file
repeats a number of it.
"""

from __future__ import annotations

import enum
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LAYOUT_VERSION = 1
_MAGIC = 0x54454B434F52  # "ROCKET", little-endian
_WORD = 8
_HEADER_WORDS = 512
_SLOT_WORDS = 128  # 1 KiB: two cache lines of counters, a histogram, 512 bytes of black box

# Header words. Writer in brackets.
_MAX_CONNECTIONS = 2  # [Supervisor]
_WATERMARK = 3  # [Listener] slots ever used: readers look no further
_LISTENER_PID = 4  # [Listener]
_LISTENER_HEARTBEAT = 5  # [Listener] monotonic ns
_RETIRED = 64  # totals of cleared slots: one row per reaper, so that two reapers never write one cell
_RETIRED_ROW = 16

# Slot words. Writer: the owner, except where noted.
PID = 0  # [Listener, owner]
GENERATION = 1  # [Listener]
STATE = 2
NUMBER = 3  # [Listener] which sockets it serves
HEARTBEAT = 4  # monotonic ns, bumped by the event loop it vouches for
CLAIMS = 5
CONNECTIONS = 6
WAITING = 7  # 1 while it wants a place and there is none
STARTED = 8  # [Listener] monotonic ns
REQUESTS = 9
BYTES_RECEIVED = 10
BYTES_SENT = 11
STATUSES = 12  # six words: other, 1xx … 5xx
IN_FLIGHT = 18
LONGEST_IDLE = 19  # monotonic ns since when its longest-idle kept connection is idle; 0: none
RSS_BYTES = 20
PEAK = 21  # the highest total of connections this owner has seen
LAG_NS = 22  # by how much the last heartbeat was late
EVICT = 23  # [a waiting acceptor] the owner's longest-idle connection is to make room; the owner clears it
LATENCY = 24  # 32 words: requests that took [2^i, 2^(i+1)) microseconds
WEBSOCKETS = 56  # conversations under way; their connections count, their requests are not in flight
THREADS = 57  # size of the pool, threads that run a handler, calls that wait for one: three words
_BOX = 64  # 64 words: the request in flight, as bytes, padded with zeros
BOX_BYTES = 512
_READINGS = 16  # of a few cells in a microsecond: two that differ are rare, sixteen in a row do not happen
_BOX_LAYOUT = struct.Struct(f"{BOX_BYTES}s")
LATENCY_BUCKETS = 32

_SUMMED = (REQUESTS, BYTES_RECEIVED, BYTES_SENT, *range(STATUSES, STATUSES + 6))


class SlotState(enum.IntEnum):
    """What the owner of a slot is doing."""

    FREE = 0
    BOOTING = 1
    READY = 2
    DRAINING = 3


class Reaper(enum.IntEnum):
    """Who may clear a slot; each has its own row of retired totals."""

    SUPERVISOR = 0
    LISTENER = 1


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over all acceptors that live or ever lived in this tree."""

    requests: int
    bytes_received: int
    bytes_sent: int
    statuses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SharedPlaces:
    """One slot's places for native code: memory, and where in it what stands, in words of 64 bits.

    Attributes:
        memory: the whole mapping.
        max_connections, watermark: words of the header.
        slots: the first word of the first slot.
        slot_words: from one slot to the next.
        claims, connections, waiting, peak: words of a slot.
        own: the number of the slot.
        doorbells: eventfds by slot.
    """

    memory: memoryview
    max_connections: int
    watermark: int
    slots: int
    slot_words: int
    claims: int
    connections: int
    waiting: int
    peak: int
    own: int
    doorbells: Sequence[int]


_fence_lock = threading.Lock()
_fence_lock.acquire()


def fence() -> None:
    """Order all earlier stores of this thread before all its later loads.

    Releasing and taking an uncontended lock are two atomic read-modify-writes, a release and then an acquire
    on one address: a full barrier on x86-64 (locked instructions) and on ARMv8 (release and acquire are
    sequentially consistent with each other). Python offers no barrier of its own.
    """
    _fence_lock.release()
    _fence_lock.acquire()


class Scoreboard:
    """The mapping, seen as a whole.

    Args:
        slots: how many acceptors can exist at once, all generations together.
    """

    def __init__(self, slots: int, *, max_connections: int) -> None:
        self.capacity = slots
        self._memory = mmap.mmap(-1, (_HEADER_WORDS + slots * _SLOT_WORDS) * _WORD)
        self._words = memoryview(self._memory).cast("Q")
        self._bytes = memoryview(self._memory)
        self._words[0] = _MAGIC
        self._words[1] = LAYOUT_VERSION
        self._words[_MAX_CONNECTIONS] = max_connections
        # One doorbell per slot wakes its owner: "a place is free" or "somebody waits". Inherited by every
        # acceptor.
        self.doorbells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(slots)]

    @property
    def max_connections(self) -> int:
        """The limit over all acceptors; may be changed at any time by the Supervisor."""
        return self._words[_MAX_CONNECTIONS]

    @max_connections.setter
    def max_connections(self, limit: int) -> None:
        self._words[_MAX_CONNECTIONS] = limit

    @property
    def listener_heartbeat_ns(self) -> int:
        """When the Listener's loop last turned, monotonic; 0 before its first turn."""
        return self._words[_LISTENER_HEARTBEAT]

    def beat_listener(self, *, pid: int) -> None:
        """Note that the Listener's loop turns. Only the Listener calls this."""
        self._words[_LISTENER_PID] = pid
        self._words[_LISTENER_HEARTBEAT] = time.monotonic_ns()

    def forget_listener(self) -> None:
        """Clear the Listener's heartbeat before a new one starts. Only the Supervisor calls this."""
        self._words[_LISTENER_HEARTBEAT] = 0

    def slot(self, index: int) -> Slot:
        """Give a view of one slot.

        Raises:
            IndexError: there is no such slot.
        """
        if not 0 <= index < self.capacity:
            raise IndexError(f"slot {index} of {self.capacity}")
        return Slot(self, self._words, self._bytes, index)

    def used_slots(self) -> Iterator[Slot]:
        """Give the slots that belong to a process, or to one about to start."""
        for index in range(self._words[_WATERMARK]):
            slot = self.slot(index)
            if slot.state is not SlotState.FREE:
                yield slot

    def allocate(self, *, number: int, generation: int) -> Slot | None:
        """Take the lowest free slot for an acceptor about to start; None when all are taken. Only the
        Listener calls this."""
        for index in range(self.capacity):
            slot = self.slot(index)
            if slot.state is SlotState.FREE:
                slot.open(number=number, generation=generation)
                self._words[_WATERMARK] = max(self._words[_WATERMARK], index + 1)
                return slot
        return None

    def find(self, pid: int) -> Slot | None:
        """Find the slot that a process owns."""
        return next((slot for slot in self.used_slots() if slot.pid == pid), None)

    def claimed(self) -> int:
        """Sum the places asked for."""
        return self._sum(CLAIMS)

    def connections(self) -> int:
        """Sum the connections in use; never above `max_connections` unless that was lowered.

        The cells are read one after the other, and a place that moves meanwhile from a later one to an
        earlier would be missed, the other way round counted twice. So they are read until two readings agree.
        """
        cells = slice(_HEADER_WORDS + CONNECTIONS, self._end(), _SLOT_WORDS)
        before = self._words[cells].tolist()
        for _ in range(_READINGS):
            after = self._words[cells].tolist()
            if after == before:
                break
            before = after
        return sum(before)

    def waiting(self) -> list[int]:
        """List the slots whose owners want a place."""
        words, start, end = self._words, _HEADER_WORDS + WAITING, self._end()
        return [i for i, flag in enumerate(words[start:end:_SLOT_WORDS]) if flag]

    def ring(self, index: int) -> None:
        """Wake the owner of a slot."""
        try:
            os.eventfd_write(self.doorbells[index], 1)
        except BlockingIOError:
            pass  # the counter is full: it is ringing already

    def peak(self) -> int:
        """The most connections ever seen at once by a living acceptor."""
        words = self._words[_HEADER_WORDS + PEAK : self._end() : _SLOT_WORDS]
        return max(words, default=0)

    def totals(self) -> Totals:
        """Sum the counters over living and retired acceptors; never goes back."""
        sums = [0] * len(_SUMMED)
        for slot in self.used_slots():
            for i, word in enumerate(_SUMMED):
                sums[i] += slot.read(word)
        for reaper in Reaper:
            row = _RETIRED + reaper * _RETIRED_ROW
            for i in range(len(_SUMMED)):
                sums[i] += self._words[row + i]
        return Totals(sums[0], sums[1], sums[2], tuple(sums[3:]))

    def retire(self, slot: Slot, *, reaper: Reaper) -> None:
        """Clear the slot of a process that was reaped: its connections are gone, its totals are kept."""
        row = _RETIRED + reaper * _RETIRED_ROW
        for i, word in enumerate(_SUMMED):
            self._words[row + i] += slot.read(word)
        slot.clear()
        for index in self.waiting():
            self.ring(index)

    def _end(self) -> int:
        return _HEADER_WORDS + self._words[_WATERMARK] * _SLOT_WORDS

    def _sum(self, word: int) -> int:
        return sum(self._words[_HEADER_WORDS + word : self._end() : _SLOT_WORDS])


class Slot:
    """One acceptor's row. Its owner writes, everyone reads."""

    __slots__ = ("_base", "_board", "_bytes", "_words", "index")

    def __init__(self, board: Scoreboard, words: memoryview, view: memoryview, index: int) -> None:
        self._board = board
        self._words = words
        self._bytes = view
        self.index = index
        self._base = _HEADER_WORDS + index * _SLOT_WORDS

    def read(self, word: int) -> int:
        """Read one cell, by its index in the layout."""
        return int(self._words[self._base + word])

    def write(self, word: int, value: int) -> None:
        """Write one cell, by its index in the layout."""
        self._words[self._base + word] = value

    @property
    def pid(self) -> int:
        """The owner's process; 0 while it is not forked yet."""
        return self.read(PID)

    @property
    def state(self) -> SlotState:
        """What the owner is doing, by its own account."""
        return SlotState(self.read(STATE))

    @state.setter
    def state(self, state: SlotState) -> None:
        self.write(STATE, state)

    def read_number(self) -> int:
        """Which sockets the owner serves, from 1."""
        return self.read(NUMBER)

    def open(self, *, number: int, generation: int) -> None:
        """Prepare the slot for a process about to be forked."""
        self.clear()
        now = time.monotonic_ns()
        self.write(NUMBER, number)
        self.write(GENERATION, generation)
        self.write(STARTED, now)
        self.write(HEARTBEAT, now)
        self.state = SlotState.BOOTING

    def clear(self) -> None:
        """Zero every cell, the state last, so that no half-cleared slot looks free."""
        words, base = self._words, self._base
        for word in range(_SLOT_WORDS):
            if word != STATE:
                words[base + word] = 0
        words[base + STATE] = SlotState.FREE

    def beat(self, now_ns: int) -> None:
        """Note that the owner's loop turns."""
        self._words[self._base + HEARTBEAT] = now_ns

    def age_s(self) -> float:
        """Seconds since the slot was taken."""
        return (time.monotonic_ns() - self.read(STARTED)) / 1e9

    def heartbeat_age_s(self, now_ns: int) -> float:
        """Seconds since the owner's loop last turned."""
        return max(0, now_ns - self.read(HEARTBEAT)) / 1e9

    def try_claim(self) -> bool:
        """Ask for one place under `max_connections`; True when it is ours. Only the owner calls this."""
        words, cell = self._words, self._base + CLAIMS
        words[cell] += 1
        fence()
        if self._board.claimed() <= words[_MAX_CONNECTIONS]:
            return True
        words[cell] -= 1
        return False

    def unclaim(self) -> None:
        """Give back a place that was claimed and not used."""
        self._words[self._base + CLAIMS] -= 1

    def occupy(self) -> None:
        """Use a claimed place for a connection."""
        words, base = self._words, self._base
        words[base + CONNECTIONS] += 1
        if self._board.claimed() > words[base + PEAK]:
            words[base + PEAK] = max(words[base + PEAK], self._board.connections())

    def vacate(self) -> None:
        """Give back the place of a connection that ended, and wake those who wait for one."""
        words, base = self._words, self._base
        words[base + CONNECTIONS] -= 1
        words[base + CLAIMS] -= 1
        fence()
        for index in self._board.waiting():
            if index != self.index:
                self._board.ring(index)

    def share(self) -> SharedPlaces:
        """Let native code of this process, on this thread, claim and give back places of this slot too."""
        return SharedPlaces(
            memory=self._bytes,
            max_connections=_MAX_CONNECTIONS,
            watermark=_WATERMARK,
            slots=_HEADER_WORDS,
            slot_words=_SLOT_WORDS,
            claims=CLAIMS,
            connections=CONNECTIONS,
            waiting=WAITING,
            peak=PEAK,
            own=self.index,
            doorbells=self._board.doorbells,
        )

    def write_many(self, first: int, values: Sequence[int]) -> None:
        """Write neighbouring cells, for example the latency histogram."""
        base = self._base + first
        for i, value in enumerate(values):
            self._words[base + i] = value

    def read_many(self, first: int, count: int) -> list[int]:
        """Read neighbouring cells."""
        base = self._base + first
        return self._words[base : base + count].tolist()

    def record_in_flight(self, request: bytes) -> None:
        """Leave the request about to be handled where it outlives the process; cut to `BOX_BYTES`."""
        _BOX_LAYOUT.pack_into(self.flight_box(), 0, request)

    def flight_box(self) -> memoryview:
        """Give the memory of `record_in_flight`, for who has to write it before every request."""
        start = (self._base + _BOX) * _WORD
        return self._bytes[start : start + BOX_BYTES]

    def in_flight_request(self) -> bytes:
        """Read the last request that was about to be handled; empty when there was none."""
        (box,) = _BOX_LAYOUT.unpack_from(self._bytes, (self._base + _BOX) * _WORD)
        return bytes(box).rstrip(b"\0")
