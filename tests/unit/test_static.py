"""The handler of a directory: options, what is remembered, and files that change under it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rocket_sup.config import Config
from rocket_sup.errors import LocalProtocolError
from rocket_sup.filebody import MAX_WHOLE, SharedSource
from rocket_sup.http.framing import parse_head
from rocket_sup.pattern import RouteError, parse_pattern, split_path
from rocket_sup.request import Request
from rocket_sup.response import Answer, Response
from rocket_sup.static import StaticFiles, StaticOptions, names_below

LONG_AGO = 1_000_000_000


def request(path: str, fields: str = "") -> Request:
    """A GET."""
    head = parse_head(f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode(), 0, Config().limits)
    assert head is not None
    made = Request(head, "")
    pattern = parse_pattern("/s/**" if path == "/s" or path.startswith("/s/") else "/**")
    made.path_params = pattern.match(split_path(path) or []) or {}
    return made


def handler(root: Path, prefix: str = "/", **options: object) -> StaticFiles:
    """A handler of a directory; what is not found is the text "none"."""
    return StaticFiles(
        prefix,
        root,
        StaticOptions(**options),  # type: ignore[arg-type]  # the tests name them
        not_found=lambda _request: "none",
    )


def file(root: Path, name: str = "x.txt", content: bytes = b"x") -> Path:
    """A file that was left alone for long."""
    path = root / name
    path.write_bytes(content)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe every file to be settled."""
    monkeypatch.setattr("rocket_sup.static.SETTLED_S", -1.0)


def content(answer: object) -> bytes:
    """The content of an answer."""
    assert isinstance(answer, Answer)
    return answer.body


def test_a_small_file_is_answered_by_the_same_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made once, shared by all requests as long as the file is as it was."""
    settle(monkeypatch)
    file(tmp_path)
    static = handler(tmp_path)
    first = static(request("/x.txt"))
    shared = static(request("/x.txt"))

    assert b"x" == content(first)
    assert shared is static(request("/x.txt", "Accept: */*\r\n"))
    assert shared is not static(request("/x.txt", "rAnge: bytes=0-0\r\n"))
    file(tmp_path, content=b"y")
    assert b"y" == content(static(request("/x.txt")))


def test_what_was_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    """Within a tick of the file system's clock it could change and look the same."""
    static = handler(tmp_path)
    (tmp_path / "x.txt").write_bytes(b"x")
    moment = os.stat(tmp_path / "x.txt").st_ctime

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: moment + 0.01)
        static(request("/x.txt"))
        assert 0 == len(static.cache)
        patch.setattr("time.time", lambda: moment + 1.0)
        static(request("/x.txt"))
        assert 1 == len(static.cache)


def test_a_sibling_that_comes_later_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once: a path is looked up anew after some seconds."""
    settle(monkeypatch)
    now = 0.0
    monkeypatch.setattr("rocket_sup.static._monotonic", lambda: now)
    file(tmp_path, content=b"x" * 100)
    static = handler(tmp_path)
    asked = request("/x.txt", "Accept-Encoding: gzip\r\n")
    static(asked)
    file(tmp_path, "x.txt.gz", b"small")

    assert 100 == len(content(static(asked)))
    now = 6.0
    assert b"small" == content(static(asked))


def test_a_sibling_must_be_of_this_state_and_smaller(tmp_path: Path) -> None:
    """Else it is a file of its own."""
    file(tmp_path, content=b"x" * 10)
    file(tmp_path, "x.txt.gz", b"x" * 10)
    stale = file(tmp_path, "x.txt.br", b"b")
    os.utime(stale, (LONG_AGO - 1, LONG_AGO - 1))
    (tmp_path / "x.txt.zst").mkdir()

    assert b"x" * 10 == content(handler(tmp_path)(request("/x.txt", "Accept-Encoding: *\r\n")))


def test_large_files_are_described_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what they are is remembered, and one that changed is described as it is when it is opened."""
    settle(monkeypatch)
    large = b"x" * (MAX_WHOLE + 1)
    file(tmp_path, content=large)
    static = handler(tmp_path)
    answers = [static(request("/x.txt")) for _ in range(2)]
    assert static.cache.held_bytes < 10_000

    file(tmp_path, content=large + b"y")
    changed = static(request("/x.txt"))

    assert all(isinstance(each, Answer) for each in (*answers, changed))
    assert [MAX_WHOLE + 1, MAX_WHOLE + 1, MAX_WHOLE + 2] == [each.length for each in (*answers, changed)]  # type: ignore[attr-defined]
    (tmp_path / "x.txt").unlink()
    assert "none" == static(request("/x.txt"))


