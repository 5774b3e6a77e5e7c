"""Every example does what it says, over a real socket, on every engine."""

from __future__ import annotations

import importlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

from rocket_sup.adapters.recognition import prepare
from rocket_sup.engine.contract import Engine
from tests.conformance.conftest import engine  # noqa: F401 - a fixture
from tests.examples.serving import Reply, Site, exchange, serve

EXAMPLES = Path(__file__).parents[2] / "examples"
Start = Callable[[str], tuple[Site, ModuleType]]


@pytest.fixture
def start(engine: Engine) -> Iterator[Start]:  # noqa: F811 - the fixture
    """Serve an example by its name, from a module of its own, so that no test sees another's state."""
    with ExitStack() as stack:

        def start(name: str) -> tuple[Site, ModuleType]:
            specification = importlib.util.spec_from_file_location(f"served_{name}", EXAMPLES / f"{name}.py")
            assert specification is not None
            assert specification.loader is not None
            module = importlib.util.module_from_spec(specification)
            specification.loader.exec_module(module)
            return stack.enter_context(serve(prepare(module.app), engine)), module

        yield start


def test_every_example_is_tested() -> None:
    """An example without a test would rot."""
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    examples = {path.stem for path in EXAMPLES.glob("*.py") if not path.stem.startswith("test_")}
    started = set(re.findall(r'start\("(\w+)"\)', tested))
    imported = {
        name
        for names in re.findall(r"^from examples import (.+)$", tested, re.M)
        for name in names.split(", ")
    }
    assert set() == examples - started - imported


def test_hello(start: Start) -> None:
    """Text, JSON out and in, a thread, HEAD, OPTIONS, 405 and the fallback."""
    site, _ = start("hello")

    assert (site.get("/health").status, site.get("/health").text) == (200, "ok")
    assert site.get("/health").headers["content-type"].startswith("text/plain")
    assert site.get("/api/users/42%2F7").json == {"id": "42/7", "name": "Alice"}
    created = site.request("POST", "/api/users", '{"name": "Bob"}', {"Content-Type": "application/json"})
    assert (created.status, created.json) == (201, {"status": "created", "got": {"name": "Bob"}})
    assert site.request("POST", "/api/users", "{").status == 400
    assert site.get("/report").text == "the report\n"
    assert (site.get("/nowhere").status, site.get("/nowhere").text) == (404, "not found")
    assert (site.get("/api/users/%FF").status, site.get("/api/users/%FF").text) == (404, "not found")
    head = site.request("HEAD", "/health")
    assert (head.status, head.headers["content-length"], head.body) == (200, "2", b"")
    wrong = site.request("DELETE", "/health")
    assert (wrong.status, wrong.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    options = site.request("OPTIONS", "/api/users")
    assert (options.status, options.headers["allow"]) == (204, "OPTIONS, POST")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/files/latest", "the latest file"),
        ("/files/7", "file 7"),
        ("/files/7/raw", "in file 7: everything"),
        ("/files/7/raw/a/b", "in file 7: a/b"),
        ("/wiki/en/Caf%C3%A9", "Café (en)"),
        ("/tree/log", "log of the root"),
        ("/tree/a/b/c/log", "log of a/b/c"),
        ("/tree/a/b", "tree a/b"),
        ("/tree", "tree of the root"),
    ],
)
def test_patterns(start: Start, path: str, text: str) -> None:
    """Each kind of segment, and the precedence between them."""
    site, _ = start("patterns")

    assert site.get(path).text == text + "\n"


