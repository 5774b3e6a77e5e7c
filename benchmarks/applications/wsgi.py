"""The benchmark's answers as WSGI, for fastpysgi and bjoern: `python wsgi.py SERVER PORT`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import orjson

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
USERS = "/api/users/"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path, status, kind, body = environ["PATH_INFO"], "200 OK", TEXT, b"ok"
    if environ["REQUEST_METHOD"] == "POST":
        body = str(len(environ["wsgi.input"].read())).encode()
    elif path.startswith(USERS):
        kind, body = JSON, orjson.dumps({"id": path[len(USERS) :], "name": "Alice"})
    elif path != "/health":
        status = "404 Not Found"
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    server, port = sys.argv[1], int(sys.argv[2])
    if server == "fastpysgi":
        import fastpysgi

        fastpysgi.run(wsgi_app=app, host="127.0.0.1", port=port)
    else:
        import bjoern

        bjoern.run(app, "127.0.0.1", port)
