"""A WebSocket as its handler has it: messages in, messages out, and a goodbye that both sides say.

It stands on a `Conduit`, the same on every engine. What comes in is framed by a machine
(`http/wsframes.py`, or the native one); the handler is woken from the very read that brought its message, and
what it sends before it waits again leaves in one write. `wslink.py` has the inside. RFC 6455 §4 to §7.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any, Final

import orjson

from rocket_sup.conduit import Conduit
from rocket_sup.config_websocket import WebSocketConfig
from rocket_sup.errors import LocalProtocolError, WebSocketClosed
from rocket_sup.hooks import Client
from rocket_sup.http.headers import Headers, HeaderSource
from rocket_sup.http.multidict import MultiDict
from rocket_sup.http.wsframes import is_close_code
from rocket_sup.http.wshandshake import Handshake, choose_deflate, choose_subprotocol
from rocket_sup.request import Request
from rocket_sup.response import Response, answer_from
from rocket_sup.wslane import Lane, Message
from rocket_sup.wslink import SocketLink, SocketState

_OURS: Final = ("sec-websocket-", "upgrade", "connection")  # fields of the handshake that are not for others


class WebSocket(SocketLink):
    """One conversation; belongs to its handler and the tasks that this starts.

    Attributes:
        request: the one that asked for it.
        offered: what the client asked for.
        subprotocol: what was agreed; None for none, and before it was accepted.
    """

    __slots__ = ("_subprotocols", "offered", "request", "subprotocol")

    def __init__(
        self,
        request: Request,
        conduit: Conduit,
        offered: Handshake,
        *,
        config: WebSocketConfig,
        subprotocols: tuple[str, ...] = (),
    ) -> None:
        """Stand before the answer to a handshake that was found valid; in the task of the handler.

        Args:
            request: the handshake.
            conduit: lent for it.
            offered: what `read_handshake` made of the request.
            config: limits and deadlines.
            subprotocols: ours, the best first; for an `accept` that names none.
        """
        super().__init__(conduit, config)
        self.request = request
        self.offered = offered
        self.subprotocol: str | None = None
        self._subprotocols = subprotocols

    # -- what was asked for

    @property
    def path_params(self) -> dict[str, str]:
        """What the route's `:name` segments matched, decoded."""
        return self.request.path_params

    @property
    def headers(self) -> Headers:
        """The header fields of the handshake."""
        return self.request.headers

    @property
    def query_params(self) -> MultiDict[str]:
        """The parameters of the query string."""
        return self.request.query_params

    @property
    def client(self) -> Client:
        """The peer as its socket names it."""
        return self.request.client

    # -- the answer

    async def accept(self, subprotocol: str | None = None, headers: HeaderSource | None = None) -> None:
        """Answer the handshake; the first `receive` or `send` does this by itself.

        Args:
            subprotocol: one of those the client offers; by default the first of the route's that it does.
            headers: more fields of the answer.

        Raises:
            LocalProtocolError: it was accepted before, or the subprotocol was not offered, or a field cannot
                be sent.
            WebSocketClosed: it was refused, or the client has left.
        """
        self._accept(subprotocol, headers)

    def _accept(self, subprotocol: str | None = None, headers: HeaderSource | None = None) -> Lane:
        if self.is_refused:
            raise self.closed()
        if self._state is not SocketState.OFFERED:
            raise LocalProtocolError("the WebSocket was accepted before")
        offered = self.offered
        if subprotocol is None:
            subprotocol = choose_subprotocol(offered.subprotocols, self._subprotocols)
        elif subprotocol not in offered.subprotocols:
            raise LocalProtocolError(
                f"the client does not offer the subprotocol {subprotocol!r} (RFC 6455 §4.2.2)"
            )
        lines = [f"Sec-WebSocket-Accept: {offered.accept}\r\n".encode("ascii")]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}\r\n".encode("ascii"))
        agreed = choose_deflate(offered) if self._config.compression else None
        if agreed is not None:
            lines.append(f"Sec-WebSocket-Extensions: {agreed[1]}\r\n".encode("ascii"))
        lines.append(_more_fields(headers))
        self.subprotocol = subprotocol
        head = b"HTTP/1.1 101 Switching Protocols\r\n%bConnection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n"
        return self.begin(
            head % (self._conduit.date_line, b"".join(lines)), agreed[0] if agreed is not None else None
        )

    # -- messages

    def receive(self) -> Coroutine[Any, Any, Message]:
        """Wait for the next message; text is `str`.

        Raises:
            WebSocketClosed: there will be none.
        """
        lane = self._lane
        return self._receive_first() if lane is None else lane.receive()

    async def _receive_first(self) -> Message:
        return await self._accept().receive()

    def __aiter__(self) -> AsyncIterator[Message]:
        """Iterate over the messages; however it is closed, that ends it, and `close_code` tells."""
        if self._lane is None:
            try:
                return self._accept()
            except WebSocketClosed:
                return self
        return self._lane

    async def __anext__(self) -> Message:
        if self._lane is None and self._state is SocketState.CLOSED:
            raise StopAsyncIteration
        return await (self._lane or self._accept()).__anext__()

    def send(self, message: str | bytes | bytearray | memoryview) -> Coroutine[Any, Any, None]:
        """Send a message, text or binary; waits while the client does not take what was sent before.

        Raises:
            WebSocketClosed: it is closed, or about to be.
            UnicodeEncodeError: the text has a lone surrogate.
        """
        lane = self._lane
        return self._send_first(message) if lane is None else lane.send(message)

    async def _send_first(self, message: str | bytes | bytearray | memoryview) -> None:
        await self._accept().send(message)

    async def receive_text(self) -> str:
        """Wait for the next message, which has to be text; any other closes with 1003.

        Raises:
            WebSocketClosed: there will be none, or it was none.
        """
        message = await self.receive()
        if not isinstance(message, str):
            raise self._refuse("a text message is expected")
        return message

    async def receive_bytes(self) -> bytes:
        """Wait for the next message, which has to be binary; any other closes with 1003.

        Raises:
            WebSocketClosed: there will be none, or it was none.
        """
        message = await self.receive()
        if not isinstance(message, bytes):
            raise self._refuse("a binary message is expected")
        return message

    async def receive_json(self) -> Any:  # a JSON document has any type
        """Wait for the next message, text or binary, and parse it as JSON; any other closes with 1007.

        Raises:
            WebSocketClosed: there will be none, or it was none.
        """
        message = await self.receive()
        try:
            return orjson.loads(message)
        except orjson.JSONDecodeError:
            raise self._refuse("a JSON document is expected", code=1007) from None

    async def send_json(self, document: object) -> None:
        """Send a JSON document as a text message; see `send`."""
        await self.send(orjson.dumps(document).decode("utf-8"))

    # -- the end

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, and wait until the client has too, or for `close_timeout`. Before it was accepted this
        refuses it with 403. Once it is closed it does nothing.

        Args:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
            reason: up to 123 bytes of UTF-8; what is more is cut.

        Raises:
            LocalProtocolError: the code must not be sent.
        """
        if not is_close_code(code):
            raise LocalProtocolError(f"close code {code}; allowed: 1000 to 1003, 1007 to 1014, 3000 to 4999")
        if self._state is SocketState.OFFERED:
            self._state = SocketState.CLOSED
            self.close_code, self.close_reason = code, reason
            return
        self.begin_close(code, reason)
        await self.wait_closed()

    def _refuse(self, reason: str, *, code: int = 1003) -> WebSocketClosed:
        self.begin_close(code, reason)
        return self.closed()


def _more_fields(headers: HeaderSource | None) -> bytes:
    if headers is None:
        return b""
    fields = Headers(headers)
    for name in fields:
        if name.lower().startswith(_OURS):
            raise LocalProtocolError(f"the field {name!r} belongs to the handshake (RFC 6455 §4.2.2)")
    return answer_from(Response(None, 204, fields)).fields
