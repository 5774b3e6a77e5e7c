"""One address for each page, with and without the slash at its end: rocket-sup examples.slashes:app

curl -i localhost:8080/about/?page=2                       # 308 to /about?page=2
curl -L localhost:8080/docs                                # what /docs/ has
"""

from __future__ import annotations

from rocket_sup import Request, Router

app = Router(trailing_slash="redirect")  # or "ignore": both are served; or "strict": they are two paths


@app.get("/about")
def about(req: Request) -> str:
    """Answer."""
    return "about\n"


@app.get("/docs/")
def docs(req: Request) -> str:
    """Answer."""
    return "docs\n"
