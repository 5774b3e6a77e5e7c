"""RFC 9112 §5: field syntax; RFC 6585 §5: too many of them."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from tests.conformance.server import Client, Server, get, request


def test_5_fields_keep_order_case_repeats_and_inner_blanks(client: Client) -> None:
    """What an application sees is what was sent, less the blanks around each value."""
    answer = client.send(
        get("/see", "X-One:  a  b\t", "x-TWO:c", "X-One: ", "X_One: d", "X-Raw: \xe9")
    ).read()

    assert orjson.loads(answer.body)["headers"] == [
        ["Host", "example.test"],
        ["X-One", "a  b"],
        ["x-TWO", "c"],
        ["X-One", ""],
        ["X_One", "d"],
        ["X-Raw", "\xe9"],
    ]


@pytest.mark.parametrize("blank", [" ", "\t"])
@pytest.mark.parametrize("name", ["X-One", "Host", "Content-Length", "Transfer-Encoding"])
def test_5_1_a_blank_before_the_colon_is_400(client: Client, name: str, blank: str) -> None:
    """The blank would make one recipient see the field and another not."""
    answer = client.send(get("/", f"{name}{blank}: 1")).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("field", [": a", "X", "X Y: a", "X(: a", "X\xe9: a", "X/Y: a", '"X": a', "X;: a"])
def test_5_1_a_name_that_is_no_token_is_400(client: Client, field: str) -> None:
    """Names are tokens, followed by a colon."""
    answer = client.send(get("/", field)).read()

    assert answer.status == 400
    client.expect_end()


@pytest.mark.parametrize("fold", [" b", "\tb", " ", "\t"])
def test_5_2_a_folded_line_is_400(client: Client, fold: str) -> None:
    """obs-fold is refused, not unfolded."""
    answer = client.send(get("/", "X: a", fold)).read()

    assert answer.status == 400
    client.expect_end()


def test_5_underscores_are_no_hyphens(client: Client) -> None:
    """A field with an underscore decides nothing that one with a hyphen does."""
    answer = client.send(
        request("POST /length HTTP/1.1", "Content_Length: 5", "Content-Length: 2") + b"ab"
    ).read()

    assert answer.body == b"2"


def test_5_4_a_head_over_the_limit_is_431(serve: Callable[..., Server]) -> None:
    """Exactly the limit is served, one byte more is not."""
    client = serve(limits={"head": 200}).connect()
    spare = 200 - len(get("/", "X: "))
    fits = client.send(get("/", "X: " + "a" * spare)).read()
    answer = client.send(get("/", "X: " + "a" * (spare + 1))).read()

    assert fits.status == 200
    assert answer.status == 431
    client.expect_end()


def test_5_4_a_head_that_never_ends_is_431(client: Client) -> None:
    """The answer comes before the head does, and memory holds no more than the limit."""
    answer = client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000).read()

    assert answer.status == 431
    client.expect_end()


def test_5_4_too_many_fields_are_431(serve: Callable[..., Server]) -> None:
    """Host is one of them."""
    client = serve(limits={"headers": 5}).connect()
    fits = client.send(get("/", *["X: 1"] * 4)).read()
    answer = client.send(get("/", *["X: 1"] * 5)).read()

    assert fits.status == 200
    assert answer.status == 431
    client.expect_end()


def test_431_is_delivered_while_the_client_still_sends(client: Client) -> None:
    """The client may be in the middle of megabytes; it can still read why."""
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: %b\r\n" % (b"a" * 100) * 20000)

    assert client.read().status == 431
    client.expect_end()
