"""Every kind of pattern, and which one wins when several match.

rocket-sup examples.patterns:app

curl localhost:8080/files/latest            # the literal
curl localhost:8080/files/7                 # :id
curl localhost:8080/files/7/raw/a/b         # ** takes a/b
curl localhost:8080/wiki/en/Caf%C3%A9       # * and :title, decoded
curl localhost:8080/tree/a/b/c/log          # ** in the middle
"""

from __future__ import annotations

from rocket_sup import Request, Router

app = Router()


@app.get("/files/latest")
def latest(req: Request) -> str:
    """A pattern without parameters always wins."""
    return "the latest file\n"


@app.get("/files/:id")
def file(req: Request) -> str:
    """`:name` takes one segment, never an empty one."""
    return f"file {req.path_params['id']}\n"


@app.get("/files/:id/raw/**")
def raw(req: Request) -> str:
    """`**` takes the rest, also when there is none."""
    return f"in file {req.path_params['id']}: {req.path_params['**'] or 'everything'}\n"


@app.get("/wiki/*/:title")
def wiki(req: Request) -> str:
    """`*` takes one segment without naming it."""
    return f"{req.path_params['title']} ({req.path_params['*']})\n"


@app.get("/tree/**/log")
def log(req: Request) -> str:
    """`**` may stand in the middle, once."""
    return f"log of {req.path_params['**'] or 'the root'}\n"


@app.get("/tree/**")
def tree(req: Request) -> str:
    """The same leading literals as above, but `**` at the end ranks behind a literal there."""
    return f"tree {req.path_params['**'] or 'of the root'}\n"
