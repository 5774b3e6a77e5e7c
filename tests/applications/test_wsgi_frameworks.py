"""Flask and Django through WSGI, unmodified, in a whole tree on every engine, in threads and on the loop."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from rocket_sup.engine import native
from tests.faults.tree import Tree

HERE = Path(__file__).parent
ENGINES = ["python"] if native.load()[0] is None else ["python", "epoll"]

pytestmark = pytest.mark.slow


@pytest.fixture(params=[(engine, threads) for engine in ENGINES for threads in (0, 8)], ids=str)
def open_site(request: pytest.FixtureRequest) -> Iterator[Callable[[str], httpx.Client]]:
    """Give a function that serves an application and returns a client of it."""
    engine, threads = request.param
    opened: list[tuple[Tree, httpx.Client]] = []

    def start(handler: str) -> httpx.Client:
        options = {
            "server": {"handler": handler, "num_acceptors": 1, "engine": engine},
            "acceptor": {"threads": threads, "suspect": 1.0, "hang": 20.0, "boot": 20},
            "proxy": {"trusted": ["127.0.0.1"]},
        }
        tree = Tree(options=options)
        shutil.copy(HERE / f"{handler.partition(':')[0]}.py", tree.directory)
        tree.start()
        client = httpx.Client(base_url=f"http://127.0.0.1:{tree.port}", timeout=20)
        opened.append((tree, client))
        return client

    yield start
    for tree, client in opened:
        client.close()
        tree.close()
        if tree.process is not None:
            tree.process.wait()


def test_flask(open_site: Callable[[str], httpx.Client]) -> None:
    """Routes, content both ways, cookies, files, failures; on one kept connection."""
    client = open_site("flask_site:app")
    content = b"x" * 300_000
    told = client.get("/?a=1", headers={"X-One": "1"}).json()

    assert told == {
        "method": "GET",
        "url": f"{client.base_url}/?a=1",
        "client": "127.0.0.1",
        "scheme": "http",
        "header": "1",
    }
    assert client.get("/items/7?name=a&name=b").json() == {"number": 7, "names": ["a", "b"]}
    assert client.get("/items/x").status_code == 404
    assert client.delete("/").status_code == 405
    assert client.post("/json", json={"a": 1}).json() == {"got": {"a": 1}}
    assert client.post("/json", content=b"{").status_code == 415
    uploaded = client.post("/upload", data={"name": "n"}, files={"file": ("f.bin", content)})
    assert uploaded.json() == {"name": "n", "file": "f.bin", "size": 300_000}
    assert client.put("/count", content=content).text == "300000"
    assert client.put("/count", content=iter([content, content])).text == "600000"
    assert client.get("/login/bob").text == "welcome"
    assert client.get("/who").text == "bob"
    streamed = client.get("/stream")
    assert streamed.text == "".join(f"piece {number} of /stream\n" for number in range(5))
    assert streamed.headers["transfer-encoding"] == "chunked"
    source = (HERE / "flask_site.py").read_bytes()
    whole = client.get("/file")
    assert whole.content == source
    assert client.get("/file", headers={"Range": "bytes=0-2"}).content == source[:3]
    assert client.get("/file", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    assert client.get("/memory").content == b"in memory"
    assert client.get("/fail").status_code == 500
    head = client.head("/file")
    assert (head.headers["content-length"], head.content) == (str(len(source)), b"")


def test_flask_behind_a_proxy(open_site: Callable[[str], httpx.Client]) -> None:
    """A trusted one is believed about client and scheme."""
    client = open_site("flask_site:app")
    fields = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    told = client.get("/", headers=fields).json()

    assert (told["client"], told["scheme"]) == ("192.0.2.1", "https")


def test_django(open_site: Callable[[str], httpx.Client], request: pytest.FixtureRequest) -> None:
    """Views of both kinds, forms, answers in pieces, failures."""
    is_threaded = request.node.callspec.params["open_site"][1] > 0
    client = open_site("django_site:wsgi")
    told = client.get("/?a=1", headers={"X-One": "1"}).json()

    assert (told["method"], told["path"], told["header"]) == ("GET", "/?a=1", "1")
    assert told["host"] == f"127.0.0.1:{client.base_url.port}"
    uploaded = client.post("/form", data={"name": "n"}, files={"file": ("f.bin", b"x" * 300_000)})
    assert uploaded.json() == {"name": "n", "size": 300_000}
    assert client.get("/fail").status_code == 500
    assert client.get("/nowhere").status_code == 404
    # Django runs coroutines on a loop of its own, which no thread can have that runs one already.
    assert client.get("/soon").status_code == (200 if is_threaded else 500)
