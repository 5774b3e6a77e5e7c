"""Handlers that are given what they need, by the types of their parameters: rocket-sup examples.injection:app

curl -X POST -d 'text=milk' localhost:8080/notes
curl localhost:8080/notes
curl 'localhost:8080/notes?limit=x'                        # 400: what a provider raises is the answer

Nothing of this is in the server: a decorator that looks at a function once is all it takes.
"""

from __future__ import annotations

import functools
import inspect
import sqlite3
import typing
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from rocket_sup import Request, Router
from rocket_sup.errors import RemoteProtocolError

app = Router()
providers: dict[Any, Callable[[Request], Any]] = {}


def provides(kind: Any) -> Callable[[Callable[[Request], Any]], Callable[[Request], Any]]:
    """Register what makes objects of a type for a request; a generator also clears up after it."""

    def register(provider: Callable[[Request], Any]) -> Callable[[Request], Any]:
        providers[kind] = contextmanager(provider) if inspect.isgeneratorfunction(provider) else provider
        return provider

    return register


def inject(function: Callable[..., Any]) -> Callable[[Request], Any]:
    """Make a handler of a function whose parameters are provided; `Request` is the request."""
    wanted = typing.get_type_hints(function)
    wanted.pop("return", None)

    @functools.wraps(function)
    def handler(req: Request) -> Any:
        with ExitStack() as stack:
            given: dict[str, Any] = {}
            for name, kind in wanted.items():
                made: Any = req if kind is Request else providers[kind](req)
                given[name] = stack.enter_context(made) if hasattr(made, "__enter__") else made
            return function(**given)

    return handler


# -- what the application has

store = sqlite3.connect(":memory:", check_same_thread=False)
store.execute("create table notes (text)")


class Notes:
    """The notes, within one transaction."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor = cursor


class Page:
    """How much is wanted."""

    def __init__(self, limit: int) -> None:
        self.limit = limit


@provides(Notes)
def notes_of_request(req: Request) -> Generator[Notes, None, None]:
    """Commit when the handler returns, take back when it raises."""
    with store:
        yield Notes(store.cursor())


@provides(Page)
def page_of_request(req: Request) -> Page:
    """Read the query."""
    limit = req.get_query_param("limit", "10")
    if not limit.isascii() or not limit.isdecimal() or len(limit) > 3:
        raise RemoteProtocolError("limit is a number of at most three digits")
    return Page(int(limit))


@app.get("/notes")
@inject
def list_notes(notes: Notes, page: Page) -> list[str]:
    """List the notes."""
    return [text for (text,) in notes.cursor.execute("select text from notes limit ?", [page.limit])]


@app.post("/notes")
@inject
def add_note(req: Request, notes: Notes) -> tuple[int, dict[str, str]]:
    """Add a note."""
    text = req.form().get("text", "")
    notes.cursor.execute("insert into notes values (?)", [text])
    if not text:
        raise RemoteProtocolError("a note has a text", status=422)  # and the note is taken back
    return 201, {"text": text}
