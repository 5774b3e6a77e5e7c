"""Methods beyond the usual ones: a cache that is filled by PUT and emptied by PURGE.

rocket-sup examples.methods:app

curl -X PUT -d hello localhost:8080/cache/greeting
curl localhost:8080/cache/greeting
curl -X PURGE localhost:8080/cache/greeting
curl -i -X OPTIONS localhost:8080/cache/greeting   # Allow names PURGE
curl -i -X BREW localhost:8080/cache/greeting      # 501: nobody registered it

The cache lives in the memory of one process: run it with --num-acceptors 1.
"""

from __future__ import annotations

from rocket_sup import Request, Router

app = Router()
cache: dict[str, bytes] = {}


@app.get("/cache/**")
def get(req: Request) -> bytes | tuple[int, str]:
    """HEAD is answered from this one, too."""
    content = cache.get(req.path_params["**"])
    return content if content is not None else (404, "not cached\n")


@app.put("/cache/**")
def put(req: Request) -> int:
    """A number alone is a status."""
    cache[req.path_params["**"]] = req.body
    return 204


@app.route("/cache/**", methods=["PURGE", "DELETE"])
def purge(req: Request) -> dict[str, int]:
    """One function for two methods: forget everything below a path."""
    below = req.path_params["**"]
    gone = [name for name in cache if name == below or name.startswith(below + "/") or not below]
    for name in gone:
        del cache[name]
    return {"purged": len(gone)}
