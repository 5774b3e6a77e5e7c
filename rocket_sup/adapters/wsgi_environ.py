"""What a WSGI application is told about a request: the environ of PEP 3333.

Clients repeat themselves, so that what comes of a block of field lines is remembered by its bytes, with the
parts that never change; a request costs one copy and what really differs. Texts are "bytes as unicode": one
character of Latin-1 for one byte on the wire.

A field whose name has an underscore is left out: in an environ it could not be told from one with a hyphen,
and a proxy that removes `X-User` would let `X_User` through.

Specified in PEP 3333, "environ Variables", and RFC 3875 §4.1.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from rocket_sup import __version__
from rocket_sup.http.headers import Headers

if TYPE_CHECKING:
    from rocket_sup.request import Request

Environ = dict[str, Any]  # as PEP 3333 has it: texts, and objects under "wsgi."

MAX_KNOWN: Final = 512
MAX_KNOWN_BYTES: Final = 2048  # of a block of field lines; with what is made of it some 4 MiB in all


class Environs:
    """Makes the environs of one application."""

    __slots__ = ("_constant", "_known", "_root")

    def __init__(self, *, root_path: str, server: tuple[str, int], is_threaded: bool, wrapper: type) -> None:
        """Prepare.

        Args:
            root_path: where the application is mounted: "" or a path that begins with a slash and does not
                end with one; undecoded, as on the wire.
            server: name and port, for SERVER_NAME and SERVER_PORT.
            is_threaded: several threads call the application at once.
            wrapper: `wsgi.file_wrapper`.
        """
        self._root = root_path
        self._known: dict[bytes, Environ] = {}
        self._constant: Environ = {
            "SCRIPT_NAME": decoded(root_path),
            "SERVER_NAME": server[0],
            "SERVER_PORT": str(server[1]),
            "SERVER_SOFTWARE": f"rocket-sup/{__version__}",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "QUERY_STRING": "",
            # Of each request.
            "REQUEST_METHOD": "",
            "REQUEST_URI": "",  # not of PEP 3333: Apache's name for the target as it was sent
            "RAW_URI": "",  # gunicorn's
            "PATH_INFO": "",
            "REMOTE_ADDR": "",
            "REMOTE_PORT": "",
            "wsgi.input": None,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.multithread": is_threaded,
            "wsgi.multiprocess": True,  # there may be several acceptors
            "wsgi.run_once": False,
            "wsgi.file_wrapper": wrapper,
            # Not of PEP 3333: reading ends where the content does, also when it came in chunks, whose length
            # nobody announced. Werkzeug asks for it.
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
        }

    def make(self, request: Request, content: object) -> Environ:
        """Make the environ of a request.

        Args:
            content: `wsgi.input`.
        """
        fields = request.fields
        known = self._known.get(fields)
        if known is None:
            known = self._learn(fields)
        environ = request.wsgi_environ(known, content)
        path = environ["PATH_INFO"]
        if self._root or "%" in path:
            environ["PATH_INFO"] = self._path_info(path)
        origin = request.forwarded
        if origin is not None:
            environ["wsgi.url_scheme"] = origin.scheme or "http"
            if origin.host is not None:
                environ["HTTP_HOST"] = origin.host
        return environ

    def _path_info(self, path: str) -> str:
        root = self._root
        if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("/", ""):
            path = path[len(root) :]  # a proxy may also have taken it away
        return decoded(path)

    def _learn(self, fields: bytes) -> Environ:
        environ = {**self._constant, **variables_of(fields)}
        if len(fields) <= MAX_KNOWN_BYTES:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[fields] = environ
        return environ


def decoded(path: str) -> str:
    """Undo percent-encoding into bytes as unicode."""
    return unquote_to_bytes(path).decode("latin-1")


def variables_of(fields: bytes) -> dict[str, str]:
    """Turn field lines, each preceded by CRLF, into HTTP_ variables; repeated ones are joined.

    Spec: RFC 3875 §4.1.18, RFC 9110 §5.3, RFC 6265 §5.4
    """
    variables: dict[str, str] = {}
    for name, value in Headers.from_block(fields).items():
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        before = variables.get(key)
        if before is None:
            variables[key] = value
        else:
            variables[key] = before + ("; " if key == "HTTP_COOKIE" else ", ") + value
    return variables
