"""Files of a directory over a real socket, on every engine: what is sent, what is not, and what never is."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rocket_sup.request import Request
from rocket_sup.response import Response
from rocket_sup.router import Router
from tests.conformance.server import Answer, Client, Server

Serve = Callable[..., Server]
LONG_AGO = 1_000_000_000  # Sun, 09 Sep 2001 01:46:40 GMT
DATE = "Sun, 09 Sep 2001 01:46:40 GMT"
LARGE = bytes(range(256)) * 1024  # 256 KiB, so that it is not kept in memory


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with something of everything."""
    root = tmp_path / "site"
    (root / "docs").mkdir(parents=True)
    (root / "empty").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    for name, content in {
        "index.html": b"<p>home",
        "hello.txt": b"Hello, file!",
        "void.txt": b"",
        "a b&c.txt": b"odd",
        "caf\u00e9.txt": b"accent",
        "docs/index.html": b"<p>docs",
        "app.js": b"let answer = 42;" * 100,
        "large.bin": LARGE,
        ".hidden": b"hidden",
    }.items():
        (root / name).write_bytes(content)
        os.utime(root / name, (LONG_AGO, LONG_AGO))
    return root


@pytest.fixture
def files(serve: Serve, site: Path) -> Client:
    """A connection to a server of that directory."""
    return serve(router_of(site)).connect()


def router_of(site: Path, prefix: str = "/s", **options: object) -> Router:
    """Serve a directory, and a fallback-less rest."""
    app = Router()
    app.static(prefix, site, **options)  # type: ignore[arg-type]  # the tests name them
    return app


