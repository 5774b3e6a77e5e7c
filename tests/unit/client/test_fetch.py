"""`rocket-sup fetch`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from rocket_sup import Response, Router, cli
from rocket_sup.client import errors, fetch, messages
from tests.client.conftest import served


@pytest.fixture
def base() -> Iterator[str]:
    """A server."""
    app = Router()
    app.get("/text/:name")(lambda req: f"hello {req.path_params['name']}")
    app.get("/binary")(lambda req: Response(b"\xff", headers={"Content-Type": "x/y"}))
    app.get("/old")(lambda req: (302, "", {"Location": "/text/new"}))
    app.post("/post")(lambda req: req.body + req.get_header("x-a", "").encode())
    with served(app) as site:
        yield f"http://127.0.0.1:{site.port}"


def lines(path: Path) -> dict[str, dict[str, Any]]:
    """What was written, by URL."""
    return {found["url"]: found for found in map(orjson.loads, path.read_bytes().splitlines())}


def test_one_url(base: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Its content, as it is; a status of an error is one."""
    assert 0 == cli.main(["fetch", f"{base}/binary"])
    assert b"\xff" == capfdbinary.readouterr().out
    assert 0 == cli.main(["fetch", f"{base}/post", "--method", "POST", "--body", "b", "--header", "X-A: c"])
    assert b"bc" == capfdbinary.readouterr().out
    assert 1 == cli.main(["fetch", f"{base}/none"])
    assert b"404 Not Found" in capfdbinary.readouterr().err
    assert 1 == cli.main(["fetch", "http://127.0.0.1:1/"])
    assert b"rocket-sup fetch: 127.0.0.1 port 1" in capfdbinary.readouterr().err


def test_many_urls_into_a_file(base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each, failures too, and a report at the end."""
    source, out = tmp_path / "urls.txt", tmp_path / "out.jsonl"
    urls = [f"{base}/text/{number}" for number in range(50)]
    source.write_text("# comment\n\n" + "\n".join([*urls, "nonsense"]) + "\n")

    command = ["fetch", f"{base}/old", f"{base}/binary", "--from", str(source), "--out", str(out)]
    assert 1 == cli.main([*command, "--concurrency", "5", "--retry", "2"])

    found = lines(out)
    assert {*urls, "nonsense", f"{base}/old", f"{base}/binary"} == set(found)
    assert (200, "hello 7", 7) == tuple(
        found[f"{base}/text/7"][name] for name in ("status", "content", "bytes")
    )
    assert f"{base}/text/new" == found[f"{base}/old"]["final_url"]
    assert "/w==" == found[f"{base}/binary"]["content_base64"]
    assert "UrlError" == found["nonsense"]["error"]
    assert "53 requests in" in capsys.readouterr().err


def test_a_run_that_was_killed_is_continued(base: str, tmp_path: Path) -> None:
    """Answered ones are not asked again, failed ones are, and half a line goes."""
    source, out = tmp_path / "urls.txt", tmp_path / "out.jsonl"
    source.write_text(f"{base}/text/1\n{base}/text/2\n{base}/text/3\n")
    done = orjson.dumps({"url": f"{base}/text/1", "status": 200, "content": "as it was"})
    failed = orjson.dumps({"url": f"{base}/text/2", "error": "ReadError"})
    out.write_bytes(done + b"\n" + failed + b"\n" + b'{"url":"http')

    assert 0 == cli.main(["fetch", "--from", str(source), "--out", str(out), "--no-content"])

    assert [done, failed] == out.read_bytes().splitlines()[:2]
    assert {f"{base}/text/{number}" for number in (1, 2, 3)} == set(lines(out))
    assert 4 == len(out.read_bytes().splitlines())
    assert "content" not in lines(out)[f"{base}/text/2"]


def test_a_file_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written into it."""
    out = tmp_path / "precious.txt"
    out.write_text("precious\n")

    assert 1 == cli.main(["fetch", "http://127.0.0.1:1/", "--out", str(out)])
    assert "precious\n" == out.read_text()
    assert "nothing was written" in capsys.readouterr().err


def test_from_standard_input(base: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> None:
    """One URL a line; lines of JSON go to standard output."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{base}/text/a\n".encode())))

    assert 0 == cli.main(["fetch", "--from", "-"])
    assert "hello a" == orjson.loads(capfdbinary.readouterr().out)["content"]


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said what is wanted."""
    with pytest.raises(SystemExit) as caught:
        cli.main(["fetch"])
    assert 2 == caught.value.code
    assert "--from FILE" in capsys.readouterr().err
    assert 1 == cli.main(["fetch", "http://127.0.0.1:1/", "--header", "nonsense"])
    assert "NAME: VALUE" in capsys.readouterr().err


def test_records() -> None:
    """Also of outcomes that know no request."""
    error = errors.UrlError("bad")
    error.item = "x"
    response = messages.Response(200, text="a")
    response.extensions["item"] = "http://host/"

    assert {"url": "x", "error": "UrlError", "message": "bad"} == fetch.record(error)
    assert "content" not in fetch.record(response, has_content=False)
