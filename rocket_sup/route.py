"""One route: a handler with what an engine has to know about it, and what it is called through."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from rocket_sup.middleware import Middleware, surround
from rocket_sup.pattern import RouteError

if TYPE_CHECKING:
    from rocket_sup.request import Request

# Returns the response value, or a coroutine of it.
Handler = Callable[["Request"], object]

STANDARD_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2


class Route:
    """One registered handler.

    Attributes:
        method: as sent on the wire; "*" for the fallback.
        pattern: as the application wrote it; "" for the fallback.
        handler: the function that is called.
        endpoint: the function that was registered.
        is_async: it is a coroutine function.
        blocking: it is to be run in a thread.
        max_body: its own limit in bytes, or None for the configured one.
        takes_conduit: the handler is a coroutine function of the request and a `Conduit`, called as soon as
            the head has come. What it returns is the answer, unless it has begun one itself.
        outlives_client: the handler is not cancelled when its client leaves; its conduit is told.
    """

    __slots__ = (
        "_inner",
        "_is_inner_blocking",
        "_streams",
        "blocking",
        "endpoint",
        "handler",
        "is_async",
        "max_body",
        "method",
        "outlives_client",
        "pattern",
        "takes_conduit",
    )

    def __init__(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        *,
        blocking: bool = False,
        max_body: int | None = None,
        takes_conduit: bool = False,
        outlives_client: bool = False,
        stream: bool = False,
    ) -> None:
        if not callable(handler):
            raise RouteError(f"{method} {pattern}: {handler!r} is no handler, it cannot be called")
        self.method = method
        self.pattern = pattern
        self.endpoint = handler
        self._inner = handler
        self._is_inner_blocking = blocking
        self._streams = stream
        self.max_body = max_body
        self.takes_conduit = takes_conduit
        self.outlives_client = outlives_client
        if blocking and is_coroutine_handler(handler):
            raise RouteError(
                f"{describe(handler)}: blocking=True runs a plain 'def' in a thread; this one is 'async def'"
            )
        if max_body is not None and max_body < 0:
            raise RouteError(f"{describe(handler)}: max_body={max_body} must not be negative")
        self._install()

    def surround(self, middleware: Sequence[Middleware]) -> None:
        """Have the handler called through middleware; what it was called through before is further inside."""
        if middleware:
            inner = self._inner
            self._inner, _, self._is_inner_blocking = surround(
                inner, middleware, is_async=is_coroutine_handler(inner), blocking=self._is_inner_blocking
            )
            self._install()

    def _install(self) -> None:
        """Set what engines look at."""
        self.handler = self._inner
        self.blocking = self._is_inner_blocking
        self.is_async = is_coroutine_handler(self._inner)
        if self._streams:
            from rocket_sup.streamed import streamed  # it knows the loop, which the Supervisor never loads

            self.handler = cast(Handler, streamed(self._inner, blocking=self._is_inner_blocking))
            self.takes_conduit = self.is_async = True
            self.blocking = False

    def __repr__(self) -> str:
        return f"<Route {self.method} {self.pattern} {describe(self.handler)}>"


def is_coroutine_handler(handler: Callable[..., object]) -> bool:
    """Tell whether calling a handler gives a coroutine: `async def`, a partial of one, or an object whose
    `__call__` is one.
    """
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)


def describe(handler: Callable[..., object]) -> str:
    """Name a function as an operator looks for it: `create (app/users.py:12)`."""
    function = inspect.unwrap(handler)
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__qualname__)
    code = getattr(function, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code is not None else name


def check_method(name: str) -> None:
    """Refuse what is no method.

    Raises:
        RouteError: it is no token, or a standard method in another letter case.
    """
    if not isinstance(name, str) or _TOKEN.fullmatch(name) is None:
        raise RouteError(f"method {name!r}: must be a token (RFC 9110 §9.1)")
    if name.upper() in STANDARD_METHODS and name not in STANDARD_METHODS:
        raise RouteError(
            f"method {name!r}: methods are case-sensitive, {name.upper()!r} is meant (RFC 9110 §9.1)"
        )
