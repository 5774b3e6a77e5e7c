"""`rocket-sup fetch`: one URL to the terminal, or millions from a file to a file.

Each outcome is one line of JSON. A file that is there already is continued: what it has an answer for is not
asked again, and a line that was cut short when the last run was killed is taken off.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from rocket_sup.client.asyncclient import AsyncClient
from rocket_sup.client.bulk import Item, Outcome
from rocket_sup.client.errors import ClientError
from rocket_sup.client.messages import Request, Response
from rocket_sup.client.retries import Retry
from rocket_sup.client.settings import Limits, Timeout


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit status: 0 when every answer was below 400."""
    parser = _parser()
    wanted = parser.parse_args(arguments)
    if not wanted.urls and wanted.source is None:
        parser.error("URLs are needed, or --from FILE")
    try:
        with ExitStack() as stack:
            return asyncio.run(_fetch(wanted, _open(wanted, stack)))
    except (ClientError, ValueError) as error:
        sys.stderr.write(f"rocket-sup fetch: {error}\n")
        return 1


@dataclass(slots=True)
class _Files:
    """Where URLs come from and lines go.

    Attributes:
        done: URLs that have an answer from an earlier run.
    """

    source: BinaryIO | None
    out: BinaryIO
    done: set[str]


def _open(wanted: argparse.Namespace, stack: ExitStack) -> _Files:
    files = _Files(None, sys.stdout.buffer, set())
    if wanted.source == "-":
        files.source = sys.stdin.buffer
    elif wanted.source is not None:
        listed = Path(wanted.source)
        files.source = stack.enter_context(listed.open("rb"))
    if wanted.out is not None:
        path = Path(wanted.out)
        files.done = _continue(path)
        files.out = stack.enter_context(path.open("ab"))
    return files


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rocket-sup fetch",
        description="Ask for URLs: the content of one, or a line of JSON for each of many.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("urls", nargs="*", metavar="URL")
    add("--from", dest="source", metavar="FILE", help="URLs, one a line; - is standard input")
    add("--out", metavar="FILE", help="where the lines go; a file that is there is continued")
    add("--concurrency", type=int, default=100, metavar="N", help="requests at once (100)")
    add("--per-host", type=int, metavar="N", help="requests at once to one host")
    add("--method", default="GET", metavar="M", help="GET unless said otherwise")
    add("--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    add("--body", default="", metavar="TEXT", help="sent with each request")
    add("--timeout", type=float, default=30.0, metavar="S", help="seconds for a whole request (30)")
    add("--retry", type=int, default=1, metavar="N", help="attempts at each request (1)")
    add("--http2", action="store_true", help="offer HTTP/2 (extra http2)")
    add("--no-content", action="store_true", help="leave the content out of the lines")
    return parser


async def _fetch(wanted: argparse.Namespace, files: _Files) -> int:
    headers = [_field(line) for line in wanted.header]
    limits = Limits(max_connections=wanted.concurrency, max_per_origin=wanted.per_host or wanted.concurrency)
    timeout = Timeout(pool=None, total=wanted.timeout)
    retry = Retry(attempts=wanted.retry) if wanted.retry > 1 else None
    async with AsyncClient(
        headers=headers, limits=limits, timeout=timeout, http2=wanted.http2, retry=retry
    ) as client:
        if len(wanted.urls) == 1 and wanted.source is None and wanted.out is None:
            return await _fetch_one(client, wanted)
        return await _fetch_many(client, wanted, files)


async def _fetch_one(client: AsyncClient, wanted: argparse.Namespace) -> int:
    """One URL: its content as it comes."""
    options = {"content": wanted.body} if wanted.body else {}
    async with client.stream(wanted.method, wanted.urls[0], **options) as response:
        async for piece in response.aiter_bytes():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    if response.is_error:
        sys.stderr.write(f"{response.status} {response.reason}\n")
    return int(response.is_error)


async def _fetch_many(client: AsyncClient, wanted: argparse.Namespace, files: _Files) -> int:
    options = {"content": wanted.body} if wanted.body else {}

    def requests() -> Iterator[Item]:
        for url in _urls(wanted.urls, files.source):
            if url in files.done:
                continue
            try:
                request = client.build_request(wanted.method, url, **options)
            except ClientError:
                yield url  # its failure is the outcome
                continue
            request.extensions["url"] = url
            yield request

    bulk = client.map(requests(), concurrency=wanted.concurrency, per_host=wanted.per_host)
    has_failed = False
    async for outcome in bulk:
        has_failed |= not isinstance(outcome, Response) or outcome.is_error
        found = record(outcome, has_content=not wanted.no_content)
        files.out.write(orjson.dumps(found, option=orjson.OPT_APPEND_NEWLINE))
    files.out.flush()
    sys.stderr.write(f"{bulk.report}\n")
    return int(has_failed)


def record(outcome: Outcome, *, has_content: bool = True) -> dict[str, object]:
    """What is written about one outcome."""
    item = outcome.extensions.get("item") if isinstance(outcome, Response) else outcome.item
    url = item.extensions.get("url", str(item.url)) if isinstance(item, Request) else str(item)
    if isinstance(outcome, ClientError):
        return {"url": url, "error": type(outcome).__name__, "message": str(outcome)}
    found: dict[str, object] = {
        "url": url,
        "status": outcome.status,
        "type": outcome.headers.get("content-type", ""),
        "bytes": len(outcome.content),
        "ms": round(outcome.elapsed.total * 1000, 1),
    }
    if outcome.history:
        found["final_url"] = str(outcome.url)
    if has_content:
        try:
            found["content"] = outcome.content.decode()
        except UnicodeDecodeError:
            found["content_base64"] = b64encode(outcome.content).decode("ascii")
    return found


def _urls(given: Sequence[str], source: BinaryIO | None) -> Iterator[str]:
    yield from given
    for line in source or ():
        url = line.decode("utf-8", "replace").strip()
        if url and not url.startswith("#"):
            yield url


def _continue(path: Path) -> set[str]:
    """Prepare a file for more lines: take off a broken last one; return the URLs that were answered."""
    done: set[str] = set()
    if not path.exists():
        return done
    with path.open("rb+") as file:
        end = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            end += len(line)
            try:
                found = orjson.loads(line)
            except orjson.JSONDecodeError:
                raise ValueError(f"{path} is no file of this command; nothing was written") from None
            if isinstance(found, dict) and "status" in found:
                done.add(str(found["url"]))
        file.truncate(end)
    return done


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError(f"--header {line!r}: a field is written NAME: VALUE")
    return name.strip(), value.strip()
