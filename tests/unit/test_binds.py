"""Addresses: the four forms, what they mean, and what is refused."""

from __future__ import annotations

import re

import pytest

from rocket_sup.binds import Bind, BindKind, binds_of, check_host, parse_bind
from rocket_sup.config import Config, ServerConfig


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4:80", Bind(BindKind.TCP, host="1.2.3.4", port=80)),
        ("localhost:0", Bind(BindKind.TCP, host="localhost", port=0)),
        (":8080", Bind(BindKind.TCP, host="0.0.0.0", port=8080)),
        ("[::]:65535", Bind(BindKind.TCP, host="::", port=65535)),
        ("unix:/run/rocket.sock", Bind(BindKind.UNIX, path="/run/rocket.sock")),
        ("unix:./rocket.sock", Bind(BindKind.UNIX, path="./rocket.sock")),
        ("unix:@rocket", Bind(BindKind.UNIX, path="@rocket")),
        ("fd:3", Bind(BindKind.FD, fd=3)),
    ],
)
def test_the_forms_of_an_address(text: str, expected: Bind) -> None:
    """Each form is parsed, and written back as it can be read again."""
    assert expected == parse_bind(text)
    assert expected == parse_bind(str(expected))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not an address"),
        ("8080", "is not an address"),
        ("localhost", "is not an address"),
        ("::1:80", "is not an address"),
        ("1.2.3.4:80x", "is not an address"),
        ("1.2.3.4:65536", "port 65536 is outside the range 0 to 65535"),
        ("1.2.3.256:80", '"1.2.3.256" is neither an IP address nor a host name'),
        ("[::g]:80", '"::g" is neither'),
        ("http://x:80", "is not an address"),
        ("-x:80", '"-x" is neither'),
        ("unix:", "needs a path"),
        ("unix:relative", "needs a path"),
        ("unix:/", "needs a path"),
        ("unix:/" + "x" * 107, "is longer than the 107 bytes"),
        ("fd:", "needs a descriptor number"),
        ("fd:-1", "needs a descriptor number"),
    ],
)
def test_what_is_not_an_address_is_refused(text: str, complaint: str) -> None:
    """The sentence says what was expected."""
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse_bind(text)


def test_a_host_may_be_a_name() -> None:
    """Names are resolved when they are bound, not here."""
    assert "app_1.example" == check_host("app_1.example")


def test_host_and_port_count_when_there_is_no_bind() -> None:
    """The list replaces them; an empty one does not."""
    assert (Bind(BindKind.TCP, host="::1", port=9),) == binds_of(
        Config(server=ServerConfig(host="::1", port=9))
    )
    assert (Bind(BindKind.FD, fd=3), Bind(BindKind.UNIX, path="@a")) == binds_of(
        Config(server=ServerConfig(port=9, bind=("fd:3", "unix:@a")))
    )
