"""The example of content in pieces, with the clients that people have: curl and httpx."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx
import pytest

from tests.conformance.conftest import engine  # noqa: F401 - a fixture
from tests.examples.serving import Site
from tests.examples.test_examples import Start, start  # noqa: F401 - a fixture

CONTENT = b"0123456789abcdef" * 200_000


def curl(site: Site, path: str, *arguments: str, content: bytes = b"") -> bytes:
    """Run curl; return what it wrote."""
    command = ["curl", "-sS", "--max-time", "20", *arguments, f"http://127.0.0.1:{site.port}{path}"]
    return subprocess.run(command, input=content, capture_output=True, check=True).stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(start: Start, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    """Uploads of a file and of a pipe, with `Expect: 100-continue`; answers of unknown length."""
    site, _ = start("streaming")
    digest = hashlib.sha256(CONTENT).hexdigest().encode()
    file = tmp_path / "content"
    file.write_bytes(CONTENT)

    assert digest in curl(site, "/digest", "-T", str(file))
    assert digest in curl(site, "/digest", "-T", str(file), "-H", "Expect: 100-continue")
    assert digest in curl(site, "/digest", "-T", "-", content=CONTENT)
    assert curl(site, "/upper", "-T", "-", content=CONTENT) == CONTENT.upper()
    for version in ("--http1.0", "--http1.1"):
        assert curl(site, "/ticks?count=2", version, "-N") == b"data: 0\n\ndata: 1\n\n"
    assert curl(site, "/page", "-o", "/dev/null", "-w", "%{http_code}") == b"200"
    assert curl(site, "/picture", "-T", str(file), "-w", " %{http_code}") == b"this is no PNG 415"
    assert (
        curl(site, "/signed", "-D", "-").lower().count(b"x-sha-256: ") == 1
    )  # curl tells trailers as fields


def test_httpx(start: Start) -> None:  # noqa: F811 - the fixture
    """A client that writes from one generator and reads into another, many at once."""
    site, _ = start("streaming")

    async def pieces() -> AsyncIterator[bytes]:
        for position in range(0, len(CONTENT), 100_000):
            yield CONTENT[position : position + 100_000]

    async def upload(client: httpx.AsyncClient) -> None:
        answer = await client.put("/digest", content=pieces())
        assert answer.json()["sha256"] == hashlib.sha256(CONTENT).hexdigest()

    async def events(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/ticks?count=5") as answer:
            lines = [line async for line in answer.aiter_lines() if line]
        assert lines == [f"data: {number}" for number in range(5)]

    async def main() -> None:
        base = f"http://127.0.0.1:{site.port}"
        async with (
            httpx.AsyncClient(base_url=base, timeout=20, trust_env=False) as client,
            anyio.create_task_group() as group,
        ):
            for _ in range(5):
                group.start_soon(upload, client)
                group.start_soon(events, client)

    anyio.run(main)