def test_notes_by_json_and_by_form(start: Start) -> None:
    """Both ways in give the same note; the query finds it; deleting is done once."""
    site, _ = start("notes")
    by_form = site.request(
        "POST",
        "/notes",
        "text=milk+%26+honey&tag=shop&tag=now",
        {"Content-Type": "application/x-www-form-urlencoded"},
    )
    by_json = site.request(
        "POST", "/notes", '{"text": "tea", "tags": ["shop"]}', {"Content-Type": "application/json"}
    )
    milk = {"url": "/notes/1", "text": "milk & honey", "tags": ["shop", "now"]}
    tea = {"url": "/notes/2", "text": "tea", "tags": ["shop"]}

    assert (by_form.status, by_form.headers["location"], by_form.json) == (201, "/notes/1", milk)
    assert (by_json.status, by_json.headers["location"], by_json.json) == (201, "/notes/2", tea)
    assert site.get("/notes?tag=shop").json == [milk, tea]
    assert site.get("/notes?tag=shop&tag=now").json == [milk]
    assert site.get("/notes?limit=1").json == [milk]
    assert site.get("/notes/2").json == tea
    assert site.request("DELETE", "/notes/2").status == 204
    assert site.get("/notes/2").status == 404


@pytest.mark.parametrize(
    ("method", "target", "content_type", "body", "status"),
    [
        ("POST", "/notes", "application/json", "{", 400),
        ("POST", "/notes", "application/json", "[]", 422),
        ("POST", "/notes", "application/json", '{"text": 1}', 422),
        ("POST", "/notes", "application/x-www-form-urlencoded", "text=%FF", 400),
        ("POST", "/notes", "application/x-www-form-urlencoded", "tag=x", 422),
        ("POST", "/notes", "image/png", "x", 415),
        ("POST", "/notes", "", "x", 415),
        ("POST", "/notes", "application/json", "x" * 65537, 413),
        ("POST", "/attachments", "multipart/form-data", "x", 400),
        ("GET", "/notes?limit=x", "", "", 400),
        ("GET", f"/notes?limit={'9' * 5000}", "", "", 400),
        ("GET", f"/notes/{'9' * 5000}", "", "", 404),
        ("GET", "/notes?tag=%zz", "", "", 400),
    ],
)
def test_notes_refuse(
    start: Start, method: str, target: str, content_type: str, body: str, status: int
) -> None:
    """The client's mistakes are the client's: none of them is a 500."""
    site, _ = start("notes")

    assert (
        status
        == site.request(method, target, body, {"Content-Type": content_type} if content_type else {}).status
    )


def test_notes_take_uploads(start: Start) -> None:
    """Fields and files of a multipart form."""
    site, _ = start("notes")
    body = (
        b'--B\r\nContent-Disposition: form-data; name="note"\r\n\r\n2\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="../a.bin"\r\n'
        b"Content-Type: image/png\r\n\r\n\x00\xff\r\n\r\n--B--\r\n"
    )
    reply = site.request("POST", "/attachments", body, {"Content-Type": "multipart/form-data; boundary=B"})

    assert reply.json == {
        "note": "2",
        "files": [{"field": "file", "name": "a.bin", "type": "image/png", "bytes": 4}],
    }


def test_hooks(start: Start) -> None:
    """A token is asked for before routing, one path is dropped, and connections are counted to the end."""
    site, _ = start("hooks")
    token = {"Authorization": "Bearer secret"}
    refused = site.get("/")

    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.json == {"error": "a token is needed"}
    assert site.get("/nowhere").status == 401
    assert site.get("/health").text == "ok"
    assert site.get("/", token).json["connections"] >= 1
    assert site.get("/nowhere", token).status == 404
    with pytest.raises(ConnectionError):
        site.get("/.env")


def test_hooks_limit_a_host(start: Start) -> None:
    """The connection over the limit is closed at once; when one goes, the next is welcome."""
    site, module = start("hooks")
    gone = threading.Semaphore(0)
    module.app.hooks.teardown.append(lambda client, error: gone.release())
    held = [site.connect() for _ in range(module.MOST_PER_HOST)]
    try:
        for connection in held:
            assert exchange(connection, "GET", "/health").status == 200
        with pytest.raises(ConnectionError):
            site.get("/health")
        assert gone.acquire(timeout=5)
        held.pop().close()
        assert gone.acquire(timeout=5)

        assert site.get("/health").status == 200
    finally:
        for connection in held:
            connection.close()


