"""Which engine is chosen, for every wish and every state of the native module."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rocket_sup.config import Config, ServerConfig
from rocket_sup.engine import native
from rocket_sup.engine.choice import choose
from rocket_sup.errors import EngineError

WHOLE = SimpleNamespace(probe_uring=lambda: None)
FORBIDDEN = SimpleNamespace(probe_uring=lambda: "io_uring_setup: Operation not permitted")


@pytest.mark.parametrize(
    ("wanted", "module", "chosen", "is_fallback", "reason"),
    [
        ("auto", None, "python", True, "it is not built"),
        ("auto", WHOLE, "epoll", False, "the native module is there"),
        ("auto", FORBIDDEN, "epoll", False, "the native module is there"),
        ("python", None, "python", False, "server.engine asks for it"),
        ("python", WHOLE, "python", False, "server.engine asks for it"),
        ("epoll", WHOLE, "epoll", False, "server.engine asks for it"),
        ("epoll", FORBIDDEN, "epoll", False, "server.engine asks for it"),
        ("io_uring", WHOLE, "io_uring", False, "server.engine asks for it"),
        ("io_uring", FORBIDDEN, "epoll", True, "Operation not permitted"),
    ],
)
def test_the_choice(
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    module: SimpleNamespace | None,
    chosen: str,
    is_fallback: bool,
    reason: str,
) -> None:
    """Each has its reason; what is less than wanted, or than there could be, is marked."""
    monkeypatch.setattr(native, "load", lambda: (module, "" if module else "it is not built"))
    engine = choose(Config(server=ServerConfig(engine=wanted)))

    assert (chosen, is_fallback) == (engine.name, engine.is_fallback)
    assert reason in engine.reason


@pytest.mark.parametrize("wanted", ["epoll", "io_uring"])
def test_an_engine_asked_for_by_name_is_not_replaced(monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """Without the module there is none, and the operator is told so."""
    monkeypatch.setattr(native, "load", lambda: (None, "the native module is not built"))

    with pytest.raises(EngineError, match=f'server.engine is "{wanted}", but the native module is not built'):
        choose(Config(server=ServerConfig(engine=wanted)))
