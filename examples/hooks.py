"""The three hooks: refuse a client, answer before routing, and be told when a connection is gone.

rocket-sup examples.hooks:app

curl localhost:8080/                                     # 401
curl -H 'Authorization: Bearer secret' localhost:8080/   # how many connections this process has
curl localhost:8080/health                               # open to everyone
"""

from __future__ import annotations

import hmac
from collections import Counter

from rocket_sup import Request, Router
from rocket_sup.hooks import Client, RoutingDecision, SetupDecision

app = Router()
connections: Counter[str] = Counter()
failures: Counter[str] = Counter()
MOST_PER_HOST = 20
TOKEN = b"Bearer secret"


@app.on_connection_setup
def limit_per_host(client: Client) -> SetupDecision:
    """Close a connection at once when its host has too many; nothing was read from it yet."""
    connections[host_of(client)] += 1
    return SetupDecision.PROCEED if connections[host_of(client)] <= MOST_PER_HOST else SetupDecision.DROP


@app.on_pre_routing
def authorise(req: Request) -> object:
    """Answer instead of the handler, hang up, or let the request proceed."""
    if req.path.startswith("/.env"):
        return RoutingDecision.DROP
    if req.path == "/health" or hmac.compare_digest(req.get_header("authorization", "").encode(), TOKEN):
        return RoutingDecision.PROCEED
    return 401, {"error": "a token is needed"}, {"WWW-Authenticate": "Bearer"}


@app.on_connection_teardown
def forget(client: Client, error: Exception | None) -> None:
    """Every connection that was set up ends here, with the error that ended it or None."""
    connections[host_of(client)] -= 1
    if error is not None:
        failures[type(error).__name__] += 1


@app.get("/health")
def health(req: Request) -> str:
    """Answer."""
    return "ok"


@app.get("/")
def count(req: Request) -> dict[str, int]:
    """Tell what the hooks counted."""
    return {"connections": connections[host_of(req.client)], "failures": failures.total()}


def host_of(client: Client) -> str:
    """The address without the port; one name for all clients of a Unix socket."""
    return client[0] if isinstance(client, tuple) else "local"
