"""What an exchange is to Python code that takes it over: content as it comes, the answer as it is made.

Most requests have whole content and get a whole answer, and never come here. A route that streams, a
WebSocket, an answer whose content comes in pieces are *lent* their connection as a `Conduit`: the engine goes
on to frame what comes in, to hold back a client that is too fast, to notice one that is too slow, and to
close; what is said is up to the code that has the conduit. Each engine has its own (`lending.py`,
`crates/rocket-py/src/conduit.rs`); what is built on it is written once.

Callbacks come on the loop's thread, and may come from inside a call of the conduit.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from rocket_sup.errors import RemoteProtocolError
from rocket_sup.sessions import Sessions


class Receiver(Protocol):
    """Whoever has a conduit, and is told what happens to it."""

    def on_content(self, data: bytes) -> None:
        """Take content, decoded; after `Conduit.upgrade` whatever the client sends. Only while reading."""

    def on_content_end(self, trailers: bytes) -> None:
        """The content is whole.

        Args:
            trailers: field lines as received, each preceded by CRLF; b"" for none.
        """

    def on_content_error(self, error: RemoteProtocolError) -> None:
        """The content will never be whole: it is malformed, too large, too slow or cut short. The connection
        will be closed after the answer.
        """

    def on_room(self) -> None:
        """The socket has taken everything that was written."""

    def on_left(self) -> None:
        """The client has closed its side, after its whole request, or after the upgrade."""

    def on_gone(self, error: Exception | None) -> None:
        """The connection is gone; nothing comes any more, and nothing that is written goes anywhere.

        Args:
            error: why, if it was not by agreement.
        """


class Conduit(Protocol):
    """One exchange, or what it was upgraded to. Belongs to the loop's thread.

    Every method does nothing once the exchange is finished or its connection gone.
    """

    @property
    def keep_alive(self) -> bool:
        """The connection may go on after this answer, as of now: the client wants it and nobody drains."""

    @property
    def date_line(self) -> bytes:
        """The Date field with its CRLF, as of now."""

    @property
    def unsent(self) -> int:
        """Bytes written that the socket has not taken yet."""

    @property
    def is_begun(self) -> bool:
        """`begin` was called: nobody else answers any more."""

    @property
    def sessions(self) -> Sessions:
        """The long conversations of the wire."""

    @property
    def executor(self) -> ThreadPoolExecutor:
        """The threads of the wire, for what blocks."""

    def attach(self, receiver: Receiver) -> None:
        """Say who is told; before anything is read."""

    def resume_reading(self) -> None:
        """Have content delivered; nothing is before this. The first call sends `100 Continue` to a client who
        waits for it, unless the answer was begun.
        """

    def pause_reading(self) -> None:
        """Have no more content delivered; the client has to wait."""

    def begin(self) -> None:
        """Say that the answer's head comes next. Before this only interim answers (1xx) may be written, and
        the handler's deadline runs; after it a failure can only cut the connection.
        """

    def write(self, data: bytes) -> bool:
        """Send bytes behind what is unsent.

        Returns: False when it would be well to wait: `on_room` comes when all is sent.
        """

    def send_file(self, fd: int, offset: int, count: int) -> bool:
        """Send a part of a regular file behind what is unsent; nothing may be written until `on_room`.

        Args:
            fd: stays the caller's, and open until `on_room` or `on_gone`.
            offset: bytes.
            count: bytes, all of them there; a file that turns out shorter cuts the connection.

        Returns: as `write`.
        """

    def upgrade(self) -> None:
        """Make what follows no HTTP any more: bytes come as they are, and no deadline runs but that of a
        client who does not read.
        """

    def finish(self, status: int, content_bytes: int, *, keep_alive: bool = True) -> None:
        """Say that everything was written: the answer is counted and logged, and the connection goes on with
        the next request or is closed so that the client can read all of it. Content nobody has read is
        read and forgotten if it is little; else the connection is closed.

        Args:
            status: as sent.
            content_bytes: of the answer, without framing.
            keep_alive: False closes; `keep_alive` of the conduit has to be true as well, and the head has to
                have said the same.
        """

    def abort(self, error: Exception | None = None) -> None:
        """Cut the connection, so that what was sent cannot look whole."""
