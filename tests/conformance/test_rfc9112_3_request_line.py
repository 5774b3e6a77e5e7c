"""RFC 9112 §3: request line and request target."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from tests.conformance.server import Client, Server, get, request


@pytest.mark.parametrize(
    "line",
    [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET HTTP/1.1",
        "/ HTTP/1.1",
        "GET",
        "GET / a HTTP/1.1",
        "G(T / HTTP/1.1",
        'G"T / HTTP/1.1',
        "G\xe9T / HTTP/1.1",
    ],
)
def test_3_a_request_line_of_another_form_is_400(client: Client, line: str) -> None:
    """Method, one blank, target, one blank, version."""
    answer = client.send(request(line)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("limit", [40, 8192])
def test_3_a_request_line_over_the_limit_is_414(serve: Callable[..., Server], limit: int) -> None:
    """The limit itself is allowed, one byte more is not."""
    client = serve(limits={"request_line": limit}).connect()
    line = "GET /see?" + "a" * (limit - len("GET /see? HTTP/1.1")) + " HTTP/1.1"
    fits = client.send(request(line)).read()
    answer = client.send(request(line.replace("?", "?a"))).read()

    assert len(line) == limit
    assert fits.status == 200
    assert answer.status == 414
    client.expect_end()


def test_3_a_request_line_that_never_ends_is_414(client: Client) -> None:
    """The answer comes before the line does."""
    answer = client.send(b"GET /" + b"a" * 9000).read()

    assert answer.status == 414
    client.expect_end()


def test_3_1_methods_are_case_sensitive(client: Client) -> None:
    """`get` is a method nobody knows."""
    answer = client.send(request("get / HTTP/1.1")).read()

    assert answer.status == 501


def test_3_1_a_custom_method_reaches_its_handler(client: Client) -> None:
    """Methods are open-ended; an application may name its own."""
    answer = client.send(request("PURGE /see HTTP/1.1")).read()

    assert orjson.loads(answer.body)["method"] == "PURGE"


@pytest.mark.parametrize("target", ["/\xe9", "/\x80", "/a\xff"])
def test_3_2_non_ascii_in_the_target_is_400(client: Client, target: str) -> None:
    """A URI is ASCII."""
    answer = client.send(get(target)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("target", ["/#a", "/a#", "/?#", "http://a/#b", "#"])
def test_3_2_a_fragment_in_the_target_is_400(client: Client, target: str) -> None:
    """Fragments are never sent."""
    answer = client.send(get(target)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/see", "/see", ""),
        ("/see?", "/see", ""),
        ("/see?a=1&b=%20", "/see", "a=1&b=%20"),
        ("/see?a=/?b", "/see", "a=/?b"),
    ],
)
def test_3_2_1_origin_form(client: Client, target: str, path: str, query: str) -> None:
    """Path and query are cut at the first question mark, and not decoded."""
    seen = orjson.loads(client.send(get(target)).read().body)

    assert (seen["target"], seen["path"], seen["query"]) == (target, path, query)


@pytest.mark.parametrize(
    "target", ["see", "*", "a:80", "?a", "ftp://a/see", "http:/see", "mailto:a@b", "://a/"]
)
def test_3_2_a_target_without_a_form_is_400(client: Client, target: str) -> None:
    """A GET takes origin-form or absolute-form."""
    answer = client.send(get(target)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("http://other.test/see?a=1", "/see", "a=1", "other.test"),
        ("HTTPS://other.test:8443/see", "/see", "", "other.test:8443"),
        ("http://[::1]:80/see", "/see", "", "[::1]:80"),
    ],
)
def test_3_2_2_absolute_form_overrides_host(
    client: Client, target: str, path: str, query: str, host: str
) -> None:
    """The Host received is replaced by the target's authority, everywhere it can be seen."""
    seen = orjson.loads(client.send(get(target, "X-After: 1")).read().body)

    assert (seen["target"], seen["path"], seen["query"], seen["host"]) == (target, path, query, host)
    assert [value for name, value in seen["headers"] if name.lower() == "host"] == [host]
    assert ["X-After", "1"] in seen["headers"]


