"""A small JSON API that also takes HTML forms: query parameters, status codes, headers, uploads.

rocket-sup examples.notes:app

curl localhost:8080/notes -d text=milk -d tag=shop                  # a form
curl localhost:8080/notes --json '{"text": "tea", "tags": ["shop"]}'  # the same as JSON
curl 'localhost:8080/notes?tag=shop&limit=1'
curl localhost:8080/notes/1
curl -X DELETE localhost:8080/notes/1
curl localhost:8080/attachments -F note=2 -F file=@README.md        # multipart

The notes live in the memory of one process: run it with --num-acceptors 1.
"""

from __future__ import annotations

import itertools
from typing import Any

from rocket_sup import Request, Response, Router

app = Router()
notes: dict[int, dict[str, Any]] = {}
numbers = itertools.count(1)


@app.get("/notes")
def search(req: Request) -> list[dict[str, Any]] | tuple[int, dict[str, str]]:
    """List the notes that have every tag asked for."""
    tags = set(req.query_params.get_all("tag"))
    limit = req.get_query_param("limit", "100")
    if not limit.isdecimal() or len(limit) > 6:
        return 400, {"error": "limit must be a number of at most six digits"}
    return [note for note in notes.values() if tags <= set(note["tags"])][: int(limit)]


@app.post("/notes", max_body=65536)
def create(req: Request) -> tuple[int, dict[str, Any]] | tuple[int, dict[str, Any], dict[str, str]]:
    """Take a note as JSON or as a form; content that is neither is answered with 400 or 415 by itself."""
    if req.get_header("content-type", "").startswith("application/json"):
        document = req.json()
        sent = document if isinstance(document, dict) else {}
        text, tags = sent.get("text"), sent.get("tags", [])
    else:
        form = req.form()
        text, tags = form.get("text"), form.get_all("tag")
    if not isinstance(text, str) or not isinstance(tags, list):
        return 422, {"error": "a note has a text, and may have a list of tags"}
    number = next(numbers)
    notes[number] = {"url": f"/notes/{number}", "text": text, "tags": tags}
    return 201, notes[number], {"Location": f"/notes/{number}"}


@app.get("/notes/:number")
def read(req: Request) -> dict[str, Any] | tuple[int, dict[str, str]]:
    """Show one note."""
    note = notes.get(_number(req))
    return note if note is not None else (404, {"error": "no such note"})


@app.delete("/notes/:number")
def delete(req: Request) -> Response:
    """Forget one note; doing it twice is no error."""
    notes.pop(_number(req), None)
    return Response.empty()


@app.post("/attachments", max_body=10 << 20)
def attach(req: Request) -> dict[str, Any]:
    """Say what was uploaded: text fields are in the form, files in its `files`."""
    form = req.form()
    return {
        "note": form.get("note"),
        "files": [
            {"field": field, "name": file.filename, "type": file.content_type, "bytes": file.size}
            for field, file in form.files.pairs()
        ],
    }


def _number(req: Request) -> int:
    number = req.path_params["number"]
    return int(number) if number.isdecimal() and len(number) < 10 else 0
