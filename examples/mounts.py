"""A new application beside an old one: routes first, and below `/old` whatever was there before.

rocket-sup examples.mounts:app
curl http://localhost:8080/old/prices
curl http://localhost:8080/shop/items/7
"""

from collections.abc import Callable, Iterable
from typing import Any

from rocket_sup import Request, Router

app = Router()
shop = Router()
prices: dict[str, int] = {}


@app.on_startup
async def load() -> None:
    """In each acceptor, before its first request; if it raises, the server does not start."""
    prices.update({"7": 12, "8": 15})


@app.on_shutdown
def forget() -> None:
    """After its last request."""
    prices.clear()


@app.get("/old/prices")
def new_prices(req: Request) -> dict[str, int]:
    """A page of the old application that was rewritten: routes come first."""
    return prices


@shop.get("/items/:id")
def item(req: Request) -> dict[str, object]:
    """A router of its own, found below its prefix."""
    number = req.path_params["id"]
    return {"id": number, "price": prices.get(number)}


def old(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application that was there before, WSGI in this case; it knows nothing of all this."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"the old {environ['PATH_INFO']} below {environ['SCRIPT_NAME']}\n".encode()]


app.mount("/shop", shop)
app.mount("/old", old)
