"""Applications of well-known frameworks, unmodified, in a whole tree on every engine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from rocket_sup.engine import native
from tests.faults.tree import Tree

HERE = Path(__file__).parent
ENGINES = ["python"] if native.load()[0] is None else ["python", "epoll"]
PIECES = "".join(f"piece {number}\n" for number in range(5))

pytestmark = pytest.mark.slow


@pytest.fixture(params=ENGINES)
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Tree]]:
    """Give a function that starts a tree of one of the applications here, once."""
    trees: dict[str, Tree] = {}

    def start(site: str, attribute: str = "app", **server: Any) -> Tree:
        name = f"{site}:{attribute}"
        if name not in trees:
            options = {"handler": name, "num_acceptors": 1, "engine": request.param, **server}
            tree = trees[name] = Tree(options={"server": options})
            shutil.copy(HERE / f"{site}.py", tree.directory)
            tree.start()
        return trees[name]

    yield start
    for tree in trees.values():
        tree.close()
        if tree.process is not None:
            tree.process.wait()


def client_of(tree: Tree) -> httpx.Client:
    """A client whose connections are kept."""
    return httpx.Client(base_url=f"http://127.0.0.1:{tree.port}", timeout=20)


def ws_url(tree: Tree, path: str) -> str:
    return f"ws://127.0.0.1:{tree.port}{path}"


# --- FastAPI


@pytest.fixture
def fastapi(start: Callable[..., Tree]) -> Iterator[httpx.Client]:
    """A client of the FastAPI application."""
    with client_of(start("fastapi_site")) as client:
        yield client


def test_fastapi_routes(fastapi: httpx.Client) -> None:
    """With parameters, dependencies, validation, threads, the state of the lifespan, and middleware."""
    answer = fastapi.get("/")

    assert answer.json() == {"hello": "world", "events": ["started"]}
    assert answer.headers["x-stamp"] == "/"
    assert fastapi.get("/plain").json() == {"from": "a thread"}
    assert fastapi.get("/items/7?skip=2").json() == {"id": 7, "skip": 2, "limit": 10}
    assert fastapi.get("/items/0").status_code == 404
    assert fastapi.get("/items/x").status_code == 422
    assert fastapi.post("/items", json={"name": "a"}).json() == {"name": "a", "price": 0}
    assert fastapi.post("/items", content=b"{").status_code == 422
    assert fastapi.get("/nowhere").status_code == 404
    assert fastapi.delete("/").status_code == 405
    assert fastapi.get("/openapi.json").json()["info"]["title"] == "FastAPI"


def test_fastapi_content(fastapi: httpx.Client) -> None:
    """Files of forms, answers in pieces, files."""
    content = b"x" * 300_000

    answer = fastapi.post("/upload", files={"file": ("name.bin", content)})
    assert answer.json() == {"name": "name.bin", "size": 300_000}
    streamed = fastapi.get("/stream")
    assert (streamed.text, streamed.headers["transfer-encoding"]) == (PIECES, "chunked")
    assert fastapi.get("/file").content == (HERE / "fastapi_site.py").read_bytes()
    assert fastapi.get("/file", headers={"Range": "bytes=0-2"}).content == b'"""'


def test_fastapi_failures(fastapi: httpx.Client) -> None:
    """500, and the connection goes on."""
    assert fastapi.get("/fail").status_code == 500
    assert fastapi.get("/").status_code == 200


def until(client: httpx.Client, word: str) -> None:
    """Wait until the application has noted something."""
    deadline = time.monotonic() + 20
    while word not in client.get("/produced").json():
        assert time.monotonic() < deadline, word


def test_fastapi_background(fastapi: httpx.Client) -> None:
    """Work behind the answer is done."""
    assert fastapi.post("/later").status_code == 202
    until(fastapi, "worked")


def test_fastapi_producers_are_cancelled(fastapi: httpx.Client) -> None:
    """When their client leaves."""
    with fastapi.stream("GET", "/endless") as answer:
        assert next(answer.iter_text()) == "begun\n"
    until(fastapi, "cancelled")


def test_fastapi_websockets(fastapi: httpx.Client, start: Callable[..., Tree]) -> None:
    """A conversation, its end, and one that is refused."""
    tree = start("fastapi_site")
    with connect(ws_url(tree, "/ws/one")) as socket:
        for word in ("a", "b"):
            socket.send(word)
            assert socket.recv() == f'{{"room":"one","said":"{word}"}}'
        socket.close(4001)
    until(fastapi, "left with 4001")
    with pytest.raises(InvalidStatus, match="403"):
        connect(ws_url(tree, "/private"))


