"""What an application says when something went wrong: `@app.error_page(404)`, `@app.error_page(NotesError)`.

A page is a plain function of the request and of the error. It is called for paths without a route and methods
without a handler, for what a handler raises, and for content that the handler refused; not for what is
refused before there is a request, and not for an answer that a handler gave itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rocket_sup.errors import LocalProtocolError, RemoteProtocolError
from rocket_sup.hooks import check_hook
from rocket_sup.refusals import refusal
from rocket_sup.response import Answer, Response, answer_from

if TYPE_CHECKING:
    from rocket_sup.request import Request

# Returns what a handler may return; without a status of its own it is answered with that of the error.
Page = Callable[["Request", Exception], object]


class ErrorPages:
    """The pages of one application."""

    __slots__ = ("_by_status", "_by_type")

    def __init__(self) -> None:
        self._by_status: dict[int, Page] = {}
        self._by_type: dict[type[Exception], Page] = {}

    def add(self, what: int | type[Exception], page: Page) -> None:
        """Register a page.

        Raises:
            LocalProtocolError: it is no status of an error and no exception, or has a page already, or the
                page is `async def`.
        """
        check_hook(page)
        is_new = False
        if isinstance(what, type) and issubclass(what, Exception):
            is_new = self._by_type.setdefault(what, page) is page
        elif isinstance(what, int) and 400 <= what <= 599:
            is_new = self._by_status.setdefault(what, page) is page
        else:
            raise LocalProtocolError(
                f"error_page({what!r}): a status from 400 to 599, or a class of Exception"
            )
        if not is_new:
            raise LocalProtocolError(f"error_page({what!r}): there is one already")

    def expects(self, error: BaseException) -> bool:
        """Say whether an exception has a page of its own: then it is no failure."""
        return any(kind in self._by_type for kind in type(error).__mro__)

    def page_of(self, request: Request, error: Exception, status: int) -> Answer | None:
        """Make the answer: the page of the nearest class, else that of the status.

        Returns: None when there is neither.

        Raises:
            Exception: whatever the page raises, or whatever is wrong with what it returned.
        """
        page = next(
            (self._by_type[kind] for kind in type(error).__mro__ if kind in self._by_type),
            self._by_status.get(status),
        )
        if page is None:
            return None
        result = page(request, error)
        if isinstance(result, Answer):
            return result
        if result is None or isinstance(result, (Response, tuple, int)):
            return answer_from(result)
        return answer_from((status, result))

    def refuse(self, request: Request, status: int, reason: str) -> Answer:
        """Answer a request that no handler takes: by its page, else in one line.

        Raises:
            Exception: as `page_of`.
        """
        if self._by_status or self._by_type:
            answer = self.page_of(request, RemoteProtocolError(reason, status=status), status)
            if answer is not None:
                return answer
        return refusal(status, reason)