def get(client: Client, target: str, *fields: str, method: str = "GET") -> Answer:
    """Ask for something."""
    lines = "".join(f"{field}\r\n" for field in fields)
    client.send(f"{method} {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode("latin-1"))
    return client.read(to=method)


def test_a_file_has_its_content_type_length_and_validators(files: Client) -> None:
    """The first and every further answer are the same."""
    for _ in range(3):
        answer = get(files, "/s/hello.txt")

        assert (200, b"Hello, file!") == (answer.status, answer.body)
        assert "text/plain; charset=utf-8" == answer.get("content-type")
        assert DATE == answer.get("last-modified")
        assert (answer.get("etag") or "").startswith('"')
        assert "bytes" == answer.get("accept-ranges")


def test_head_is_get_without_content(files: Client) -> None:
    """The same fields, and the length; for small files and large ones."""
    for name in ("hello.txt", "large.bin", "void.txt"):
        whole = get(files, f"/s/{name}")
        head = get(files, f"/s/{name}", method="HEAD")

        undated = [[pair for pair in each.fields if pair[0] != "Date"] for each in (whole, head)]
        assert undated[0] == undated[1]
        assert b"" == head.body


def test_a_large_file_is_whole(files: Client) -> None:
    """Byte for byte, and the connection goes on."""
    for _ in range(2):
        assert LARGE == get(files, "/s/large.bin").body

    assert b"Hello, file!" == get(files, "/s/hello.txt").body


def test_pipelined_files_come_in_order(files: Client) -> None:
    """Small ones between large ones."""
    names = ["large.bin", "hello.txt", "large.bin", "void.txt", "hello.txt"]
    files.send(b"".join(f"GET /s/{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for name in names))

    assert [len(LARGE), 12, len(LARGE), 0, 12] == [len(files.read().body) for _ in names]


def test_other_methods_are_not_allowed(files: Client) -> None:
    """As for any route."""
    answer = get(files, "/s/hello.txt", "Content-Length: 0", method="POST")

    assert (405, "GET, HEAD, OPTIONS") == (answer.status, answer.get("allow"))


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/s/a%20b&c.txt", b"odd"),
        ("/s/caf%C3%A9.txt", b"accent"),
        ("/%73/hello.txt", b"Hello, file!"),
        ("/s/hell%6F.txt?query=1", b"Hello, file!"),
    ],
)
def test_paths_are_decoded_once(files: Client, target: str, body: bytes) -> None:
    """A file has as many spellings as percent-encoding gives it."""
    assert body == get(files, target).body


@pytest.mark.parametrize(
    "path",
    [
        *(
            "../secret.txt",
            "docs/../../secret.txt",
            "%2e%2e/secret.txt",
            "..%2fsecret.txt",
            "%2e%2e%2fsecret.txt",
        ),
        *("..%5csecret.txt", "..%255csecret.txt", "%252e%252e/secret.txt", "docs/%2e%2e/hello.txt"),
        *("./hello.txt", "docs/./index.html", "docs//index.html", "/etc/passwd", "%2fetc%2fpasswd"),
        *("hello.txt%00", "hello.txt%00.html", "%00", "hello.txt/", "hello.txt/x", "hello.txt%2f"),
        *("..%c0%afsecret.txt", "%c0%ae%c0%ae/secret.txt", "..%ef%bc%8fsecret.txt", "%ff", "%", "%zz"),
        *(".hidden", "%2ehidden", ".git/config", "nothing", "empty", "empty/", "x" * 300, "a/" * 200),
    ],
)
def test_nothing_else_is_found(files: Client, path: str) -> None:
    """Tricks with dots, slashes, NUL, encodings and names end where every unknown path ends."""
    answer = get(files, f"/s/{path}")

    assert 404 == answer.status
    assert b"secret" not in answer.body
    assert b"root:" not in answer.body


def test_what_is_no_file_goes_to_the_fallback(serve: Serve, site: Path) -> None:
    """The application says what is not found, also with a coroutine."""
    app = router_of(site, "/")

    @app.fallback
    async def nothing(req: object) -> tuple[int, str]:
        return 404, "not here"

    answer = get(serve(app).connect(), "/nothing")

    assert (404, b"not here") == (answer.status, answer.body)


def test_links_out_of_the_directory_are_refused_unless_allowed(
    serve: Serve, site: Path, tmp_path: Path
) -> None:
    """A link that stays inside is a file like others."""
    (site / "out.txt").symlink_to(tmp_path / "secret.txt")
    (site / "up").symlink_to("..")
    (site / "in.txt").symlink_to("hello.txt")
    (site / "dots.txt").symlink_to(".hidden")
    (site / "circle").symlink_to("circle")
    strict = serve(router_of(site)).connect()
    open_ = serve(router_of(site, follow_symlinks=True)).connect()

    for path in ("out.txt", "up/secret.txt", "dots.txt", "circle"):
        assert 404 == get(strict, f"/s/{path}").status
    assert b"Hello, file!" == get(strict, "/s/in.txt").body
    assert b"secret" == get(open_, "/s/out.txt").body
    assert b"secret" == get(open_, "/s/up/secret.txt").body


def test_the_directory_itself_may_be_a_link_that_moves(serve: Serve, tmp_path: Path) -> None:
    """A new version takes its place without a restart."""
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "v.txt").write_text(version)
    (tmp_path / "current").symlink_to("one")
    client = serve(router_of(tmp_path / "current")).connect()
    assert b"one" == get(client, "/s/v.txt").body

    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "current")

    assert b"two" == get(client, "/s/v.txt").body


def test_only_regular_files_are_served(files: Client, site: Path) -> None:
    """A pipe would block, a socket is somebody else's."""
    os.mkfifo(site / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(site / "sock"))

        assert 404 == get(files, "/s/pipe").status
        assert 404 == get(files, "/s/sock").status


@pytest.mark.skipif(os.geteuid() == 0, reason="this user may read everything")
def test_a_file_that_may_not_be_read_is_not_there(files: Client, site: Path) -> None:
    """The answer does not tell that it exists."""
    (site / "hello.txt").chmod(0)

    assert 404 == get(files, "/s/hello.txt").status


def test_a_directory_is_its_index(files: Client) -> None:
    """With a slash at the end; without it the client is sent there, query included."""
    assert b"<p>home" == get(files, "/s/").body
    assert b"<p>docs" == get(files, "/s/docs/").body
    for path, location in (("/s", "/s/"), ("/s/docs", "/s/docs/"), ("/s/docs?a=b", "/s/docs/?a=b")):
        answer = get(files, path)
        assert (301, location) == (answer.status, answer.get("location"))


