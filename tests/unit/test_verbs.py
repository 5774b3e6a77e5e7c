"""A decorator for each method."""

from __future__ import annotations

import pytest

from rocket_sup.router import STANDARD_METHODS, Router
from rocket_sup.verbs import Verbs


@pytest.mark.parametrize("method", sorted(STANDARD_METHODS))
def test_each_method_has_a_decorator(method: str) -> None:
    """Which hands on what it is given."""
    router = Router()

    def handler(request: object) -> str:
        return ""

    decorate = getattr(router, method.lower())
    assert handler is decorate("/a", blocking=True, max_body=7)(handler)
    router.freeze()
    found = router.find(method, "/a")

    assert found is not None
    route = found[0]
    assert (method, "/a", True, 7) == (route.method, route.pattern, route.blocking, route.max_body)


def test_the_way_to_register_is_the_routers() -> None:
    """Nothing is kept here."""
    with pytest.raises(NotImplementedError):
        Verbs().get("/")