def test_blocking(start: Start) -> None:
    """The slow handler runs in a thread of the service, and others are answered meanwhile."""
    site, module = start("blocking")
    entered, release = threading.Event(), threading.Event()
    derive = module.hashlib.scrypt

    def slow(*arguments: object, **options: object) -> bytes:
        entered.set()
        assert release.wait(10)
        return bytes(derive(*arguments, **options))

    replies: list[Reply] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.hashlib, "scrypt", slow)
        client = threading.Thread(target=lambda: replies.append(site.get("/digest?text=hello")))
        client.start()
        try:
            assert entered.wait(10)
            assert site.get("/health").text == "ok"
        finally:
            release.set()
            client.join(10)

    assert replies[0].json["digest"] == derive(b"hello", salt=b"example", n=2**12, r=8, p=1).hex()
    assert replies[0].json["thread"] != "site"
    assert len(site.get("/both").json) == 2


def test_methods(start: Start) -> None:
    """A custom method is served, listed in Allow, and unknown ones are not implemented."""
    site, _ = start("methods")

    assert site.request("PUT", "/cache/a/b", b"hello").status == 204
    assert site.get("/cache/a/b").body == b"hello"
    assert site.request("HEAD", "/cache/a/b").headers["content-length"] == "5"
    assert site.request("PURGE", "/cache/a").json == {"purged": 1}
    assert site.get("/cache/a/b").status == 404
    assert site.request("OPTIONS", "/cache/a").headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PURGE, PUT"
    assert site.request("POST", "/cache/a").status == 405
    assert site.request("BREW", "/cache/a").status == 501


def test_files(start: Start) -> None:
    """The directory's index, a part of a file, and a handler that is found before the directory."""
    site, _ = start("files")
    page, part = site.get("/"), site.get("/style.css", {"Range": "bytes=0-3"})

    assert "<h1>It flies</h1>" in page.text
    assert "public, max-age=60" == page.headers["cache-control"]
    assert (206, "h1 {") == (part.status, part.text)
    assert site.get("/api/time").json["now"]
    assert 404 == site.get("/../files.py").status


def test_wsgi(start: Start) -> None:
    """Content in, whole and in pieces out."""
    site, _ = start("wsgi")

    assert site.get("/").text.startswith("hello from rocket-sup/")
    assert site.request("POST", "/count", "a\nb\nc").text == "3 lines\n"
    assert site.get("/numbers").text == "0\n1\n2\n"
    assert site.get("/nowhere").status == 404


@pytest.mark.slow
def test_gatekeeper(start: Start) -> None:
    """Versions and methods are refused before routing; a connection has deadlines, and its end is told."""
    site, module = start("gatekeeper")
    ended = threading.Semaphore(0)
    module.app.hooks.teardown.append(lambda client, error: ended.release())
    old = socket.create_connection(("127.0.0.1", site.port), 10)
    with old:
        old.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert b" 505 " in old.recv(1000).partition(b"\r\n")[0]
    wrong = site.request("DELETE", "/")
    slow = socket.create_connection(("127.0.0.1", site.port), 10)
    with slow:
        slow.sendall(b"GET / HT")
        assert b" 408 " in slow.recv(1000).partition(b"\r\n")[0]

    assert (501, "DELETE means nothing here\n") == (wrong.status, wrong.text)
    assert "welcome\n" == site.get("/").text
    for _ in range(4):
        assert ended.acquire(timeout=10)
    ends = site.get("/ends").json
    assert (1, 3) == (ends["RemoteProtocolError"], ends["peace"])


def test_gatekeeper_closes_the_door(start: Start) -> None:
    """A banned host is dropped at once; after the last call nobody comes in."""
    site, module = start("gatekeeper")
    module.banned.add("127.0.0.1")
    with pytest.raises(ConnectionError):
        site.get("/")
    module.banned.clear()

    assert "closing\n" == site.request("POST", "/close").text
    with pytest.raises(ConnectionError):
        site.get("/")