def test_no_redirect_leads_to_another_host(serve: Serve, site: Path) -> None:
    """`//docs` would be the host `docs`."""
    (site / "evil.example").mkdir()
    (site / "evil.example" / "index.html").write_text("x")
    client = serve(router_of(site, "/")).connect()

    for path in ("//evil.example", "//evil.example/", "/%2fevil.example", "/%5cevil.example", "///docs"):
        assert 404 == get(client, path).status, path


def test_hidden_files_are_served_on_request_only(serve: Serve, site: Path) -> None:
    """`.well-known` is meant to be seen."""
    (site / ".well-known").mkdir()
    (site / ".well-known" / "token").write_text("token")
    closed = serve(router_of(site)).connect()
    opened = serve(router_of(site, dotfiles=True)).connect()

    assert b"token" == get(closed, "/s/.well-known/token").body
    assert 404 == get(closed, "/s/.hidden").status
    assert b"hidden" == get(opened, "/s/.hidden").body


def test_a_changed_file_is_seen_at_once(files: Client, site: Path) -> None:
    """Rewritten, replaced, grown to be large, shrunk, and gone."""
    name = site / "hello.txt"
    for content in (b"two", b"2wo", LARGE, b"small again"):
        name.write_bytes(content)
        assert content == get(files, "/s/hello.txt").body
    (site / "new").write_bytes(b"replaced")
    (site / "new").replace(name)
    assert b"replaced" == get(files, "/s/hello.txt").body

    name.unlink()

    assert 404 == get(files, "/s/hello.txt").status


# -- RFC 9110 §13: conditions


def test_rfc9110_13_1_what_is_known_is_not_sent_again(files: Client) -> None:
    """304 has the fields a cache needs, and no others."""
    for name in ("hello.txt", "large.bin"):
        etag = get(files, f"/s/{name}").get("etag")
        for field in (f"If-None-Match: {etag}", f'If-None-Match: "x", W/{etag}', "If-None-Match: *"):
            answer = get(files, f"/s/{name}", field)
            assert (304, etag) == (answer.status, answer.get("etag"))
            assert None is answer.get("content-type")
        assert 304 == get(files, f"/s/{name}", f"If-Modified-Since: {DATE}").status
        assert 304 == get(files, f"/s/{name}", f"If-None-Match: {etag}", method="HEAD").status


def test_rfc9110_13_1_what_changed_is_sent(files: Client) -> None:
    """An entity tag that differs outweighs a date that does not."""
    for fields in (
        ['If-None-Match: "x"'],
        ['If-None-Match: "x"', f"If-Modified-Since: {DATE}"],
        ["If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT"],
        ["If-Modified-Since: yesterday"],
    ):
        assert b"Hello, file!" == get(files, "/s/hello.txt", *fields).body


def test_rfc9110_13_1_what_is_not_as_expected_is_refused(files: Client) -> None:
    """412 for If-Match and If-Unmodified-Since."""
    etag = get(files, "/s/hello.txt").get("etag")

    for name in ("hello.txt", "large.bin"):
        assert 412 == get(files, f"/s/{name}", 'If-Match: "x"').status
    assert 412 == get(files, "/s/hello.txt", f"If-Match: W/{etag}").status
    assert 412 == get(files, "/s/hello.txt", "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT").status
    assert 200 == get(files, "/s/hello.txt", f"If-Match: {etag}").status
    assert 200 == get(files, "/s/hello.txt", f"If-Unmodified-Since: {DATE}").status


# -- RFC 9110 §14: ranges


@pytest.mark.parametrize(
    ("range_", "content_range", "start", "end"),
    [
        ("bytes=0-0", "bytes 0-0/262144", 0, 1),
        ("bytes=5-", "bytes 5-262143/262144", 5, None),
        ("bytes=-7", "bytes 262137-262143/262144", -7, None),
        ("bytes=100000-200000", "bytes 100000-200000/262144", 100000, 200001),
        ("bytes=262143-999999999999999999999", "bytes 262143-262143/262144", 262143, None),
        ("bytes=-999999999", "bytes 0-262143/262144", 0, None),
    ],
)
def test_rfc9110_14_one_range(
    files: Client, range_: str, content_range: str, start: int, end: int | None
) -> None:
    """206 with what was asked for, from the file and from memory."""
    answer = get(files, "/s/large.bin", f"Range: {range_}")

    assert (206, content_range) == (answer.status, answer.get("content-range"))
    assert LARGE[start:end] == answer.body
    assert b"ell" == get(files, "/s/hello.txt", "Range: bytes=1-3").body


