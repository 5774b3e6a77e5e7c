"""Work that blocks: in a thread, while the event loop goes on serving others.

rocket-sup examples.blocking:app

curl 'localhost:8080/digest?text=hello'   # takes a while, in a thread
curl localhost:8080/health                # is answered meanwhile
"""

from __future__ import annotations

import asyncio
import hashlib
import threading

from rocket_sup import Request, Router

app = Router()


@app.get("/digest", blocking=True)
def digest(req: Request) -> dict[str, str]:
    """Derive a key, slowly on purpose: `blocking=True` runs this in one of `acceptor.threads` threads."""
    text = req.get_query_param("text", "")
    key = hashlib.scrypt(text.encode(), salt=b"example", n=2**12, r=8, p=1)
    return {"digest": key.hex(), "thread": threading.current_thread().name}


@app.get("/both")
async def both(req: Request) -> list[str]:
    """An async handler sends only the blocking part away, here two of them at once."""
    keys = await asyncio.gather(*(asyncio.to_thread(derive, text) for text in ("a", "b")))
    return [key.hex() for key in keys]


@app.get("/health")
def health(req: Request) -> str:
    """Answer from the event loop, at once."""
    return "ok"


def derive(text: str) -> bytes:
    """A function of yours that takes its time."""
    return hashlib.scrypt(text.encode(), salt=b"example", n=2**12, r=8, p=1)
