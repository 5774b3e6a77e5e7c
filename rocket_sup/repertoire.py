"""Requests that came before, byte for byte: what was understood of them need not be understood again.

Clients repeat themselves: health checks, browsers, other services send the same head again and again on kept
connections. Reading a head is a pure function of its bytes, and so is finding its route, so both are
remembered together, by the bytes. Nothing is skipped that could come out differently: what depends on time,
on hooks or on the connection is decided anew.

Bounded in number and size, and cleared when full: a client that never repeats itself costs the rest one miss
each.
"""

from __future__ import annotations

from typing import Final

from rocket_sup.http.framing import HEAD_END
from rocket_sup.request import Request
from rocket_sup.router import Route

MAX_KNOWN: Final = 512
MAX_HEAD_BYTES: Final = 2048  # with the strings made of it at most some 3 MiB in all


class Known:
    """A request head with its route.

    Attributes:
        head: shared by all requests of these bytes.
        route: serves it.
        path_params: copied for each request.
        label: method and target, for the post-mortem.
        referer, user_agent: header values, for the access log.
        is_direct: the handler is called at once: it is neither a coroutine nor blocking.
    """

    __slots__ = (
        "handler",
        "head",
        "is_direct",
        "label",
        "path_params",
        "referer",
        "route",
        "user_agent",
    )

    def __init__(self, request: Request, route: Route, path_params: dict[str, str]) -> None:
        self.head = head = request.head
        self.referer = request.get_header("referer")
        self.user_agent = request.get_header("user-agent")
        self.route = route
        self.handler = route.handler
        self.path_params = path_params
        self.label = f"{head.method} {head.target}".encode("ascii")
        self.is_direct = not route.is_async and not route.blocking


class Repertoire:
    """What is known. A head that announces content is kept apart: alone it is not a whole request."""

    __slots__ = ("_with_content", "_without_content", "find")

    def __init__(self) -> None:
        self._without_content: dict[bytes, Known] = {}
        self._with_content: dict[bytes, Known] = {}
        self.find = self._without_content.get  # by all received bytes

    def find_with_content(self, data: bytes) -> Known | None:
        """Find the head of one request that is whole in `data`, with content of the length it announces."""
        end = data.find(HEAD_END) + len(HEAD_END)
        known = self._with_content.get(data[:end])
        return known if known is not None and known.head.content_length == len(data) - end else None

    def learn(self, head: bytes, known: Known) -> None:
        """Remember a head, from its first byte to its last, that was served as `known`.

        One with content is remembered after llhttp has agreed to it: where such a message ends depends on its
        head alone.
        """
        if len(head) <= MAX_HEAD_BYTES:
            heads = self._with_content if known.head.content_length else self._without_content
            if len(heads) >= MAX_KNOWN:
                heads.clear()
            heads[head] = known
