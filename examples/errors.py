"""Pages for what goes wrong, as text for people and JSON for programs: rocket-sup examples.errors:app

curl -i localhost:8080/nowhere                             # 404
curl -i -H 'Accept: application/json' localhost:8080/nowhere
curl -i localhost:8080/items/7                             # 404, raised as LookupError by the handler
curl -i localhost:8080/crash                               # 500, logged with its traceback
"""

from __future__ import annotations

import html

from rocket_sup import Request, Response, Router

app = Router()
items = {"1": "hammer"}


def page(req: Request, status: int, title: str) -> Response:
    """Say it in the way the client understands."""
    if "application/json" in req.get_header("accept", ""):
        return Response.json({"error": title, "path": req.path}, status)
    return Response.html(f"<h1>{html.escape(title)}</h1><p>{html.escape(req.path)}</p>", status)


@app.error_page(404)
def not_found(req: Request, error: Exception) -> Response:
    """Answer for paths without a route."""
    return page(req, 404, "Not here")


@app.error_page(405)
def wrong_method(req: Request, error: Exception) -> Response:
    """Answer for methods without a handler; the server adds Allow."""
    return page(req, 405, "Not like this")


@app.error_page(LookupError)
def no_such_item(req: Request, error: Exception) -> Response:
    """Answer for an exception that handlers raise on purpose; it is not logged."""
    return page(req, 404, f"No item {error}")


@app.error_page(500)
def failed(req: Request, error: Exception) -> Response:
    """Answer for whatever else a handler raises; it is logged."""
    return page(req, 500, "Our fault")


@app.get("/items/:id")
def item(req: Request) -> str:
    """Answer with an item."""
    return items[req.path_params["id"]]


@app.get("/crash")
async def crash(req: Request) -> str:
    """Fail."""
    raise RuntimeError("on purpose")