def test_rfc9110_14_several_ranges_are_parts_of_one_answer(files: Client) -> None:
    """Each with its own Content-Range; the length is right, as the next answer shows."""
    answer = get(files, "/s/large.bin", "Range: bytes=0-3, 1000-1003, -4")
    kind, _, boundary = (answer.get("content-type") or "").partition("; boundary=")

    assert (206, "multipart/byteranges") == (answer.status, kind)
    part = "--{}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {}/262144\r\n\r\n"
    expected = (
        part.format(boundary, "0-3").encode() + LARGE[:4]
        + b"\r\n" + part.format(boundary, "1000-1003").encode() + LARGE[1000:1004]
        + b"\r\n" + part.format(boundary, "262140-262143").encode() + LARGE[-4:]
        + f"\r\n--{boundary}--\r\n".encode()
    )  # fmt: skip
    assert expected == answer.body
    assert 200 == get(files, "/s/hello.txt").status


def test_rfc9110_14_ranges_that_overlap_become_one(files: Client) -> None:
    """A thousand times the same bytes are sent once; too many ranges are no range."""
    answer = get(files, "/s/large.bin", "Range: bytes=0-99, 50-149, 100-199")

    assert "bytes 0-199/262144" == answer.get("content-range")
    assert 200 == get(files, "/s/large.bin", f"Range: bytes={','.join(['0-'] * 1000)}").status


def test_rfc9110_14_4_a_range_that_is_not_there(files: Client) -> None:
    """416 says how much there is."""
    for name, size in (("hello.txt", 12), ("large.bin", 262144)):
        answer = get(files, f"/s/{name}", f"Range: bytes={size}-")
        assert (416, f"bytes */{size}") == (answer.status, answer.get("content-range"))


def test_rfc9110_14_2_what_is_no_range_is_ignored(files: Client) -> None:
    """Other units, malformed ones, HEAD, and empty files."""
    for range_ in ("lines=0-1", "bytes=3-1", "bytes=", "bytes=a-b", "bytes=--1", "bytes"):
        assert 200 == get(files, "/s/hello.txt", f"Range: {range_}").status
    assert 200 == get(files, "/s/hello.txt", "Range: bytes=0-0", method="HEAD").status
    assert 200 == get(files, "/s/void.txt", "Range: bytes=0-0").status


def test_rfc9110_13_1_5_a_part_belongs_to_what_the_client_has(files: Client) -> None:
    """If-Range: else the whole."""
    etag = get(files, "/s/hello.txt").get("etag")

    for field, status in ((etag, 206), (DATE, 206), ('"x"', 200), (f"W/{etag}", 200), ("never", 200)):
        assert status == get(files, "/s/hello.txt", "Range: bytes=0-0", f"If-Range: {field}").status


# -- compressed siblings


@pytest.fixture
def coded(site: Path) -> Path:
    """Siblings of one file."""
    for end, content in ((".br", b"as brotli"), (".zst", b"as zstandard"), (".gz", b"as gzip")):
        (site / f"app.js{end}").write_bytes(content)
    return site


@pytest.mark.parametrize(
    ("accepted", "coding", "body"),
    [
        ("gzip, deflate, br, zstd", "br", b"as brotli"),
        ("gzip", "gzip", b"as gzip"),
        ("x-gzip", "gzip", b"as gzip"),
        ("br;q=0.5, gzip;q=0.9, zstd;q=0.6", "gzip", b"as gzip"),
        ("*", "br", b"as brotli"),
        ("*;q=0.5, br;q=0", "zstd", b"as zstandard"),
        ("identity, gzip;q=0.5", None, None),
        ("deflate", None, None),
        ("gzip;q=0", None, None),
    ],
)
def test_a_compressed_sibling_is_sent_to_who_takes_it(
    coded: Path, files: Client, accepted: str, coding: str | None, body: bytes | None
) -> None:
    """With the type of the original, an entity tag of its own, and Vary."""
    plain = get(files, "/s/app.js")
    for _ in range(2):
        answer = get(files, "/s/app.js", f"Accept-Encoding: {accepted}")

        assert coding == answer.get("content-encoding")
        assert (body or plain.body) == answer.body
        assert ("text/javascript; charset=utf-8", "Accept-Encoding") == (
            answer.get("content-type"),
            answer.get("vary"),
        )
        assert (plain.get("etag") == answer.get("etag")) is (coding is None)


