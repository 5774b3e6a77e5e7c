"""A client: ask for many URLs, so many at once, and say what came of it.

python -m examples.client_bulk http://localhost:8080/a http://localhost:8080/b
"""

import asyncio
import sys
from collections.abc import Iterable

from rocket_sup.client import AsyncClient, Response


async def fetch_all(urls: Iterable[str]) -> dict[str, str]:
    """Return what each URL said: its status, or why there is none."""
    said: dict[str, str] = {}
    async with AsyncClient(timeout=5) as client:
        bulk = client.map(urls, concurrency=50, per_host=10)
        async for outcome in bulk:
            if isinstance(outcome, Response):
                said[str(outcome.extensions["item"])] = f"{outcome.status} {len(outcome.content)} bytes"
            else:
                said[str(outcome.item)] = f"failed: {type(outcome).__name__}"
        print(bulk.report)
    return said


if __name__ == "__main__":
    for url, words in asyncio.run(fetch_all(sys.argv[1:])).items():
        print(url, words)
