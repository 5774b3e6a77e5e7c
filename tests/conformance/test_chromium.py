"""What a browser makes of it, WebSockets, files and streams: Chromium without a window, on every engine."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from rocket_sup.websocket import WebSocket
from tests.conformance.server import Server
from tests.conformance.wsclient import Stage

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt install chromium"),
]
Serve = Callable[..., Server]

# Runs a conversation, and posts what it has seen.
PAGE = """<!doctype html><script>
  const seen = [];
  const socket = new WebSocket(location.href.replace("http", "ws").replace("page", "ws"), ["b", "a"]);
  socket.binaryType = "arraybuffer";
  const words = "many words ".repeat(500);
  socket.onopen = () => {
    seen.push(["open", socket.protocol, socket.extensions.split(";")[0]]);
    for (const message of ["héllo", words, new Uint8Array([0, 255]).buffer]) socket.send(message);
  };
  socket.onmessage = event => {
    const data = event.data;
    seen.push(typeof data === "string" ? (data === words ? "words" : data) : [...new Uint8Array(data)]);
    if (seen.length === 4) socket.send("close");
  };
  socket.onclose = event => {
    seen.push(["close", event.code, event.reason, event.wasClean]);
    fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
  };
</script>"""


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Give a function that opens a page, in a browser that ends with the test."""
    browsers: list[subprocess.Popen[bytes]] = []

    def open_page(url: str) -> None:
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ]
        quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        assert CHROMIUM is not None
        browsers.append(
            subprocess.Popen(
                [
                    CHROMIUM,
                    *flags,
                    *quiet,
                    profile,
                    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                    url,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    yield open_page
    for browser in browsers:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def test_a_conversation_with_a_browser(serve: Serve, browse: Callable[[str], None]) -> None:
    """Subprotocol, compression, text, bytes, and a goodbye that it finds clean."""

    async def converse(socket: WebSocket) -> None:
        async for message in socket:
            if message == "close":
                await socket.close(4321, "enough")
            else:
                await socket.send(message)

    stage = Stage(converse, subprotocols=["a"])
    seen: list[Any] = []

    @stage.router.get("/page")
    def page(request: Request) -> Response:
        return Response.html(PAGE)

    @stage.router.post("/seen")
    def take(request: Request) -> None:
        seen.extend(request.json())

    server = serve(stage.router)
    browse(f"http://127.0.0.1:{server.address[1]}/page")
    server.wait_until(lambda: seen, patience_s=50)

    assert ["open", "a", "permessage-deflate"] == seen[0]
    assert ["héllo", "words", [0, 255], ["close", 4321, "enough", True]] == seen[1:]


FILES_PAGE = """<!doctype html><link rel="icon" href="data:,"><script src="app.js"></script><script>
  (async () => {
    const part = await fetch("large.bin", {headers: {Range: "bytes=5-9"}});
    const again = await (await fetch("app.js", {cache: "no-cache"})).text();
    const whole = await (await fetch("large.bin")).arrayBuffer();
    const seen = {
      ran, again: again.length, part: part.status, range: part.headers.get("content-range"),
      bytes: [...new Uint8Array(await part.arrayBuffer())], whole: whole.byteLength,
    };
    fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
  })();
</script>"""


def test_a_browser_loads_a_directory(serve: Serve, browse: Callable[[str], None], tmp_path: Path) -> None:
    """The index, a compressed script, a part, what it has already, and a large file by the kernel."""
    root = tmp_path / "site"
    root.mkdir()
    script = b'const ran = "compressed";' + b" " * 2000
    (root / "index.html").write_text(FILES_PAGE)
    (root / "app.js").write_bytes(script)
    (root / "app.js.gz").write_bytes(gzip.compress(script))
    (root / "large.bin").write_bytes(bytes(range(256)) * 4096)
    for path in root.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    app = Router()
    app.static("/", root)
    seen: dict[str, Any] = {}

    @app.post("/seen")
    def take(request: Request) -> None:
        seen.update(request.json())

    server = serve(app)
    browse(f"http://127.0.0.1:{server.address[1]}/")
    server.wait_until(lambda: seen, patience_s=50)

    assert {
        "ran": "compressed",
        "again": len(script),
        "part": 206,
        "range": "bytes 5-9/1048576",
        "bytes": [5, 6, 7, 8, 9],
        "whole": 1048576,
    } == seen
    assert 1 == server.call(lambda: server.wire.statistics.statuses)[3]  # the script was not sent again


STREAMS_PAGE = """<!doctype html><link rel="icon" href="data:,"><script>
  (async () => {
    const seen = {pieces: [], events: []};
    const reader = (await fetch("letters")).body.getReader();
    for (;;) {
      const {value, done} = await reader.read();
      if (done) break;
      seen.pieces.push(new TextDecoder().decode(value));
      await fetch("next", {method: "POST"});
    }
    const events = new EventSource("events");
    await new Promise(enough => events.onmessage = event => {
      seen.events.push(event.data);
      if (seen.events.length === 3) enough();
    });
    events.close();
    const content = new Blob(["x".repeat(5_000_000)]);
    seen.upper = await (await fetch("upper", {method: "POST", body: content})).text();
    seen.upper = [seen.upper.length, seen.upper[0]];
    fetch("seen", {method: "POST", body: JSON.stringify(seen)});
  })();
</script>"""


def test_a_browser_streams(serve: Serve, browse: Callable[[str], None]) -> None:
    """Each piece arrives when it is made; events end when it closes their source; much comes back changed."""
    gate = asyncio.Event()
    ends: list[str] = []
    seen: dict[str, Any] = {}
    app = Router()
    app.get("/page")(lambda request: Response.html(STREAMS_PAGE))
    app.post("/seen")(lambda request: seen.update(request.json()))
    app.post("/next")(lambda request: gate.set())

    @app.get("/letters")
    async def letters(request: Request) -> AsyncIterator[str]:
        async def pieces() -> AsyncIterator[str]:
            for letter in "abc":
                yield letter
                await gate.wait()  # until the browser has read it
                gate.clear()

        return pieces()

    @app.get("/events")
    async def events(request: Request) -> Response:
        async def pieces() -> AsyncIterator[str]:
            try:
                for number in range(3):
                    yield f"data: {number}\n\n"
                await asyncio.get_running_loop().create_future()
            finally:
                ends.append("over")

        return Response.stream(pieces(), headers={"Content-Type": "text/event-stream"})

    @app.post("/upper", stream=True, max_body=10_000_000)
    async def upper(request: Request) -> AsyncIterator[bytes]:
        return (piece.upper() async for piece in request.stream())

    server = serve(app)
    browse(f"http://127.0.0.1:{server.address[1]}/page")
    server.wait_until(lambda: seen and ends, patience_s=50)

    assert seen == {"pieces": ["a", "b", "c"], "events": ["0", "1", "2"], "upper": [5_000_000, "X"]}
    assert ends == ["over"]
