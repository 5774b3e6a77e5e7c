"""Clients that stay: WebSockets on which something is said all the time, and readers of long answers.

All run in one event loop in a thread of its own. A conversation that ends is begun again at once; how each
ended, when, and from which port is kept, so that the verdict can lay it beside the faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.faults.applications.talking import PIECE, PIECES

PATIENCE_S = 15.0  # longer than any detection and any drain


@dataclass(frozen=True, slots=True)
class Ended:
    """One end that the client did not ask for.

    Attributes:
        at: monotonic seconds.
        port: the client's.
        how: a close code, or what was raised.
    """

    at: float
    port: int
    how: str


class Talkers:
    """The clients.

    Attributes:
        said: messages that came back as they were sent.
        read: long answers that came whole.
        talks_ended, streams_cut: what ended unasked.
        refused: handshakes and connections that were not accepted.
    """

    def __init__(self, port: int, *, talks: int, streams: int) -> None:
        self.said = 0
        self.read = 0
        self.talks_ended: list[Ended] = []
        self.streams_cut: list[Ended] = []
        self.refused: list[Ended] = []
        self._port = port
        self._talks = talks
        self._streams = streams
        self._loop = asyncio.new_event_loop()
        self._is_over = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    def __enter__(self) -> Talkers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(30)
        self._loop.close()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._talks):
                group.create_task(self._keep_talking())
            for _ in range(self._streams):
                group.create_task(self._keep_reading())

    async def _keep_talking(self) -> None:
        while not self._is_over.is_set():
            port = 0
            try:
                async with connect(f"ws://127.0.0.1:{self._port}/talk", ping_interval=None) as socket:
                    port = socket.local_address[1]
                    await self._talk(socket)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd is not None else 1006
                self.talks_ended.append(Ended(time.monotonic(), port, str(code)))
            except (OSError, InvalidHandshake, TimeoutError, ValueError) as error:
                ended = Ended(time.monotonic(), port, f"{type(error).__name__}: {error}")
                (self.talks_ended if port else self.refused).append(ended)

    async def _talk(self, socket: object) -> None:
        number = 0
        while not self._is_over.is_set():
            await socket.send(str(number))
            async with asyncio.timeout(PATIENCE_S):
                echo = await socket.recv()
            if echo != str(number):
                raise ValueError(f"{number} was sent, {echo!r} came back")
            self.said += 1
            number += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), 0.05)

    async def _keep_reading(self) -> None:
        while not self._is_over.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                self.refused.append(Ended(time.monotonic(), 0, f"{type(error).__name__}: {error}"))
                continue
            port = writer.get_extra_info("sockname")[1]
            try:
                async with asyncio.timeout(PATIENCE_S):
                    writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                    answer = await reader.read(-1)
                if not answer.endswith(b"0\r\n\r\n") or answer.count(b"x" * len(PIECE)) != PIECES:
                    raise ValueError(f"{len(answer)} bytes, then the end")
                self.read += 1
            except (OSError, TimeoutError, ValueError) as error:
                how = f"{type(error).__name__}: {error}"
                self.streams_cut.append(Ended(time.monotonic(), port, how))
            finally:
                writer.close()