def test_3_2_2_absolute_form_without_a_path_means_the_root(client: Client) -> None:
    """`http://host` is `http://host/`."""
    answer = client.send(get("http://other.test")).read()

    assert answer.body == b"ok"


@pytest.mark.parametrize(
    "target",
    ["http:///see", "http://user@a/see", "http://a:b/see", "http://a:65536/", "http://[::g]/", "http://a b/"],
)
def test_3_2_2_an_invalid_authority_is_400(client: Client, target: str) -> None:
    """User information above all, which only misleads."""
    answer = client.send(get(target)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("target", ["/", "*", "http://a/", "a", "a:", "a:b", ":80", "a:65536", "a:80/"])
def test_3_2_3_connect_with_another_form_is_400(client: Client, target: str) -> None:
    """CONNECT takes host:port and nothing else."""
    answer = client.send(request(f"CONNECT {target} HTTP/1.1")).read()

    assert answer.status == 400
    client.expect_end()


def test_3_2_3_connect_is_not_implemented(client: Client) -> None:
    """An origin server makes no tunnels."""
    answer = client.send(request("CONNECT a:443 HTTP/1.1")).read()

    assert answer.status == 501


@pytest.mark.parametrize("target", ["*", "http://example.test"])
def test_3_2_4_options_for_the_server_itself(client: Client, target: str) -> None:
    """Asterisk-form, or absolute-form without path and query."""
    answer = client.send(request(f"OPTIONS {target} HTTP/1.1")).read()

    assert answer.status == 204
    assert {"GET", "HEAD", "OPTIONS", "POST", "PURGE"} <= set((answer.get("allow") or "").split(", "))


def test_3_2_host_is_required_in_1_1(client: Client) -> None:
    """Without it nobody knows which site is meant."""
    answer = client.send(b"GET / HTTP/1.1\r\n\r\n").read()

    assert answer.status == 400
    client.expect_end()


def test_3_2_host_is_optional_in_1_0(client: Client) -> None:
    """HTTP/1.0 did not have it."""
    answer = client.send(b"GET / HTTP/1.0\r\n\r\n").read()

    assert answer.status == 200


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("second", ["Host: example.test", "Host: other.test", "hOST: example.test", "Host:"])
def test_3_2_two_hosts_are_400(client: Client, second: str, version: str) -> None:
    """Also when they are equal: whoever repeats it has something in mind."""
    answer = client.send(request(f"GET / HTTP/{version}", second)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a/b",
        "a?b",
        "a#b",
        "user@a",
        "a:b",
        "a:80:80",
        "a:65536",
        "a:123456",
        "[::1",
        "::1",
        "[::1]a",
        "[1.2.3.4]",
        "[:::1]",
        "a%zz",
        "a%2",
        "\xe9",
        "http://a",
        "a\\b",
        ":80",
        "a, b",
    ],
)
def test_3_2_an_invalid_host_is_400(client: Client, host: str) -> None:
    """The field is `host[:digits]`, each by its grammar."""
    answer = client.send(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize(
    "host",
    [
        "a",
        "a.example:80",
        "a:",
        "127.0.0.1:65535",
        "[::1]",
        "[2001:db8::1]:8080",
        "[::ffff:1.2.3.4]",
        "a_b",
        "a%20b",
        "xn--nxasmq6b",
        "\ta \t",
    ],
)
def test_3_2_a_valid_host_is_accepted(client: Client, host: str) -> None:
    """Names, addresses of both kinds, ports; blanks around the value are not part of it."""
    answer = client.send(f"GET /see HTTP/1.1\r\nHost:{host}\r\n\r\n".encode()).read()

    assert orjson.loads(answer.body)["host"] == host.strip()
