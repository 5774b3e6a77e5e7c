"""The terminal sessions in the documents happen as they are printed.

A Python block is served as `hello.py`, and the `console` blocks after it are typed in: `curl` is answered
over a real socket, and the printed lines must come in that order; of `rocket-sup` commands, arguments and
application are checked.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rocket_sup import Router
from tests.examples.serving import Site, serve

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTS = ["first-application.md", "routing.md"]
UPLOADED = b"hello\n"


@pytest.mark.usefixtures("pipe_of_libuv")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_sessions_happen_as_printed(name: str, tmp_path: Path) -> None:
    """Every command of the document gives the lines printed below it."""
    commands = 0
    with ExitStack() as stack:
        site: Site | None = None
        for language, block in FENCE.findall((DOCS / name).read_text()):
            assert language in ("python", "console"), f"a block of {language!r} is run by no test"
            if language == "python":
                names: dict[str, object] = {}
                exec(compile(block, name, "exec"), names)
                if isinstance(app := names.get("app"), Router):
                    (tmp_path / "hello.py").write_text(block)
                    site = stack.enter_context(serve(app))
                continue
            for command, expected in sessions(block):
                assert site is not None
                commands += 1
                printed = run(site, shlex.split(command), tmp_path).splitlines()
                position = 0
                for line in expected:
                    assert line in printed[position:], f"{name}: $ {command}"
                    position = printed.index(line, position) + 1
    assert commands > 5


def sessions(block: str) -> list[tuple[str, list[str]]]:
    """Cut a block into commands with the lines printed below each."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def run(site: Site, words: list[str], directory: Path) -> str:
    """Run one command and return what it prints."""
    program, *arguments = words
    if program == "curl":
        return curl(site, arguments)
    assert program == "rocket-sup"
    check = [sys.executable, "-m", "rocket_sup", "check", *arguments]
    done = subprocess.run(check, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(site: Site, arguments: list[str]) -> str:
    """Do what curl does with the few options that the documents use."""
    options = argparse.ArgumentParser()
    options.add_argument("url")
    options.add_argument("-X", dest="method")
    options.add_argument("-H", dest="headers", action="append", default=[])
    options.add_argument("-d", dest="fields", action="append", default=[])
    options.add_argument("-F", dest="parts", action="append", default=[])
    options.add_argument("--json")
    options.add_argument("-i", dest="with_head", action="store_true")
    given = options.parse_args(arguments)
    headers = dict(line.split(": ", 1) for line in given.headers)
    body: bytes | None = None
    if given.fields:
        body, headers["Content-Type"] = "&".join(given.fields).encode(), "application/x-www-form-urlencoded"
    elif given.parts:
        body, headers["Content-Type"] = multipart(given.parts), "multipart/form-data; boundary=XX"
    elif given.json is not None:
        body, headers["Content-Type"] = given.json.encode(), "application/json"
    parts = urlsplit("http://" + given.url)
    assert parts.netloc == "localhost:8080"
    method = given.method or ("GET" if body is None else "POST")
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    reply = site.request(method, target, body, headers)
    if not given.with_head:
        return reply.text
    return f"HTTP/1.1 {reply.status} {reply.reason}\n{reply.headers}{reply.text}"


def multipart(parts: list[str]) -> bytes:
    """Write a form as curl does; every file has the same content."""
    body = b""
    for part in parts:
        name, _, value = part.partition("=")
        is_file = value.startswith("@")
        filename = f'; filename="{value[1:]}"' if is_file else ""
        content = UPLOADED if is_file else value.encode()
        body += f'--XX\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode()
        body += content + b"\r\n"
    return body + b"--XX--\r\n"
