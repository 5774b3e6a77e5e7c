"""What errors carry to those who read them."""

from __future__ import annotations

import pytest

from rocket_sup import errors
from rocket_sup.errors import ApplicationError, ConfigError, Problem, RemoteProtocolError, RocketError


def test_every_error_has_one_root() -> None:
    """`except RocketError` catches whatever this package raises on purpose."""
    raised = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert len(raised) > 5
    assert all(issubclass(error, RocketError) for error in raised)


def test_a_configuration_error_tells_all_problems() -> None:
    """One line each: where it was written, the key, and what is allowed."""
    problems = [
        Problem("rocket.toml:3", "server.port", "70000, allowed: 0 to 65535"),
        Problem("environment", "server.host", "is empty"),
    ]
    error = ConfigError(problems)

    assert tuple(problems) == error.problems
    assert (
        "rocket.toml:3: server.port: 70000, allowed: 0 to 65535\nenvironment: server.host: is empty"
        == str(error)
    )


def test_a_protocol_error_of_the_peer_says_how_to_answer_it() -> None:
    """The status to answer with, and where in the message the fault is, if that is known."""
    plain = RemoteProtocolError("no")
    exact = RemoteProtocolError("too long", status=414, offset=8192)

    assert (400, None) == (plain.status, plain.offset)
    assert ("too long", 414, 8192) == (str(exact), exact.status, exact.offset)


def test_an_application_error_keeps_the_report_apart() -> None:
    """The message is one line; the traceback is for the operator."""
    error = ApplicationError("cannot import app", report="Traceback …")

    assert ("cannot import app", "Traceback …") == (str(error), error.report)


def test_public_names_are_found_late_and_others_are_refused() -> None:
    """`rocket_sup.Router` is imported on first use; a wrong name is an AttributeError."""
    import rocket_sup

    assert "rocket_sup.router" == rocket_sup.Router.__module__
    with pytest.raises(AttributeError, match="no attribute 'Rooter'"):
        _ = rocket_sup.Rooter
