"""A WSGI application, served as it is: Flask, Django and their like are called in the same way.

rocket-sup examples.wsgi:app                            # in the threads of each acceptor
ROCKET_ACCEPTOR_THREADS=0 rocket-sup examples.wsgi:app  # on the event loop: for code that never waits

curl localhost:8080/
curl --data-binary @README.md localhost:8080/count   # content is read as it comes
curl localhost:8080/numbers                          # and the answer leaves as it is made
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

TEXT = ("Content-Type", "text/plain; charset=utf-8")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one request."""
    match environ["PATH_INFO"]:
        case "/":
            start_response("200 OK", [TEXT])
            return [f"hello from {environ['SERVER_SOFTWARE']}\n".encode()]
        case "/count":
            lines = sum(1 for _ in environ["wsgi.input"])
            start_response("200 OK", [TEXT])
            return [f"{lines} lines\n".encode()]
        case "/numbers":
            start_response("200 OK", [TEXT])
            return numbers()
    start_response("404 Not Found", [TEXT])
    return [b"not found\n"]


def numbers() -> Iterator[bytes]:
    """Make an answer piece by piece."""
    for number in range(3):
        yield f"{number}\n".encode()