def test_a_stale_sibling_is_not_sent(coded: Path, files: Client) -> None:
    """Once the original is newer, it is sent, whatever lies beside it."""
    assert b"as gzip" == get(files, "/s/app.js", "Accept-Encoding: gzip").body
    os.utime(coded / "app.js.gz", (LONG_AGO, LONG_AGO))
    (coded / "app.js").write_bytes(b"let answer = 43;" * 100)

    assert b"let answer = 43;" * 100 == get(files, "/s/app.js", "Accept-Encoding: gzip").body


def test_siblings_can_be_left_alone(serve: Serve, coded: Path) -> None:
    """`precompressed=False`; asked for by its own name, a sibling is a file."""
    client = serve(router_of(coded, precompressed=False)).connect()
    answer = get(client, "/s/app.js", "Accept-Encoding: br")

    assert (None, None) == (answer.get("content-encoding"), answer.get("vary"))
    assert "application/gzip" == get(client, "/s/app.js.gz").get("content-type")


# -- options


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"cache_control": "no-cache"}, "no-cache"),
        ({"max_age": 60}, "public, max-age=60"),
        ({"immutable": True}, "public, max-age=31536000, immutable"),
    ],
)
def test_cache_control(serve: Serve, site: Path, options: dict[str, object], expected: str | None) -> None:
    """Also on a 304."""
    client = serve(router_of(site, **options)).connect()

    assert expected == get(client, "/s/hello.txt").get("cache-control")
    assert expected == get(client, "/s/hello.txt", "If-None-Match: *").get("cache-control")


def test_clean_addresses_and_applications_in_the_browser(serve: Serve, site: Path) -> None:
    """`html=True` finds `/about.html` for `/about`; `spa=True` gives the index for what is no file."""
    (site / "about.html").write_text("about")
    clean = serve(router_of(site, html=True)).connect()
    spa = serve(router_of(site, "/", spa=True)).connect()

    assert b"about" == get(clean, "/s/about").body
    assert 404 == get(clean, "/s/other").status
    assert b"<p>home" == get(spa, "/users/7").body
    assert 404 == get(spa, "/missing.js").status


def test_a_listing_shows_names_and_nothing_hidden(serve: Serve, site: Path) -> None:
    """Only where there is no index, and only when asked for; names are escaped."""
    (site / "empty" / "<b>&x").write_text("x")
    (site / "empty" / ".hidden").write_text("x")
    client = serve(router_of(site, listing=True)).connect()
    answer = get(client, "/s/empty/")

    assert "text/html; charset=utf-8" == answer.get("content-type")
    assert b'<a href="./%3Cb%3E%26x">&lt;b&gt;&amp;x</a>' in answer.body
    assert b"hidden" not in answer.body
    assert b"<p>home" == get(client, "/s/").body


def test_types_and_fields_of_ones_own(serve: Serve, site: Path) -> None:
    """`media_types` by the end of a name, `headers` on every answer."""
    (site / "x.foo").write_text("x")
    options = {"media_types": {".foo": "text/x-foo"}, "headers": {"X-One": "1"}}
    answer = get(serve(router_of(site, **options)).connect(), "/s/x.foo")

    assert ("text/x-foo; charset=utf-8", "1") == (answer.get("content-type"), answer.get("x-one"))


