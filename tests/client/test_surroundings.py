"""What stands around a connection: nginx, TLS with client certificates, Unix sockets, proxies."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rocket_sup.client import AsyncClient, Tls
from rocket_sup.client.errors import ConnectError, ProxyError, ReadError
from tests.client.certificates import make_certificate
from tests.client.conftest import run

NGINX = shutil.which("nginx")


@contextmanager
def nginx(folder: Path, certificate: tuple[str, str]) -> Iterator[tuple[int, Path]]:
    """Serve over TLS to clients with a certificate, and plainly on a Unix socket."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    path = folder / "nginx.sock"
    (folder / "page").mkdir()
    (folder / "page" / "large").write_bytes(b"0123456789" * 100_000)
    configuration = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    )
    configuration.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors; events {{}}\n"
        f"http {{ access_log off; root {folder}/page; {temporary} gzip on; gzip_types *; gzip_min_length 1;\n"
        f"server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {certificate[0]};\n"
        f" ssl_certificate_key {certificate[1]}; ssl_client_certificate {certificate[0]};\n"
        f" ssl_verify_client on;"
        f" location /said {{ return 200 $ssl_client_s_dn; }} }}\n"
        f"server {{ listen unix:{path}; location /said {{ return 200 $host$request_uri; }} }} }}\n"
    )
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-c", str(configuration)], stderr=subprocess.PIPE)
    try:
        while not path.exists() and process.poll() is None:
            continue
        assert process.poll() is None, process.communicate()[1]
        yield port, path
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx(tmp_path: Path) -> None:
    """A client that shows who it is, HTTP/1.1 and HTTP/2, compressed content, a Unix socket."""
    certificate = make_certificate(tmp_path, "both")

    async def main() -> None:
        with nginx(tmp_path, certificate) as (port, path):
            base = f"https://localhost:{port}"
            for http2 in (False, True):
                tls = Tls(verify=certificate[0], certificate=certificate)
                async with AsyncClient(base_url=base, tls=tls, http2=http2) as client:
                    assert "CN=localhost" == (await client.get("/said")).text
                    large = await client.get("/large")
                    assert b"0123456789" * 100_000 == large.content
                    assert "gzip" == large.headers["content-encoding"]
                    assert ("HTTP/2" if http2 else "HTTP/1.1") == large.http_version
                    assert 405 == (await client.post("/large", content=b"x")).status
            async with AsyncClient(base_url=base, tls=Tls(verify=certificate[0])) as client:
                assert 400 == (await client.get("/said")).status
            async with AsyncClient(unix_socket=str(path)) as client:
                assert "name/said?x=1" == (await client.get("http://name/said?x=1")).text
            async with AsyncClient(unix_socket=str(tmp_path / "none")) as client:
                with pytest.raises(ConnectError, match="No such file"):
                    await client.get("http://name/")

    run(main)


@asynccontextmanager
async def relay(told: list[bytes], *, refuses: bool = False) -> Any:
    """A proxy that connects to wherever it is asked to, by CONNECT or by the whole URL."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        told.append(head)
        if refuses:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        method, target, _ = head.split(b" ", 2)
        place = target if method == b"CONNECT" else target.split(b"/")[2]
        host, _, port = place.decode().partition(":")
        there, back = await asyncio.open_connection("127.0.0.1" if host == "localhost" else host, int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Go\r\n\r\n")
        else:
            back.write(head.replace(b"http://" + place, b"", 1))
        await asyncio.gather(pump(reader, back), pump(there, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_through_a_proxy(site: str, tmp_path: Path) -> None:
    """TLS goes through CONNECT, with the certificate of the server; http is asked of the proxy."""
    certificate = make_certificate(tmp_path, "both")
    told: list[bytes] = []

    async def main() -> None:
        with nginx(tmp_path, certificate) as (port, _):
            async with relay(told) as place:
                tls = Tls(verify=certificate[0], certificate=certificate)
                async with AsyncClient(proxy=f"http://me:pw@{place}", tls=tls) as client:
                    assert "CN=localhost" == (await client.get(f"https://localhost:{port}/said")).text
                    assert "hello" == (await client.get(f"{site}/text")).text
        async with relay([], refuses=True) as place, AsyncClient(proxy=f"http://{place}") as client:
            with pytest.raises(ProxyError, match="403 Forbidden"):
                await client.get("https://localhost:1/")
            assert 403 == (await client.get("http://localhost:1/")).status

    run(main)
    assert told[0].startswith(b"CONNECT localhost:")
    assert told[1].startswith(b"GET " + site.encode() + b"/text HTTP/1.1\r\n")
    assert all(b"Proxy-Authorization: Basic bWU6cHc=" in head for head in told)


def test_a_connection_that_is_given_away() -> None:
    """CONNECT makes a tunnel: bytes both ways, until one side ends it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Go\r\n\r\nwelcome ")
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        async with server, AsyncClient() as client:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with client.stream("CONNECT", url) as answer:
                assert 200 == answer.status
                tunnel = answer.extensions["upgraded"]
                await tunnel.write(b"hello")
                tunnel.end_writing()
                assert b"welcome hello" == b"".join([piece async for piece in tunnel])
            async with client.stream("CONNECT", url) as answer:
                await answer.extensions["upgraded"].aclose()
                with pytest.raises(ReadError):
                    await answer.extensions["upgraded"].write(b"x")

    run(main)