def test_a_small_file_that_shrinks_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is not what was announced: each request opens it, until it is looked up anew."""
    settle(monkeypatch)
    file(tmp_path, content=b"xx")
    static = handler(tmp_path)
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: pread(fd, 1, at) if at == 0 else b"")
    static(request("/x.txt"))
    monkeypatch.undo()

    answer = static(request("/x.txt"))

    assert isinstance(answer, Answer)
    assert (2, True) == (answer.length, answer.source is not None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", 301),
        ("/a", 301),
        ("/a/", 200),
        ("/b", "none"),
        ("/b/", "none"),
        ("/../x", "none"),
    ],
)
def test_directories(tmp_path: Path, path: str, expected: object) -> None:
    """One with an index is found with or without its slash, one without is not there."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "index.html").write_text("a")
    (tmp_path / "index.html").write_text("top")
    static = handler(tmp_path, "/s")
    answer = static(request(f"/s{path}" if path != "/" else "/s"))

    assert expected == (answer.status if isinstance(answer, Answer | Response) else answer)


def test_without_an_index_nothing_stands_for_a_directory(tmp_path: Path) -> None:
    """`index=None`; a listing does, when it is asked for."""
    file(tmp_path, "index.html")

    assert "none" == handler(tmp_path, index=None)(request("/"))
    assert "none" == handler(tmp_path, "/s", index=None)(request("/s"))
    listed = handler(tmp_path, "/s", index=None, listing=True)
    assert isinstance(listed(request("/s/")), Response)
    assert "none" == listed(request("/s/nowhere/"))
    redirect = listed(request("/s"))
    assert isinstance(redirect, Response)
    assert "/s/" == redirect.headers["Location"]


def test_pages_of_an_application_in_the_browser_are_not_remembered(tmp_path: Path) -> None:
    """As many paths as a client likes stand for one file."""
    static = handler(tmp_path, spa=True)
    assert "none" == static(request("/users"))
    file(tmp_path, "index.html", b"<p>")

    assert b"<p>" == content(static(request("/users")))
    assert b"<p>" == content(static(request("/users/")))
    assert 0 == len(static.cache)
    assert "none" == static(request("/users.css"))


@pytest.mark.parametrize("prefix", ["/:name", "/a/**", "a"])
def test_the_prefix_is_a_literal_path(tmp_path: Path, prefix: str) -> None:
    """Nothing else says where a path below the root begins."""
    with pytest.raises(RouteError):
        handler(tmp_path, prefix)


def test_what_cannot_be_served_is_refused_at_once(tmp_path: Path) -> None:
    """A directory that is not there, options that contradict each other, fields that cannot be sent."""
    with pytest.raises(RouteError, match="nowhere"):
        handler(tmp_path / "nowhere")
    with pytest.raises(RouteError, match="cache_control"):
        handler(tmp_path, cache_control="no-store", max_age=1)
    with pytest.raises(LocalProtocolError):
        handler(tmp_path, headers={"X": "a\r\nb"})


def test_a_few_large_files_stay_open_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the loop, so that the next request opens nothing; there are never more than a few."""
    settle(monkeypatch)
    monkeypatch.setattr("rocket_sup.static.KEPT_S", 0.0)
    monkeypatch.setattr("rocket_sup.static.MAX_KEPT", 1)
    for name in ("one", "two"):
        file(tmp_path, name, b"x" * (MAX_WHOLE + 1))
    static = handler(tmp_path)

    def held() -> set[str]:
        inodes = {(tmp_path / name).stat().st_ino: name for name in ("one", "two")}
        found = set()
        for fd in os.listdir("/proc/self/fd"):
            try:
                found.add(inodes.get(os.fstat(int(fd)).st_ino, ""))
            except OSError:  # the one that listed them
                continue
        return found - {""}

    async def ask() -> None:
        for name in ("one", "two"):
            static(request(f"/{name}"))
        assert {"one"} == held()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert set() == held()
        static(request("/two"))
        assert {"two"} == held()

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/s", []),
        ("/s/", [""]),
        ("/s/a", ["a"]),
        ("/s/a/", ["a", ""]),
        ("/s//a", ["", "a"]),
        ("/s/a%2Fb/c%252Fd", ["a/b", "c%2Fd"]),
        ("/", [""]),
        ("/a/b", ["a", "b"]),
        ("//", ["", ""]),
    ],
)
def test_names_are_what_the_route_has_matched(path: str, names: list[str]) -> None:
    """Decoded once, each alone."""
    assert names == names_below(request(path))


PIECES = [
    "/",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "%2f",
    "%5c",
    "%00",
    "%c0%af",
    "%25",
    "a",
    "b",
    "out",
    "x.txt",
    "%",
    "",
]


@pytest.fixture(scope="module")
def fenced(tmp_path_factory: pytest.TempPathFactory) -> StaticFiles:
    """A directory whose files say "inside", beside one that does not."""
    top = tmp_path_factory.mktemp("fenced")
    (top / "x.txt").write_text("secret")
    (top / "out").mkdir()
    (top / "out" / "x.txt").write_text("secret")
    for folder in ("in", "in/a", "in/a/b"):
        (top / folder).mkdir()
        (top / folder / "x.txt").write_text("inside")
    (top / "in" / "out").symlink_to("../out")
    return handler(top / "in")


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_no_path_leads_out(fenced: StaticFiles, path: str) -> None:
    """However it is put together: a file inside, or nothing."""
    if split_path(f"/{path}") is None:
        return  # no route takes it
    answer = fenced(request(f"/{path}"))

    assert "none" == answer or b"inside" == content(answer)


def answered(result: object) -> Answer:
    """An answer, and nothing else."""
    assert isinstance(result, Answer)
    return result


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"max_age": 60}, b"Cache-Control: public, max-age=60\r\n"),
        ({"immutable": True}, b"Cache-Control: public, max-age=31536000, immutable\r\n"),
        ({"max_age": 5, "immutable": True}, b"Cache-Control: public, max-age=5, immutable\r\n"),
        ({"cache_control": "no-cache"}, b"Cache-Control: no-cache\r\n"),
        ({"headers": {"X-One": "1"}}, b"X-One: 1\r\n"),
        ({"media_types": {".txt": "text/x-odd"}}, b"Content-Type: text/x-odd; charset=utf-8\r\n"),
        ({"media_types": {".odd": "text/x-odd"}, "charset": ""}, b"Content-Type: text/plain\r\n"),
    ],
)
def test_fields_of_every_file(tmp_path: Path, options: dict[str, object], field: bytes) -> None:
    """What the options say."""
    file(tmp_path)

    assert field in answered(handler(tmp_path, **options)(request("/x.txt"))).fields


def test_coded_files_are_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The original for who does not take the sibling, the sibling for who does; both when one has changed."""
    settle(monkeypatch)
    file(tmp_path, content=b"x" * 100)
    file(tmp_path, "x.txt.gz", b"small")
    static = handler(tmp_path)
    taking = request("/x.txt", "Accept-Encoding: gzip\r\n")
    for _ in range(2):
        assert b"small" == content(static(taking))
        assert b"x" * 100 == content(static(request("/x.txt")))
    file(tmp_path, content=b"y" * 100)
    assert b"y" * 100 == content(static(request("/x.txt")))
    file(tmp_path, "x.txt.gz", b"other")
    assert b"other" == content(static(taking))