# -- with a client that others wrote


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_resumes_a_download(serve: Serve, site: Path, tmp_path: Path) -> None:
    """`curl -C -` asks for the rest of what it has."""
    host, port = serve(router_of(site)).address
    (tmp_path / "part").write_bytes(LARGE[:100_000])
    command = ["curl", "-sS", "-C", "-", "-o", str(tmp_path / "part"), f"http://{host}:{port}/s/large.bin"]
    subprocess.run(command, check=True, timeout=10)

    assert LARGE == (tmp_path / "part").read_bytes()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_keeps_what_it_has(serve: Serve, site: Path, tmp_path: Path) -> None:
    """`curl --etag-compare` gets a 304 the second time."""
    host, port = serve(router_of(site)).address
    command = [
        *("curl", "-sS", "-w", "%{http_code}", "-o", str(tmp_path / "got")),
        *("--etag-save", str(tmp_path / "etag"), "--etag-compare", str(tmp_path / "etag")),
        f"http://{host}:{port}/s/hello.txt",
    ]
    codes = [
        subprocess.run(command, check=True, timeout=10, capture_output=True, text=True).stdout
        for _ in range(2)
    ]

    assert ["200", "304"] == codes


# -- files that handlers answer with


@pytest.fixture
def handed(serve: Serve, site: Path) -> Client:
    """A server whose handlers answer with files, in each way of being called."""
    app = Router()

    @app.get("/plain/:name")
    def plain(req: Request) -> Response:
        return Response.file(site / req.path_params["name"], req, headers={"Cache-Control": "no-cache"})

    @app.get("/async/:name")
    async def soon(req: Request) -> Response:
        return Response.file(site / req.path_params["name"], req)

    @app.get("/thread/:name", blocking=True)
    def in_thread(req: Request) -> Response:
        return Response.file(site / req.path_params["name"], req)

    @app.get("/kept/:name")
    def kept(req: Request) -> Response:
        return Response.file(
            site / req.path_params["name"], download="caf\u00e9.txt", media_type="text/x-odd"
        )

    return serve(app).connect()


@pytest.mark.parametrize("way", ["plain", "async", "thread"])
@pytest.mark.parametrize(("name", "content"), [("hello.txt", b"Hello, file!"), ("large.bin", LARGE)])
def test_a_handler_answers_with_a_file(handed: Client, way: str, name: str, content: bytes) -> None:
    """Whole, not again, in part, in parts, for HEAD, and refused."""
    path = f"/{way}/{name}"
    whole = get(handed, path)
    assert (200, content) == (whole.status, whole.body)
    assert DATE == whole.get("last-modified")

    assert 304 == get(handed, path, f"If-None-Match: {whole.get('etag')}").status
    assert (206, content[2:5]) == ((part := get(handed, path, "Range: bytes=2-4")).status, part.body)
    assert 412 == get(handed, path, 'If-Match: "x"').status
    missing = get(handed, path, f"Range: bytes={len(content)}-")
    assert (416, f"bytes */{len(content)}") == (missing.status, missing.get("content-range"))
    head = get(handed, path, method="HEAD")
    assert (str(len(content)), b"") == (head.get("content-length"), head.body)
    if name == "large.bin":
        parts = get(handed, path, "Range: bytes=0-1,100000-100001")
        assert (parts.get("content-type") or "").startswith("multipart/byteranges; boundary=")
        assert content[100000:100002] in parts.body


def test_a_download_has_a_name(handed: Client) -> None:
    """In any script, with a type of one's own; without the request there are no conditions."""
    answer = get(handed, "/kept/hello.txt", "If-None-Match: *", "Range: bytes=0-0")

    assert (200, "text/x-odd") == (answer.status, answer.get("content-type"))
    expected = "attachment; filename=\"caf_.txt\"; filename*=UTF-8''caf%C3%A9.txt"
    assert expected == answer.get("content-disposition")
    assert "no-cache" == get(handed, "/plain/hello.txt", "If-None-Match: *").get("cache-control")


def test_a_file_that_is_not_there_is_the_handlers_matter(handed: Client) -> None:
    """It asked for it: 500, unless it says something else."""
    assert 500 == get(handed, "/plain/nothing").status


