"""The tree of the client's errors."""

from __future__ import annotations

import pytest

from rocket_sup.client import errors
from rocket_sup.client.messages import Request, Response
from rocket_sup.errors import RocketError


def test_one_root() -> None:
    """Everything the client raises on purpose is a ClientError and an error of this package."""
    kinds = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    ]

    assert [] == [
        kind for kind in kinds if kind is not RocketError and not issubclass(kind, errors.ClientError)
    ]
    assert issubclass(errors.ClientError, RocketError)


@pytest.mark.parametrize(
    "kind", [errors.ConnectTimeout, errors.ReadTimeout, errors.WriteTimeout, errors.PoolTimeout]
)
def test_timeouts_are_timeouts(kind: type[errors.RequestTimeout]) -> None:
    """They can be caught as the builtin one, and say whether the request was sent."""
    error = kind("late", request_sent=False)

    assert isinstance(error, TimeoutError)
    assert not error.request_sent
    assert "late" == str(error)


def test_what_an_error_knows() -> None:
    """The request, the answer, the errno, where there is one."""
    request = Request("GET", "http://host/")
    status = errors.StatusError("404", response=Response(404, request=request))
    refused = errors.ConnectError("refused", request=request)
    exhausted = errors.ResourcesExhausted("no descriptor", cause_name="EMFILE")

    assert request is status.request
    assert 404 == status.response.status
    assert (request, False) == (refused.request, refused.request_sent)
    assert "EMFILE" == exhausted.cause_name
    assert not errors.CircuitOpen("open").request_sent