# --- Starlette


@pytest.fixture
def starlette(start: Callable[..., Tree]) -> Iterator[httpx.Client]:
    """A client of the Starlette application."""
    with client_of(start("starlette_site")) as client:
        yield client


def test_starlette_routes(starlette: httpx.Client) -> None:
    """What the request says about itself."""
    told = starlette.get("/?a=1").json()

    assert told["method"] == "GET"
    assert told["url"] == f"{starlette.base_url}/?a=1"
    assert told["client"] == "127.0.0.1"
    assert told["pool"] == "open"
    assert told["query"] == {"a": "1"}
    assert starlette.get("/inner/where").text == "/inner /inner/where"
    assert starlette.head("/").headers["content-length"]


def test_starlette_streams(starlette: httpx.Client) -> None:
    """Content goes in and out at once."""

    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield b"content " * 1000

    assert starlette.post("/upper", content=pieces()).content == b"CONTENT " * 20_000


def test_starlette_with_anyio(starlette: httpx.Client) -> None:
    """Task groups, deadlines and threads."""
    for _ in range(3):
        assert starlette.get("/together").json() == ["a", "b", True, "thread"]


def test_starlette_websockets(start: Callable[..., Tree]) -> None:
    """With a subprotocol, and a goodbye of the application."""
    tree = start("starlette_site")
    with connect(ws_url(tree, "/echo"), subprotocols=["one", "two"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "one"
        for content in (b"x" * 100_000, b"bye"):
            socket.send(content)
            assert socket.recv() == content
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv()
    goodbye = closed.value.rcvd
    assert goodbye is not None
    assert (goodbye.code, goodbye.reason) == (4000, "asked")


def test_a_root_path(start: Callable[..., Tree]) -> None:
    """Links begin with what a proxy in front has cut."""
    with client_of(start("starlette_site", "mounted", root_path="/api")) as client:
        assert client.get("/where").text == "/api /api/where"


# --- Django


@pytest.mark.parametrize("attribute", ["app", "wsgi"])
def test_django(start: Callable[..., Tree], attribute: str) -> None:
    """Through either interface."""
    with client_of(start("django_site", attribute)) as client:
        told = client.get("/?q=%20", headers={"X-One": "1"}).json()
        assert told["path"] == "/?q=%20"
        assert told["host"] == f"127.0.0.1:{client.base_url.port}"
        assert told["header"] == "1"
        assert client.get("/soon").text == "soon"
        sent = client.post("/form", data={"name": "n"}, files={"file": b"x" * 200_000})
        assert sent.json() == {"name": "n", "size": 200_000}
        assert client.get("/stream", headers={"Accept-Encoding": "identity"}).text == PIECES
        assert client.get("/fail").status_code == 500
        assert client.get("/nowhere").status_code == 404
        assert client.head("/").status_code == 200


# --- Litestar


def test_litestar(start: Callable[..., Tree]) -> None:
    """Routes, dependencies, validation, streams, WebSockets, and what it makes at start."""
    tree = start("litestar_site")
    with client_of(tree) as client:
        assert client.get("/").json() == {"hello": "litestar", "pool": "open"}
        assert client.get("/scaled/21").json() == {"scaled": 42}
        assert client.post("/points", json={"x": 1, "y": 2}).json() == {"x": 2, "y": 1}
        assert client.post("/points", json={"x": "no"}).status_code == 400
        assert client.get("/stream").text == PIECES
        assert client.get("/nowhere").status_code == 404
    with connect(ws_url(tree, "/ws")) as socket:
        socket.send('{"a":1}')
        assert socket.recv() == '{"said":{"a":1}}'


# --- their ends


@pytest.mark.parametrize(
    ("site", "word"),
    [("fastapi_site", "lifespan ended"), ("starlette_site", "pool closed"), ("litestar_site", "pool closed")],
)
def test_applications_end_what_they_began(site: str, word: str) -> None:
    """When the tree is asked to leave, after the last connection."""
    tree = Tree(options={"server": {"handler": f"{site}:app", "num_acceptors": 1}})
    try:
        shutil.copy(HERE / f"{site}.py", tree.directory)
        tree.start()
        assert tree.process is not None
        tree.process.terminate()
        assert tree.process.wait(20) == 0
        assert word in tree.log()
    finally:
        tree.close()
