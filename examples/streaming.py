"""Content in pieces, both ways: it never stands in memory as a whole, however large it is.

rocket-sup examples.streaming:app
curl -T large.iso http://localhost:8080/digest
curl -N http://localhost:8080/ticks?count=5
curl -T - http://localhost:8080/upper          # type, and see it come back while you go on typing
"""

import asyncio
import csv
import hashlib
import io
from collections.abc import AsyncIterator, Iterator

from rocket_sup import Request, Response, Router

app = Router()


@app.put("/digest", stream=True, max_body=10 << 30)
async def digest(req: Request) -> dict[str, object]:
    """Read an upload as it comes; the client is made to wait when we are slower."""
    sha256 = hashlib.sha256()
    size = 0
    async for piece in req.stream():
        sha256.update(piece)
        size += len(piece)
    return {"bytes": size, "sha256": sha256.hexdigest(), "trailers": dict(req.trailers.items())}


@app.put("/digest-in-thread", stream=True, blocking=True, max_body=10 << 30)
def digest_in_thread(req: Request) -> dict[str, object]:
    """The same in a thread, for code that blocks."""
    sha256 = hashlib.sha256()
    for piece in req.stream():
        sha256.update(piece)
    return {"sha256": sha256.hexdigest()}


@app.put("/upper", stream=True, max_body=10 << 30)
async def upper(req: Request) -> AsyncIterator[bytes]:
    """Map the request to the answer while both flow."""
    return (piece.upper() async for piece in req.stream())


@app.put("/picture", stream=True, max_body=10 << 20)
async def picture(req: Request) -> object:
    """Look at the beginning, and answer early: the rest is not waited for."""
    async for piece in req.stream():
        if not piece.startswith(b"\x89PNG"):
            return 415, "this is no PNG"
        break
    return {"bytes": len(piece) + len(await req.read())}


@app.get("/ticks")
async def ticks(req: Request) -> Response:
    """Events as they happen, until the client has had enough of them."""
    count = int(req.get_query_param("count", "3"))

    async def events() -> AsyncIterator[str]:
        for number in range(count):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.01)

    return Response.stream(events(), headers={"Content-Type": "text/event-stream"})


@app.get("/table.csv", blocking=True)
def table(req: Request) -> Response:
    """Rows that are made in a thread, no faster than the client reads them."""

    def rows() -> Iterator[str]:
        for number in range(1000):
            line = io.StringIO()
            csv.writer(line).writerow([number, number**2])
            yield line.getvalue()

    return Response.stream(rows(), headers={"Content-Type": "text/csv"})


@app.get("/signed")
def signed(req: Request) -> Response:
    """A digest behind the content it was made of."""
    sha256 = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            piece = b"part %d\n" % number
            sha256.update(piece)
            yield piece

    return Response.stream(pieces(), trailers=lambda: {"X-SHA-256": sha256.hexdigest()})


@app.get("/page", stream=True)
async def page(req: Request) -> Response:
    """Tell the client what the page will need while the page is made."""
    await req.early_hints(["</style.css>; rel=preload; as=style"])
    await asyncio.sleep(0.01)
    return Response.html("<link rel=stylesheet href=/style.css><p>Hello")
