"""Pages of other origins may ask: rocket-sup examples.cors:app

curl -i -H 'Origin: https://app.example' localhost:8080/items
curl -i -X OPTIONS -H 'Origin: https://app.example' -H 'Access-Control-Request-Method: PUT' \\
    localhost:8080/items
curl -i -H 'Origin: https://evil.example' localhost:8080/items           # answered, but not for that page

Browsers ask before they send what a form could not (a preflight), and look at the fields of the answer.
"""

from __future__ import annotations

from collections.abc import Generator

from rocket_sup import Request, Response, Router

app = Router()
ORIGINS = {"https://app.example"}
METHODS = "GET, HEAD, PUT"
FIELDS = "Content-Type, Authorization"
items: list[str] = []


@app.on_pre_routing
def preflight(req: Request) -> Response | None:
    """Answer what a browser asks before the request; anything else proceeds."""
    origin = req.get_header("origin")
    if req.method != "OPTIONS" or origin is None or req.get_header("access-control-request-method") is None:
        return None
    response = Response.empty(204, {"Vary": "Origin"})
    if origin in ORIGINS:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = FIELDS
        response.headers["Access-Control-Max-Age"] = "600"
    return response


@app.middleware
def allow(req: Request) -> Generator[None, Response, None]:
    """Say whose pages may read the answer; also of a 404, as middleware is around that too."""
    response = yield
    response.headers.add("Vary", "Origin")
    origin = req.get_header("origin")
    if origin in ORIGINS:
        response.headers["Access-Control-Allow-Origin"] = origin


@app.get("/items")
def list_items(req: Request) -> list[str]:
    """List them."""
    return items


@app.put("/items")
def replace_items(req: Request) -> int:
    """Replace them."""
    items[:] = req.json()
    return 204
