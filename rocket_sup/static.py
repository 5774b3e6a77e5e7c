"""Files of a directory as answers to GET and HEAD: `app.static("/assets", "public")`.

The handler is a plain function: a small file comes whole from memory after one `stat`, a large one is opened
and goes from the kernel's memory to the socket. Which bytes answer a request is decided by
`http/selection.py`, which file a path names by `rootdir.py`; what is no file is not found, as if there were
no route.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypedDict

from rocket_sup.filebody import (
    MAX_WHOLE,
    SETTLED_S,
    SharedSource,
    cut,
    make_boundary,
    representation_of,
    sendable,
)
from rocket_sup.filecache import Cache, Entry, Variant
from rocket_sup.http.headers import Headers
from rocket_sup.http.mediatypes import media_type_of, with_charset
from rocket_sup.http.selection import Selection, ask_of, select
from rocket_sup.http.semantics import http_date
from rocket_sup.listing import listing
from rocket_sup.pattern import RouteError, parse_pattern, split_path
from rocket_sup.refusals import refusal
from rocket_sup.response import Answer, Response, answer_from
from rocket_sup.rootdir import Directory, File, RootDirectory, stamp_of
from rocket_sup.sources import FileSpan

if TYPE_CHECKING:
    from rocket_sup.request import Request

# A request without any of these fields is answered with the whole file.
_DECISIVE: Final = re.compile(rb"\r\n(?:[Ii][Ff]-|[Rr][Aa][Nn][Gg][Ee]:)")
# Content codings and the ends of the names they are stored under; of equal weight, the first is sent.
_CODINGS: Final = (("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz"))
_YEAR_S: Final = 365 * 86400
# Large files that nobody is sending just now stay open for so long, so many of them.
KEPT_S: Final = 1.0
MAX_KEPT: Final = 32
_monotonic = time.monotonic

NotFound = Callable[["Request"], object]


@dataclass(frozen=True, slots=True)
class StaticOptions:
    """How a directory is served.

    Attributes:
        index: the file that stands for its directory; None for none.
        html: `/about` is also `about.html`.
        spa: a path that is no file and has no dot in its last segment is the index of the root: the
            application in the browser has its own routes.
        listing: a directory without an index shows its names.
        precompressed: a sibling `.br`, `.zst` or `.gz` is sent to who takes it.
        cache_control: the field; None for none.
        max_age: seconds, instead of `cache_control`.
        immutable: the files never change: their names do. A year, unless `max_age` says otherwise.
        follow_symlinks: also out of the directory.
        dotfiles: names with a leading dot are served.
        charset: of text; "" says none.
        media_types: by the end of the name, with its dot: `{".foo": "text/x-foo"}`.
        headers: further fields of every answer with or about a file.
    """

    index: str | None = "index.html"
    html: bool = False
    spa: bool = False
    listing: bool = False
    precompressed: bool = True
    cache_control: str | None = None
    max_age: int | None = None
    immutable: bool = False
    follow_symlinks: bool = False
    dotfiles: bool = False
    charset: str = "utf-8"
    media_types: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def lasting_fields(self) -> bytes:
        """Write the fields that are the same for all files.

        Raises:
            RouteError: two options contradict each other.
            LocalProtocolError: a field cannot be sent.
        """
        if self.cache_control is not None and (self.max_age is not None or self.immutable):
            raise RouteError(
                "static: cache_control= says all; max_age= and immutable= are written without it"
            )
        headers = Headers(self.headers)
        if self.cache_control is not None:
            headers["Cache-Control"] = self.cache_control
        elif self.max_age is not None or self.immutable:
            age = _YEAR_S if self.max_age is None else self.max_age
            headers["Cache-Control"] = f"public, max-age={age}{', immutable' if self.immutable else ''}"
        return answer_from(Response(None, 200, headers)).fields


class StaticKeywords(TypedDict, total=False):
    """The same as keyword arguments of `Router.static`."""

    index: str | None
    html: bool
    spa: bool
    listing: bool
    precompressed: bool
    cache_control: str | None
    max_age: int | None
    immutable: bool
    follow_symlinks: bool
    dotfiles: bool
    charset: str
    media_types: Mapping[str, str]
    headers: Mapping[str, str]


class StaticFiles:
    """The handler of one directory.

    Attributes:
        root: what is served.
        cache: what was served lately.
    """

    def __init__(
        self, prefix: str, directory: str | os.PathLike[str], options: StaticOptions, *, not_found: NotFound
    ) -> None:
        """Take a directory.

        Args:
            prefix: literal path of the root, `/assets`.
            directory: on disk.
            not_found: answers for what is no file.

        Raises:
            RouteError: the prefix is no literal path, or the directory cannot be read.
        """
        if not parse_pattern(prefix).is_literal:
            raise RouteError(f"static {prefix!r}: a literal path is wanted, without ':name' and '*'")
        try:
            self.root = RootDirectory(
                directory, follow_symlinks=options.follow_symlinks, dotfiles=options.dotfiles
            )
        except OSError as error:
            raise RouteError(f"static {prefix!r}: {directory}: {error.strerror}") from None
        self.cache = Cache()
        self._options = options
        self._not_found = not_found
        self._kept = 0
        self._lasting = options.lasting_fields()

    def __call__(self, request: Request) -> object:
        """Answer a GET or HEAD."""
        entry = self.cache.get(request.path)
        if entry is None or entry.expires < _monotonic():
            return self._look_up(request)
        variant = entry.plain
        if entry.coded:
            if not variant.is_current():
                return self._look_up(request)
            variant = entry.variant_for(request.get_header("accept-encoding", ""))
        if variant.answer is None:
            return self._large(request, variant)
        if not variant.is_current():
            return self._look_up(request)
        if _DECISIVE.search(request.fields) is not None:
            return self._judged(request, variant, None)
        return variant.answer

    # -- from a path to a file

    def _look_up(self, request: Request) -> object:
        """Find what a path stands for, remember it, and answer."""
        self.cache.drop(request.path)
        names = names_below(request)
        is_directory = not names or not names[-1]
        wants_slash = not names  # `/assets`: the root, without the slash that makes it a directory
        if is_directory and names:
            names.pop()
        if not self.root.admits(names):
            return self._not_found(request)
        if not is_directory or wants_slash:
            return self._file(request, names)
        return self._directory(request, names)

    def _file(self, request: Request, names: list[str]) -> object:
        found = self.root.open(names)
        if isinstance(found, File):
            return self._remembered(request, names, found)
        options = self._options
        if isinstance(found, Directory) and self._has_page(names):
            query = f"?{request.query_string}" if request.query_string else ""
            return Response.redirect(f"{request.path}/{query}", 301)
        if options.html and names:
            page = [*names[:-1], f"{names[-1]}.html"]
            found = self.root.open(page)
            if isinstance(found, File):
                return self._remembered(request, page, found)
        return self._missing(request, names)

    def _directory(self, request: Request, names: list[str]) -> object:
        options = self._options
        if options.index is not None:
            page = [*names, options.index]
            found = self.root.open(page)
            if isinstance(found, File):
                return self._remembered(request, page, found)
        if options.listing:
            there = self.root.open(names, lists=True)
            if isinstance(there, Directory):
                return Response.html(listing(request.path, there.names, has_parent=bool(names)))
        return self._missing(request, names)

    def _has_page(self, names: list[str]) -> bool:
        if self._options.listing:
            return True
        index = self._options.index
        return index is not None and isinstance(self.root.open([*names, index]), File)

    def _missing(self, request: Request, names: list[str]) -> object:
        options = self._options
        if options.spa and options.index is not None and (not names or "." not in names[-1]):
            found = self.root.open([options.index])
            if isinstance(found, File):  # not remembered: as many paths as a client likes stand for it
                return self._answered(request, self._entry([options.index], found))
        return self._not_found(request)

    def _remembered(self, request: Request, names: list[str], file: File) -> object:
        entry = self._entry(names, file)
        if time.time() - file.stat.st_ctime > SETTLED_S:
            self.cache.put(request.path, entry)
        return self._answered(request, entry)

    def _entry(self, names: Sequence[str], file: File) -> Entry:
        media_type = self._media_type_of(names[-1])
        coded: list[Variant] = []
        if self._options.precompressed:
            for coding, end in _CODINGS:
                path = [*names[:-1], names[-1] + end]
                sibling = self.root.open(path)
                if isinstance(sibling, File) and _stands_for(sibling, file):
                    coded.append(self._variant(path, sibling, media_type, coding=coding, varies=True))
        return Entry(self._variant(names, file, media_type, varies=bool(coded)), coded, now=_monotonic())

    def _variant(
        self, names: Sequence[str], file: File, media_type: str, *, coding: str = "identity", varies: bool
    ) -> Variant:
        """Say what an open file is, and read it if it is small; the file is closed."""
        variant = self._described(names, file, media_type, coding=coding, varies=varies)
        size = variant.there.size
        if size <= MAX_WHOLE:
            content = file.read(size)
            if len(content) == size:  # else it is being written, and looked at again for each request
                variant.content = content
                variant.answer = Answer(200, variant.whole_fields, content)
        file.close()
        return variant

    def _described(
        self, names: Sequence[str], file: File, media_type: str, *, coding: str, varies: bool
    ) -> Variant:
        there = representation_of(file, media_type, wall_s=time.time())
        lasting = [self._lasting, f"ETag: {there.validators.etag}\r\n".encode("ascii")]
        if varies:
            lasting.append(b"Vary: Accept-Encoding\r\n")
        describing = [b"Accept-Ranges: bytes\r\n"]
        if there.validators.modified_s is not None:
            describing.append(f"Last-Modified: {http_date(there.validators.modified_s)}\r\n".encode("ascii"))
        if coding != "identity":
            describing.append(f"Content-Encoding: {coding}\r\n".encode("ascii"))
        kind = f"Content-Type: {media_type}\r\n".encode("latin-1") if media_type else b""
        return Variant(
            segments=tuple(names),
            path=self.root.path_of(names),
            stamp=stamp_of(file.stat),
            coding=coding,
            varies=varies,
            there=there,
            lasting=b"".join(lasting),
            describing=b"".join(describing),
            whole_fields=b"".join((*lasting, *describing, kind)),
            whole_parts=(FileSpan(0, there.size),),
        )

    def _media_type_of(self, name: str) -> str:
        options = self._options
        for end, kind in options.media_types.items():
            if name.lower().endswith(end):
                return with_charset(kind, options.charset)
        return media_type_of(name, charset=options.charset)

    # -- from a file to an answer

    def _answered(self, request: Request, entry: Entry) -> object:
        """Answer with what was read just now."""
        variant = entry.plain
        if entry.coded:
            variant = entry.variant_for(request.get_header("accept-encoding", ""))
        if variant.answer is None:
            return self._large(request, variant)
        return self._judged(request, variant, None)

    def _large(self, request: Request, variant: Variant) -> object:
        """Answer with a file that is not in memory: one that others are sending is open already."""
        file = variant.opened()
        if file is None or not variant.is_current():
            found = self.root.open(variant.segments)
            if not isinstance(found, File):
                self.cache.drop(request.path)
                return self._not_found(request)
            file = found
            if stamp_of(file.stat) != variant.stamp:  # described as it is now: it may go on changing
                self.cache.drop(request.path)
                kind = variant.there.media_type
                variant = self._described(
                    variant.segments, file, kind, coding=variant.coding, varies=variant.varies
                )
            variant.opened = weakref.ref(file)
            self._keep_open(file)
        if _DECISIVE.search(request.fields) is not None:
            return self._judged(request, variant, file)
        answer = Answer(200, variant.whole_fields)
        answer.length = variant.there.size
        answer.source = SharedSource(file, variant.whole_parts, variant.there.size)
        return answer

    def _keep_open(self, file: File) -> None:
        """Keep a file open for a moment, for who asks next; only a few, and not for long: a file that was
        deleted takes room on its disk as long as it is open.
        """
        if self._kept < MAX_KEPT:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:  # in a thread
                return
            self._kept += 1
            loop.call_later(KEPT_S, self._let_go, file)

    def _let_go(self, _file: File) -> None:
        self._kept -= 1

    def _judged(self, request: Request, variant: Variant, file: File | None) -> Answer:
        """Answer as the conditions and the range of a request want it."""
        selection = select(ask_of(request.method, request.headers), variant.there, make_boundary)
        return answer_of(variant, selection, file)


def names_below(request: Request) -> list[str]:
    """Cut what the route's `**` has matched into decoded segments, whatever the route was mounted below.

    The segments are cut out of the path once more: in the parameter's value an encoded slash looks like a
    `%2F` that was encoded twice.
    """
    matched = request.path_params["**"]
    segments = split_path(request.path) or []
    count = matched.count("/") + 1 if matched or request.path.endswith("/") else 0
    return segments[len(segments) - count :]


def answer_of(variant: Variant, selection: Selection, file: File | None) -> Answer:
    """Make the answer that was selected.

    Args:
        file: open, when the content is not in memory.
    """
    status = selection.status
    if status == 304:
        return Answer(304, variant.lasting)
    if status == 412:
        return refusal(412, "the file is not what the request expects (RFC 9110 §13.1)")
    if status == 416:
        answer = refusal(416, "the file has no such part (RFC 9110 §14.2)")
        answer.fields += f"Content-Range: {selection.content_range}\r\n".encode("ascii")
        return answer
    fields = variant.whole_fields
    if status == 206:
        described = f"Content-Type: {selection.media_type}\r\n" if selection.media_type else ""
        if selection.content_range:
            described += f"Content-Range: {selection.content_range}\r\n"
        fields = b"".join((variant.lasting, variant.describing, described.encode("latin-1")))
    if file is None:
        return Answer(status, fields, cut(variant.content or b"", selection.parts))
    answer = Answer(status, fields)
    answer.length = selection.length
    answer.source = SharedSource(file, sendable(selection.parts), selection.length)
    return answer


def _stands_for(sibling: File, file: File) -> bool:
    """Say whether a compressed sibling can be sent: it is of this state of the file, and worth it."""
    return sibling.stat.st_mtime >= int(file.stat.st_mtime) and sibling.stat.st_size < file.stat.st_size
