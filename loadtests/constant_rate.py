"""An open-loop HTTP driver: requests start when the schedule says so, whatever the server does.

One thread, one epoll, the standard library only. `rate` requests a second each open a connection of their own
(`Connection: close`), and `kept` more connections carry `kept_rate` requests a second each. Locust is
closed-loop: a stalled server slows it down and the stall hides; here the requests keep coming and their
latency counts from the intended start. Each failure is classified by what the socket said and when
(`results.Outcome`). A kept connection that the server ends between two requests is opened again, as HTTP
clients do; one that ends after the request was written is a failure.

    python -m loadtests.constant_rate --port 8080 --rate 300 --kept 20 --seconds 30

Closing its standard input ends the run early; what is in flight is still waited for.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import gc
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from loadtests.results import Outcome, Record, Result

READABLE = select.EPOLLIN | select.EPOLLRDHUP
SPENT_LINGER_S = (
    2.0  # after the answer, how long the server may take to close a connection it was told to close
)
HEAD_LIMIT = 65536  # bytes; a head longer than this is no answer of a server under test


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send.

    Attributes:
        rate: requests a second, each on a new connection; 0 for none.
        kept: kept connections beside them.
        kept_rate: requests a second on each kept connection.
        seconds: length of the schedule.
        timeout_s: from the actual start of a request to its complete answer.
        expect: the status that counts as success.
        max_in_flight: bound on open new connections; requests over it are recorded as NOT_SENT.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    rate: float = 300.0
    kept: int = 0
    kept_rate: float = 1.0
    seconds: float = 10.0
    path: str = "/"
    timeout_s: float = 10.0
    expect: int = 200
    max_in_flight: int = 8000


class Timer:
    """A one-shot timer that epoll can wait for.

    `epoll_wait` counts in whole milliseconds, which would add up to one to every latency; a timerfd is exact.
    Python has it from 3.13 on, hence ctypes.
    """

    _SIZE = struct.Struct("@qqqq")

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, when: float) -> None:
        """Become readable at `when`, monotonic seconds; a time in the past means at once."""
        whole = int(when)
        value = self._SIZE.pack(0, 0, whole, max(1, int((when - whole) * 1e9)))
        if self._libc.timerfd_settime(self.fd, 1, value, None) < 0:  # 1: TFD_TIMER_ABSTIME
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        os.close(self.fd)


class Client:
    """One connection slot: a single request for a new connection, a queue of them for a kept one."""

    __slots__ = (
        "answered", "buffer", "connecting", "due", "intended", "kept", "length", "port", "served_by",
        "sock", "spent_at", "started", "status", "will_close",
    )  # fmt: skip

    def __init__(self, *, kept: bool) -> None:
        self.kept = kept
        self.due: deque[float] = deque()  # intended starts that wait for this kept connection
        self.sock: socket.socket | None = None
        self.intended = 0.0
        self.started = 0.0  # 0: no request in flight
        self.spent_at = 0.0  # when the last answer of a connection that the server is to close was complete
        self.clear()

    def clear(self) -> None:
        """Forget the connection, keep the schedule."""
        self.answered = 0
        self.served_by = 0
        self.port = 0
        self.connecting = False
        self.expect_answer()

    def expect_answer(self) -> None:
        """Make room for the next answer."""
        self.buffer = bytearray()
        self.length = -1  # bytes of the whole answer, head included; -1 unknown; -2 ends with the connection
        self.status = 0
        self.will_close = False


class Driver:
    """The loop: `run` sends the plan and returns what came of it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        found = socket.getaddrinfo(plan.host, plan.port, type=socket.SOCK_STREAM)[0]
        self._family: int = found[0]
        self._address: tuple[object, ...] = found[4]
        head = f"GET {plan.path} HTTP/1.1\r\nHost: {plan.host}:{plan.port}\r\n"
        self._request_once = f"{head}Connection: close\r\n\r\n".encode()
        self._request_kept = f"{head}\r\n".encode()
        self._epoll = select.epoll()
        self._timer = Timer()
        self._clients: dict[int, Client] = {}  # by descriptor
        self._in_flight: dict[
            Client, None
        ] = {}  # by start, oldest first: one timeout for all keeps it ordered
        self._spent: dict[Client, None] = {}  # answered, waiting for the server's close
        self._free: list[Client] = []  # kept clients whose request just ended; the loop starts their next one
        self._result = Result(asdict(plan), 0.0, 0.0)

    def run(self, *, stop_fd: int | None = None) -> Result:
        """Send the whole schedule, wait for every fate, return the records.

        Args:
            stop_fd: a descriptor whose readability ends the schedule early, or None.
        """
        plan = self._plan
        self._epoll.register(self._timer.fd, select.EPOLLIN)
        if stop_fd is not None:
            self._epoll.register(stop_fd, select.EPOLLIN)
        kept = [Client(kept=True) for _ in range(plan.kept)]
        begin = time.monotonic() + 0.05
        end = begin + plan.seconds
        self._result.began = begin
        next_new = begin if plan.rate > 0 else end
        next_kept, turn, sent_new, sent_kept = (begin if kept else end), 0, 0, 0
        kept_pace = plan.kept * plan.kept_rate
        while True:
            now = time.monotonic()
            while next_new < end and next_new <= now:
                self._start_new(next_new)
                sent_new += 1
                next_new = begin + sent_new / plan.rate
            while next_kept < end and next_kept <= now:
                kept[turn].due.append(next_kept)
                self._start_kept(kept[turn])
                turn = (turn + 1) % plan.kept
                sent_kept += 1
                next_kept = begin + sent_kept / kept_pace
            self._sweep(time.monotonic())
            free, self._free = self._free, []
            for client in free:
                self._start_kept(client)
            if min(next_new, next_kept) >= end and not self._in_flight:
                break
            # 0.1 s: the coarsest delay the sweep of timeouts may have
            self._timer.set(0.0 if self._free else min(next_new, next_kept, time.monotonic() + 0.1))
            for fd, event in self._epoll.poll():
                if fd == self._timer.fd:
                    os.read(fd, 8)
                elif fd == stop_fd:
                    self._epoll.unregister(fd)
                    end = min(end, time.monotonic())
                else:
                    self._on_event(fd, event)
        self._close_all()
        self._result.ended = time.monotonic()
        return self._result

    def _start_new(self, intended: float) -> None:
        client = Client(kept=False)
        client.intended, client.started = intended, time.monotonic()
        if len(self._in_flight) >= self._plan.max_in_flight:
            self._record(client, Outcome.NOT_SENT, "too many requests in flight")
            return
        self._in_flight[client] = None
        self._connect(client)

    def _start_kept(self, client: Client) -> None:
        """Begin the next request that is due, unless one is in flight."""
        if client.started or not client.due:
            return
        client.intended, client.started = client.due.popleft(), time.monotonic()
        self._in_flight[client] = None
        if client.sock is None:
            self._connect(client)
        else:
            self._send(client)

    def _connect(self, client: Client) -> None:
        sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        client.clear()
        client.sock, client.connecting = sock, True
        self._clients[sock.fileno()] = client
        self._epoll.register(sock.fileno(), READABLE | select.EPOLLOUT)
        code = sock.connect_ex(self._address)
        client.port = sock.getsockname()[1] if sock.family != socket.AF_UNIX else 0
        if code not in (0, errno.EINPROGRESS):
            self._fail(client, code)

    def _send(self, client: Client) -> None:
        assert client.sock is not None
        client.expect_answer()
        try:
            client.sock.send(
                self._request_kept if client.kept else self._request_once
            )  # fits any send buffer
        except OSError as error:
            self._fail(client, error.errno or 0)

    def _on_event(self, fd: int, event: int) -> None:
        client = self._clients.get(fd)
        if client is None or client.sock is None:
            return  # closed by an earlier event of this batch
        if client.connecting:
            code = client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._fail(client, code)
            elif event & select.EPOLLOUT:
                client.connecting = False
                self._epoll.modify(fd, READABLE)
                self._send(client)
            return
        try:
            received = client.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self._on_end(client, error.errno or 0)
            return
        if not received:
            self._on_end(client, 0)
        elif client.started:
            client.buffer += received
            self._on_answer(client)

    def _on_answer(self, client: Client) -> None:
        """Finish the request once its answer is complete."""
        if client.length == -1 and not self._read_head(client):
            return
        if 0 <= client.length <= len(client.buffer):
            self._complete(client)

    def _read_head(self, client: Client) -> bool:
        """Take status, framing and `X-Served-By` from a complete head; False while there is none."""
        size = client.buffer.find(b"\r\n\r\n")
        if size < 0:
            if len(client.buffer) > HEAD_LIMIT:
                self._finish(client, Outcome.BAD_ANSWER, "endless head")
            return False
        start, *lines = client.buffer[:size].decode("latin-1").split("\r\n")
        try:
            client.status = int(start.split(" ", 2)[1])
            headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
            client.length = size + 4 + int(headers["content-length"]) if "content-length" in headers else -2
            client.served_by = int(headers.get("x-served-by", "0"))
        except (IndexError, ValueError):
            self._finish(client, Outcome.BAD_ANSWER, start[:80])
            return False
        client.will_close = headers.get("connection", "").lower() == "close"
        if client.length == -2 and (not client.will_close or "transfer-encoding" in headers):
            self._finish(client, Outcome.BAD_ANSWER, "framing this driver does not read")
            return False
        return True

    def _complete(self, client: Client) -> None:
        client.answered += 1
        good = client.status == self._plan.expect
        self._record(client, Outcome.OK if good else Outcome.BAD_STATUS, "" if good else str(client.status))
        if client.kept:
            self._free.append(client)
        if client.kept and not client.will_close:
            return
        # The server was told to close, or said that it will: leave the first FIN to it, so that no port of
        # ours is spent on TIME_WAIT, but not for ever.
        if client.kept:
            self._close(client)
        else:
            client.spent_at = time.monotonic()
            self._spent[client] = None

    def _on_end(self, client: Client, code: int) -> None:
        """The connection ended: by RST or error (`code`), or in order (0)."""
        if not client.started:
            if client.kept:
                self._result.reconnects += 1
            self._close(client)
        elif client.length == -2 and not code:
            self._complete(client)
            self._close(client)
        elif code:
            self._fail(client, code)
        else:
            self._finish(client, Outcome.TRUNCATED if client.buffer else Outcome.CLOSED_BEFORE_BYTE, "")

    def _fail(self, client: Client, code: int) -> None:
        """Classify an error of the socket."""
        if code == errno.ECONNREFUSED:
            outcome = Outcome.REFUSED
        elif code == errno.ETIMEDOUT:
            outcome = Outcome.TIMEOUT
        elif code in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
            outcome = Outcome.RESET_MID_ANSWER if client.buffer else Outcome.RESET_BEFORE_BYTE
        else:
            outcome = Outcome.UNREACHABLE
        self._finish(client, outcome, os.strerror(code))

    def _finish(self, client: Client, outcome: Outcome, detail: str) -> None:
        """Record a failure, drop the connection, let a kept client go on with a new one."""
        self._record(client, outcome, detail)
        self._close(client)
        if client.kept:
            self._free.append(client)

    def _record(self, client: Client, outcome: Outcome, detail: str) -> None:
        reused = client.answered > (1 if client.length != -1 else 0)
        record = Record(
            client.intended, client.started, time.monotonic(), outcome, client.kept, reused,
            client.port, client.served_by, client.status, detail,
        )  # fmt: skip
        self._result.records.append(record)
        self._in_flight.pop(client, None)
        client.started = 0.0

    def _sweep(self, now: float) -> None:
        """Give up on requests past their timeout and on connections the server should have closed."""
        while self._in_flight:
            client = next(iter(self._in_flight))
            if now - client.started < self._plan.timeout_s:
                break
            self._finish(client, Outcome.TIMEOUT, "connecting" if client.connecting else "no complete answer")
        while self._spent:
            client = next(iter(self._spent))
            if now - client.spent_at < SPENT_LINGER_S:
                break
            self._close(client)

    def _close(self, client: Client) -> None:
        self._spent.pop(client, None)
        if client.sock is not None:
            del self._clients[client.sock.fileno()]
            client.sock.close()  # epoll forgets a closed descriptor by itself
            client.sock = None

    def _close_all(self) -> None:
        for client in list(self._clients.values()):
            self._close(client)
        self._timer.close()
        self._epoll.close()


def run(plan: Plan) -> Result:
    """Send `plan` from this process and thread; prefer `background.Background` beside other work."""
    return Driver(plan).run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit status 0 when every request succeeded, else 1."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.constant_rate", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument(
        "--output", help="write the JSON document here, every record included ('-': only that)"
    )
    parser.add_argument("--until-eof", action="store_true", help="end the schedule when standard input ends")
    options = vars(parser.parse_args(arguments))
    output, until_eof = options.pop("output"), options.pop("until_eof")
    driver = Driver(Plan(**options))
    gc.disable()  # a collection would be a pause in every latency of that moment; the records are no garbage
    result = driver.run(stop_fd=sys.stdin.fileno() if until_eof else None)
    if output == "-":
        json.dump(result.to_document(), sys.stdout)
    else:
        json.dump(result.summary(), sys.stdout, indent=2)
        if output:
            with open(output, "w", encoding="utf-8") as file:
                json.dump(result.to_document(), file)
    sys.stdout.write("\n")
    return 1 if result.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