def test_a_file_truncated_while_it_is_sent_cuts_the_connection(serve: Serve, tmp_path: Path) -> None:
    """What has come cannot look whole."""
    root = tmp_path / "big"
    root.mkdir()
    size = 64 * 1024 * 1024  # more than all buffers between us
    with open(root / "x", "wb") as file:
        file.truncate(size)
    client = serve(router_of(root)).connect()
    client.send(b"GET /s/x HTTP/1.1\r\nHost: a\r\n\r\n")
    first = client.socket.recv(65536)
    assert first.startswith(b"HTTP/1.1 200 OK\r\n")

    os.truncate(root / "x", 1000)

    received = len(first)
    try:
        while piece := client.socket.recv(1 << 20):
            received += len(piece)
    except ConnectionResetError:
        pass
    assert received < size


def test_a_file_replaced_while_it_is_sent_stays_what_it_was(serve: Serve, tmp_path: Path) -> None:
    """The open file is sent to its end; the next answer is the new one."""
    root = tmp_path / "big"
    root.mkdir()
    (root / "x").write_bytes(b"a" * 32_000_000)
    client = serve(router_of(root)).connect()
    client.send(b"GET /s/x HTTP/1.1\r\nHost: a\r\n\r\n")
    (tmp_path / "new").write_bytes(b"b" * 100_000)
    (tmp_path / "new").replace(root / "x")
    body = client.read().body

    assert body in (b"a" * 32_000_000, b"b" * 100_000)
    assert b"b" * 100_000 == get(client, "/s/x").body


def open_names() -> set[str]:
    """What this process has open."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:
            continue
    return found


def test_descriptors_are_given_back(serve: Serve, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After whole answers, parts, HEAD, 304, and clients that leave in the middle."""
    monkeypatch.setattr("rocket_sup.static.KEPT_S", 0.02)
    (site / "huge").touch()
    os.truncate(site / "huge", 256 * 1024 * 1024)
    server = serve(router_of(site))
    client = server.connect()
    get(client, "/s/large.bin")

    for _ in range(3):
        get(client, "/s/large.bin")
        get(client, "/s/large.bin", method="HEAD")
        get(client, "/s/large.bin", "If-None-Match: *")
        get(client, "/s/large.bin", "Range: bytes=0-0,5000-5001")
        leaving = server.connect().send(b"GET /s/huge HTTP/1.1\r\nHost: a\r\n\r\n")
        leaving.socket.recv(1000)
        leaving.close()

    server.wait_until(lambda: not {str(site / "large.bin"), str(site / "huge")} & open_names())


def test_a_directory_of_a_mounted_router(serve: Serve, site: Path) -> None:
    """The prefix of the mount is before its own, also in redirects."""
    outer = Router()
    outer.mount("/in/a", router_of(site))
    outer.mount("/whole", router_of(site, "/"))
    client = serve(outer).connect()

    assert b"Hello, file!" == get(client, "/in/a/s/hello.txt").body
    assert b"<p>docs" == get(client, "/in/a/s/docs/").body
    assert "/in/a/s/docs/" == get(client, "/in/a/s/docs").get("location")
    assert "/in/a/s/" == get(client, "/in/a/s").get("location")
    assert b"Hello, file!" == get(client, "/whole/hello.txt").body
    assert b"<p>home" == get(client, "/whole/").body
    assert 404 == get(client, "/in/a/hello.txt").status


@pytest.mark.slow
def test_clients_that_do_not_read_hold_nothing_but_a_file(serve: Serve, tmp_path: Path) -> None:
    """Memory stays flat, and when their time is over connections and file are gone."""
    root = tmp_path / "big"
    root.mkdir()
    (root / "x").touch()
    os.truncate(root / "x", 256 * 1024 * 1024)
    server = serve(router_of(root), timeouts={"write": 0.5, "body_min_rate": 0})
    for _ in range(20):
        server.connect().send(b"GET /s/x HTTP/1.1\r\nHost: a\r\n\r\n")
    server.wait_until(lambda: server.wire.connection_count() == 20)
    assert sum(server.call(server.wire.held_bytes)) < 16_000_000  # of 5 GB asked for

    server.wait_until(lambda: server.wire.connection_count() == 0)
    server.wait_until(lambda: str(root / "x") not in open_names())
    assert sum(server.call(server.wire.held_bytes)) == 0
