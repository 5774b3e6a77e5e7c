"""What the server in the tests of the client answers."""

from __future__ import annotations

import gzip
from typing import Any

from rocket_sup import Request, Response, Router

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def echo(req: Request) -> Any:
    """Say what came."""
    headers = {name.lower(): value for name, value in req.headers.items()}
    return {
        "method": req.method,
        "target": req.target,
        "headers": headers,
        "body": req.body.decode("latin-1"),
    }


def make_router() -> Router:
    """The application."""
    app = Router()
    app.route("/echo", methods=METHODS)(echo)
    app.get("/text")(lambda req: "hello")
    app.get("/status/:code")(lambda req: Response(status=int(req.path_params["code"])))
    app.post("/bytes")(lambda req: Response(req.body, headers={"Content-Type": "application/octet-stream"}))
    app.get("/large")(lambda req: Response(b"0123456789" * 300_000))
    app.get("/gzip")(
        lambda req: Response(gzip.compress(b"packed " * 100), headers={"Content-Encoding": "gzip"})
    )
    app.get("/latin")(
        lambda req: Response(b"\xfc\xff", headers={"Content-Type": "text/plain; charset=latin-1"})
    )
    return app