def test_middleware(start: Start) -> None:
    """Every answer has what the chain adds; the innermost may answer for the handler."""
    site, _ = start("middleware")

    for path, fields, status, text in (
        ("/", {}, 200, "hello, nobody\n"),
        ("/", {"X-User": "alice"}, 200, "hello, alice\n"),
        ("/admin", {}, 401, "who are you?\n"),
        ("/admin", {"X-User": "alice"}, 200, '{"user":"alice"}'),
    ):
        reply = site.get(path, {**fields, "X-Request-Id": "7"})
        assert (status, text) == (reply.status, reply.text)
        assert "7" == reply.headers["x-request-id"]
        assert reply.headers["server-timing"].startswith("app;dur=")
    lost = site.get("/nowhere")
    assert (404, 32) == (lost.status, len(lost.headers["x-request-id"]))


def test_injection(start: Start) -> None:
    """Handlers get what they name; what was begun for a request is ended with it."""
    site, module = start("injection")
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    assert {"text": "milk"} == site.request("POST", "/notes", "text=milk", form).json
    assert 422 == site.request("POST", "/notes", "text=", form).status
    assert ["milk"] == site.get("/notes").json
    assert [] == site.get("/notes?limit=0").json
    assert 400 == site.get("/notes?limit=x").status
    module.store.close()


def test_errors(start: Start) -> None:
    """A page for each kind of mistake, in the client's language, escaped."""
    site, _ = start("errors")
    json_please = {"Accept": "application/json"}

    assert (404, "<h1>Not here</h1><p>/nowhere</p>") == (
        (lost := site.get("/nowhere")).status,
        lost.text,
    )
    assert {"error": "Not here", "path": "/nowhere"} == site.get("/nowhere", json_please).json
    assert (405, "GET, HEAD, OPTIONS") == (
        (wrong := site.request("PUT", "/crash")).status,
        wrong.headers["allow"],
    )
    assert (404, "<h1>No item &#x27;7&#x27;</h1><p>/items/7</p>") == (
        (missing := site.get("/items/7")).status,
        missing.text,
    )
    assert "hammer" == site.get("/items/1").text
    assert (500, "Our fault") == ((failed := site.get("/crash", json_please)).status, failed.json["error"])


def test_hosts(start: Start) -> None:
    """Each host has its routes; those of the application come first on all."""
    site, _ = start("hosts")

    assert "the shop\n" == site.get("/", {"Host": "shop.example"}).text
    assert {"post": "7"} == site.get("/posts/7", {"Host": "Blog.Example:80"}).json
    assert 404 == site.get("/posts/7", {"Host": "shop.example"}).status
    assert 421 == site.get("/", {"Host": "other.example"}).status
    assert "ok\n" == site.get("/health", {"Host": "other.example"}).text


def test_slashes(start: Start) -> None:
    """One of both is the address, the other leads there."""
    site, _ = start("slashes")

    for path, location in (("/about/?page=2", "/about?page=2"), ("/docs", "/docs/")):
        moved = site.get(path)
        assert (308, location) == (moved.status, moved.headers["location"])
    assert ("about\n", "docs\n") == (site.get("/about").text, site.get("/docs/").text)


def test_cors(start: Start) -> None:
    """Known origins are told so, on every answer and before what needs asking; others get the answer only."""
    site, _ = start("cors")
    known, unknown = {"Origin": "https://app.example"}, {"Origin": "https://evil.example"}
    asking = {"Access-Control-Request-Method": "PUT"}
    allowed = "access-control-allow-origin"

    before = site.request("OPTIONS", "/items", headers={**known, **asking})
    assert (204, "https://app.example") == (before.status, before.headers[allowed])
    assert "PUT" in before.headers["access-control-allow-methods"]
    assert allowed not in site.request("OPTIONS", "/items", headers={**unknown, **asking}).headers
    assert 204 == site.request("PUT", "/items", '["a"]', known).status
    assert (["a"], "https://app.example") == ((got := site.get("/items", known)).json, got.headers[allowed])
    assert (["a"], None) == ((got := site.get("/items", unknown)).json, got.headers.get(allowed))
    assert "https://app.example" == site.get("/nowhere", known).headers[allowed]
    assert "GET, HEAD, OPTIONS, PUT" == site.request("OPTIONS", "/items").headers["allow"]
