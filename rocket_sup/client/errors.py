"""Every error of the client, in one tree: what went wrong, in which phase, and whether the server can know.

`ClientError` is the root. Below it, `ExchangeError` means that no whole answer was had; its kinds say in
which phase, and `request_sent` says whether the server may have seen the request, which decides about
sending it again. A status of 4xx or 5xx is an answer, and no error unless `raise_for_status` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rocket_sup.errors import RocketError

if TYPE_CHECKING:
    from rocket_sup.client.messages import Request, Response


class ClientError(RocketError):
    """The root of all errors of the client.

    Attributes:
        request: what was being asked, where that is known.
        item: in a bulk, what the request was made of.
    """

    def __init__(self, message: str, *, request: Request | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.item: object = None


class UrlError(ClientError, ValueError):
    """An address that cannot be used: no scheme, no host, a port out of range."""


class InvalidRequest(ClientError, ValueError):
    """A request that must not be sent as it is: a line break in a field, two bodies."""


class ClientClosed(ClientError):
    """The client was closed; it sends nothing any more."""


class BodyNotRead(ClientError):
    """The content of a streamed response was asked for before it was read."""


class BodyConsumed(ClientError):
    """The content of a streamed response was read before, piece by piece; it is gone."""


class ExchangeError(ClientError):
    """No whole answer was had.

    Attributes:
        request_sent: whether the server may have received any of the request.
    """

    def __init__(self, message: str, *, request: Request | None = None, request_sent: bool = True) -> None:
        super().__init__(message, request=request)
        self.request_sent = request_sent


class ConnectError(ExchangeError):
    """No connection could be made: nobody listens, no way there, refused."""

    def __init__(self, message: str, *, request: Request | None = None) -> None:
        super().__init__(message, request=request, request_sent=False)


class ResolveError(ConnectError):
    """The name of the host has no address."""


class TlsError(ConnectError):
    """TLS could not be agreed on, or the server's certificate is not to be trusted."""


class ProxyError(ConnectError):
    """The proxy refused, or did not speak its protocol."""


class ResourcesExhausted(ConnectError):
    """This machine has no descriptor or no local port left for another connection.

    Attributes:
        cause_name: the name of the errno, `EMFILE`, `ENFILE`, `EADDRNOTAVAIL` or `ENOBUFS`.
    """

    def __init__(self, message: str, *, cause_name: str) -> None:
        super().__init__(message)
        self.cause_name = cause_name


class ReadError(ExchangeError):
    """The connection broke while the answer was awaited or read."""


class Disconnected(ReadError):
    """The server ended the connection before the first byte of an answer.

    Attributes:
        was_idle: the connection had been used before and kept; it may have ended before the request came.
    """

    def __init__(self, message: str, *, was_idle: bool) -> None:
        super().__init__(message)
        self.was_idle = was_idle


class WriteError(ExchangeError):
    """The connection broke while the request was sent."""


class ProtocolError(ExchangeError):
    """The server broke the rules of HTTP."""


class IncompleteBody(ProtocolError):
    """The connection ended before the content of the answer did."""


class BodyTooLarge(ExchangeError):
    """The content of the answer is larger than the client allows."""


class RequestTimeout(ExchangeError, TimeoutError):
    """The root of all timeouts; also a `TimeoutError`."""


class ConnectTimeout(RequestTimeout):
    """No connection within `Timeout.connect`."""


class PoolTimeout(RequestTimeout):
    """All connections were taken for `Timeout.pool`."""


class WriteTimeout(RequestTimeout):
    """The server took nothing of the request for `Timeout.write`."""


class ReadTimeout(RequestTimeout):
    """The server sent nothing for `Timeout.read`."""


class TotalTimeout(RequestTimeout):
    """The whole request, redirects and retries included, took longer than `Timeout.total`."""


class CircuitOpen(ExchangeError):
    """The host failed too often; nothing is sent to it until it has had time to recover."""

    def __init__(self, message: str) -> None:
        super().__init__(message, request_sent=False)


class DecodingError(ClientError):
    """The content of the answer is not what it says it is: broken compression, no JSON."""


class DecompressionBomb(DecodingError):
    """Decompressed, the content is larger than the client allows."""


class TooManyRedirects(ClientError):
    """The redirects lead on and on."""


class StatusError(ClientError):
    """The answer is 4xx or 5xx; raised by `raise_for_status` only.

    Attributes:
        response: the answer.
    """

    def __init__(self, message: str, *, response: Response) -> None:
        super().__init__(message, request=response.request)
        self.response = response