def test_a_page_has_a_clean_address(tmp_path: Path) -> None:
    """`html=True`; a directory with an index comes before it."""
    file(tmp_path, "about.html", b"about")
    static = handler(tmp_path, html=True)

    assert b"about" == content(static(request("/about")))
    assert "none" == static(request("/about/"))
    assert "none" == static(request("/other"))
    assert "none" == handler(tmp_path)(request("/about"))


def test_what_is_selected_is_sent(tmp_path: Path) -> None:
    """Of a small file and of a large one: nothing new, a refusal, a part, parts."""
    file(tmp_path, "small.txt", b"0123456789" * 100)
    file(tmp_path, "large.txt", b"0123456789" * 10_000)
    for name, size in (("small.txt", 1000), ("large.txt", 100_000)):
        static = handler(tmp_path)

        def ask(field: str, name: str = name, static: StaticFiles = static) -> Answer:
            return answered(static(request(f"/{name}", f"{field}\r\n")))

        assert (304, 0) == ((known := ask("If-None-Match: *")).status, known.length)
        assert 412 == ask('If-Match: "x"').status
        missing = ask(f"Range: bytes={size}-")
        assert 416 == missing.status
        assert f"Content-Range: bytes */{size}\r\n".encode() in missing.fields
        part = ask("Range: bytes=3-5")
        assert (206, 3) == (part.status, part.length)
        assert f"Content-Range: bytes 3-5/{size}\r\n".encode() in part.fields
        parts = ask("Range: bytes=0-0,500-500")
        assert b"Content-Type: multipart/byteranges; boundary=" in parts.fields
        assert (name == "large.txt") is (parts.source is not None)
        for answer in (part, parts):
            if answer.source is not None:
                assert isinstance(answer.source, SharedSource)
                answer.source.close()


def test_the_type_may_be_left_out(tmp_path: Path) -> None:
    """An empty one says nothing; a part of it neither."""
    file(tmp_path, "x.none")
    static = handler(tmp_path, media_types={".none": ""})

    assert b"Content-Type" not in answered(static(request("/x.none"))).fields
    assert b"Content-Type" not in answered(static(request("/x.none", "Range: bytes=0-0\r\n"))).fields


def test_a_large_file_that_is_gone_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is remembered."""
    settle(monkeypatch)
    path = file(tmp_path, content=b"x" * (MAX_WHOLE + 1))
    static = handler(tmp_path)
    static(request("/x.txt"))
    assert 1 == len(static.cache)
    path.unlink()

    assert "none" == static(request("/x.txt"))
    assert 0 == len(static.cache)


def test_a_date_in_the_future_is_not_sent(tmp_path: Path) -> None:
    """And what a directory without siblings is does not vary."""
    path = file(tmp_path)
    os.utime(path, (2**33, 2**33))
    fields = answered(handler(tmp_path, precompressed=False)(request("/x.txt"))).fields

    assert b"Last-Modified" not in fields
    assert b"Vary" not in fields
