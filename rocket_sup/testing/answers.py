"""Answers as a test reads them, parsed by llhttp: another parser than any that made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httptools
import orjson

from rocket_sup.http.headers import Headers
from rocket_sup.http.semantics import REASONS


class Answer:
    """One answer.

    Attributes:
        status: 200 to 999.
        reason: as sent.
        http_version: "1.1" or "1.0".
        headers: ordered, repeatable, case-insensitive.
        content: whole, unless the answer is streamed: then b"" .
        informational: statuses of the interim answers before it.
    """

    def __init__(self, status: int, reason: str, http_version: str, headers: Headers) -> None:
        self.status = status
        self.reason = reason
        self.http_version = http_version
        self.headers = headers
        self.content = b""
        self.informational: Sequence[int] = ()

    @property
    def status_code(self) -> int:
        """`status`, by the name that requests, httpx and Starlette have for it."""
        return self.status

    @property
    def is_success(self) -> bool:
        """A status of 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The content as UTF-8."""
        return self.content.decode()

    def json(self) -> Any:  # a JSON document has any type
        """The content as JSON."""
        return orjson.loads(self.content)

    def __repr__(self) -> str:
        return f"<Answer {self.status} {self.reason or REASONS.get(self.status, '')} {self.content[:60]!r}>"


class AnswerParser:
    """Reads the answer to one request from received bytes.

    Attributes:
        answer: as soon as its head is there; without content, which `take` gives.
        is_complete: all of it was received.
        keeps: the connection goes on after it.
        rest: what was received behind a 101.
    """

    def __init__(self, method: str) -> None:
        self.answer: Answer | None = None
        self.is_complete = False
        self.keeps = False
        self.rest = b""
        self._is_head = method == "HEAD"
        self._content: list[bytes] = []
        self._informational: list[int] = []
        self._begin()

    def _begin(self) -> None:
        self._reason = b""
        self._fields: list[tuple[str, str]] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take received bytes; b"" says that the server has closed its side.

        Raises:
            AssertionError: they are no answer, or one that was cut short.
        """
        if not data:
            self._end()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.rest = data[upgrade.args[0] :]
            self.is_complete = True
        except httptools.HttpParserCallbackError as error:
            raise AssertionError(f"not an answer: {error}") from error
        except httptools.HttpParserError as error:
            if not self.is_complete:  # what follows an answer to HEAD is content to llhttp
                raise AssertionError(f"not an answer: {data[:200]!r}") from error

    def take(self) -> bytes:
        """Take the content that was received since the last time."""
        content = b"".join(self._content)
        self._content.clear()
        return content

    def _end(self) -> None:
        if self.answer is None:
            raise AssertionError("the connection was closed without an answer")
        framed = "content-length" in self.answer.headers or "transfer-encoding" in self.answer.headers
        if framed and not self.is_complete:
            raise AssertionError(f"the answer was cut short: {self.answer!r}")
        self.is_complete = True
        self.keeps = False

    # --- callbacks of llhttp ---

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._informational.append(status)
            return
        answer = Answer(
            status, self._reason.decode("latin-1"), self._parser.get_http_version(), Headers(self._fields)
        )
        answer.informational = tuple(self._informational)
        self.answer = answer
        self.keeps = self._parser.should_keep_alive()
        if self._is_head or status in (204, 304):
            self.is_complete = True
            connection = answer.headers.get("connection", "").lower()
            self.keeps = "close" not in connection and answer.http_version == "1.1"

    def on_body(self, data: bytes) -> None:
        self._content.append(data)

    def on_message_complete(self) -> None:
        if self.answer is None:
            self._reason = b""
            self._fields = []
        else:
            self.is_complete = True
