"""Who comes in, what is asked, and how it ended: rocket-sup examples.gatekeeper:app

curl localhost:8080/                     # served
curl --http1.0 -i localhost:8080/        # 505: this version is not spoken here
curl -X BREW -i localhost:8080/          # 501
curl localhost:8080/ends                 # how connections ended so far
curl -X POST localhost:8080/close        # this process takes no more connections after the next one
"""

from __future__ import annotations

from collections import Counter

from rocket_sup import Request, Router
from rocket_sup.hooks import Client, Deadlines, SetupDecision

app = Router()
ends: Counter[str] = Counter()
banned: set[str] = set()
is_closing = False


@app.on_connection_setup
def arrive(client: Client) -> SetupDecision | Deadlines:
    """Decide about a connection before anything is read from it."""
    if host_of(client) in banned:
        return SetupDecision.DROP
    if is_closing:
        return SetupDecision.STOP_ACCEPTING  # this one is closed, and the acceptor takes no more
    return Deadlines(head=2.0, idle=5.0)  # less patience than the configuration has


@app.on_pre_routing
def refuse(req: Request) -> tuple[int, str] | None:
    """Answer what is not spoken here; None lets a request proceed."""
    if req.http_version == "1.0":
        return 505, "HTTP/1.1, please\n"
    if req.method not in ("GET", "HEAD", "POST"):
        return 501, f"{req.method} means nothing here\n"
    return None


@app.on_connection_teardown
def leave(client: Client, error: Exception | None) -> None:
    """Count how a connection ended: in peace, by a fault of the client, by a broken line, by a deadline."""
    ends["peace" if error is None else type(error).__name__] += 1


@app.get("/")
def hello(req: Request) -> str:
    """Answer."""
    return "welcome\n"


@app.get("/ends")
def tell(req: Request) -> dict[str, int]:
    """Tell how connections ended."""
    return dict(ends)


@app.post("/close")
def close(req: Request) -> str:
    """Close the door."""
    global is_closing
    is_closing = True
    return "closing\n"


def host_of(client: Client) -> str:
    """The address without the port; one name for all clients of a Unix socket."""
    return client[0] if isinstance(client, tuple) else "local"
