"""A Flask application as its documentation writes them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify, request, send_file, session, stream_with_context

app = Flask(__name__)
app.secret_key = "not a secret"


@app.get("/")
def root() -> Response:
    """What the request says about itself."""
    return jsonify(
        method=request.method,
        url=request.url,
        client=request.remote_addr,
        scheme=request.scheme,
        header=request.headers.get("X-One"),
    )


@app.get("/items/<int:number>")
def item(number: int) -> dict[str, Any]:
    """A converter, and the query."""
    return {"number": number, "names": request.args.getlist("name")}


@app.post("/json")
def json() -> dict[str, Any]:
    """Content as JSON."""
    return {"got": request.get_json()}


@app.post("/upload")
def upload() -> dict[str, Any]:
    """A form with a file."""
    file = request.files["file"]
    return {"name": request.form["name"], "file": file.filename, "size": len(file.read())}


@app.put("/count")
def count() -> str:
    """Content read as it comes, however it was framed."""
    total = 0
    while piece := request.stream.read(10_000):
        total += len(piece)
    return str(total)


@app.get("/login/<name>")
def login(name: str) -> str:
    """A cookie."""
    session["name"] = name
    return "welcome"


@app.get("/who")
def who() -> str:
    """The cookie again."""
    return str(session.get("name"))


@app.get("/stream")
def stream() -> Response:
    """An answer in pieces that knows its request."""

    def pieces() -> Iterator[str]:
        for number in range(5):
            yield f"piece {number} of {request.path}\n"

    return Response(stream_with_context(pieces()), mimetype="text/plain")


@app.get("/file")
def file() -> Response:
    """A file on disk, with conditions and ranges."""
    return send_file(Path(__file__), conditional=True)


@app.get("/memory")
def memory() -> Response:
    """One that is none."""
    return send_file(io.BytesIO(b"in memory"), download_name="memory.txt")


@app.get("/fail")
def fail() -> Response:
    """What nobody catches: Flask answers by itself."""
    raise RuntimeError("on purpose")
