"""The example of content in pieces, over a real socket, on every engine."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

from tests.conformance.conftest import engine  # noqa: F401 - a fixture
from tests.examples.serving import Site
from tests.examples.test_examples import Start, start  # noqa: F401 - a fixture

CONTENT = b"0123456789abcdef" * 20_000


def pieces() -> Iterator[bytes]:
    """Content that the client sends in chunks."""
    for position in range(0, len(CONTENT), 50_000):
        yield CONTENT[position : position + 50_000]


def raw(site: Site, data: bytes) -> bytes:
    """Send bytes, and read until the end."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as client:
        client.sendall(data)
        received = b""
        while piece := client.recv(65536):
            received += piece
    return received


def test_streaming(start: Start) -> None:  # noqa: F811 - the fixture
    """Uploads in both framings and in a thread, early answers, events, rows, trailers, early hints."""
    site, _ = start("streaming")
    digest = hashlib.sha256(CONTENT).hexdigest()

    assert site.request("PUT", "/digest", CONTENT).json["sha256"] == digest
    connection = site.connect()
    connection.request(
        "PUT", "/digest", pieces(), encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
    )
    assert connection.getresponse().read().startswith(b'{"bytes":320000,"sha256":')
    connection.close()
    assert site.request("PUT", "/digest-in-thread", CONTENT).json == {"sha256": digest}
    assert site.request("PUT", "/picture", b"\x89PNG" + CONTENT).json == {"bytes": 320_004}
    refused = site.request("PUT", "/picture", CONTENT[:1000])
    assert (refused.status, refused.text) == (415, "this is no PNG")
    ticks = site.get("/ticks?count=3")
    assert (ticks.headers["content-type"], ticks.text) == (
        "text/event-stream",
        "data: 0\n\ndata: 1\n\ndata: 2\n\n",
    )
    assert site.get("/table.csv").text.splitlines()[3] == "3,9"
    signed = raw(site, b"GET /signed HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    expected = hashlib.sha256(b"part 0\npart 1\npart 2\n").hexdigest()
    assert signed.endswith(b"0\r\nX-SHA-256: %b\r\n\r\n" % expected.encode())
    page = raw(site, b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert page.startswith(
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload; as=style\r\n\r\nHTTP/1.1 200"
    )


def test_streaming_while_both_flow(start: Start) -> None:  # noqa: F811 - the fixture
    """Content comes back in upper case while it is sent; neither side waits for the end of the other."""
    site, _ = start("streaming")
    with socket.create_connection(("127.0.0.1", site.port), timeout=10) as client:
        client.sendall(b"PUT /upper HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        reader = client.makefile("rb")
        while reader.readline() != b"\r\n":
            continue
        for word in (b"hello", b"there"):
            client.sendall(b"5\r\n%b\r\n" % word)
            assert reader.read(10) == b"5\r\n%b\r\n" % word.upper()
        client.sendall(b"0\r\n\r\n")
        assert reader.read(5) == b"0\r\n\r\n"
        reader.close()

    assert site.request("PUT", "/upper", CONTENT).body == CONTENT.upper()
