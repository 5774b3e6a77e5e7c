"""Hooks: who decides, in which order, and what a wrong answer does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rocket_sup.config import TimeoutsConfig
from rocket_sup.errors import LocalProtocolError
from rocket_sup.hooks import Deadlines, Hooks, RoutingDecision, SetupDecision, check_hook, host_of

TIMEOUTS = TimeoutsConfig()
CLIENT = ("127.0.0.1", 4711)
REQUEST: Any = object()  # hooks pass the request on and never look at it


def test_without_hooks_everything_proceeds() -> None:
    """No hook, no opinion."""
    hooks = Hooks()

    assert hooks.run_setup(CLIENT, TIMEOUTS) is TIMEOUTS
    assert hooks.run_pre_routing(REQUEST) is RoutingDecision.PROCEED
    hooks.run_teardown(CLIENT, None)


@pytest.mark.parametrize("decision", [SetupDecision.DROP, SetupDecision.STOP_ACCEPTING])
def test_the_first_setup_decision_ends_the_question(decision: SetupDecision) -> None:
    """None and PROCEED pass the question on; anything else is the answer."""
    asked: list[object] = []
    hooks = Hooks()
    hooks.setup = [
        lambda client: asked.append(client),
        lambda client: SetupDecision.PROCEED,
        lambda client: decision,
        lambda client: pytest.fail("asked after the decision"),
    ]

    assert hooks.run_setup(CLIENT, TIMEOUTS) is decision
    assert asked == [CLIENT]


@pytest.mark.parametrize("wrong", [False, True, "drop", RoutingDecision.DROP])
def test_a_setup_hook_must_decide_in_the_right_words(wrong: Any) -> None:
    """A slip such as `return False` is an error, not a decision."""
    hooks = Hooks()
    hooks.setup = [lambda client: wrong]

    with pytest.raises(LocalProtocolError, match="allowed: None, a SetupDecision"):
        hooks.run_setup(CLIENT, TIMEOUTS)


def test_the_first_deadline_counts() -> None:
    """What no hook gives stays as configured; a decision after it still ends the question."""
    hooks = Hooks()
    hooks.setup = [
        lambda client: Deadlines(head=1.0, idle=0),
        lambda client: Deadlines(idle=5.0, write=2.0),
    ]
    timeouts = hooks.run_setup(CLIENT, TIMEOUTS)

    assert timeouts == replace(TIMEOUTS, head=1.0, idle=0, write=2.0)
    hooks.setup.append(lambda client: SetupDecision.DROP)
    assert SetupDecision.DROP is hooks.run_setup(CLIENT, TIMEOUTS)


def test_a_deadline_is_not_negative() -> None:
    """The application's slip, said at once."""
    with pytest.raises(LocalProtocolError, match="idle=-1"):
        Deadlines(idle=-1)


@pytest.mark.parametrize("answer", [RoutingDecision.DROP, (403, "no"), "", {}, 0])
def test_the_first_answer_ends_the_question(answer: object) -> None:
    """Any value but None and PROCEED is the answer, also an empty one."""
    hooks = Hooks()
    hooks.pre_routing = [
        lambda request: None,
        lambda request: RoutingDecision.PROCEED,
        lambda request: answer,
        lambda request: pytest.fail("asked after the answer"),
    ]

    assert hooks.run_pre_routing(REQUEST) is answer


def test_every_teardown_hook_is_told() -> None:
    """A hook that fails keeps nothing from the others, and its failure is not lost."""
    told: list[object] = []
    problem = ConnectionResetError()

    def fail(client: object, error: Exception | None) -> None:
        told.append("failed")
        raise ValueError("first")

    def fail_again(client: object, error: Exception | None) -> None:
        raise KeyError("second")

    hooks = Hooks()
    hooks.teardown = [fail, fail_again, lambda client, error: told.append((client, error))]

    with pytest.raises(ValueError, match="first"):
        hooks.run_teardown(CLIENT, problem)

    assert told == ["failed", (CLIENT, problem)]


def test_coroutine_functions_are_no_hooks() -> None:
    """A hook that would have to be awaited decides too late."""

    async def late(client: object) -> None:
        pass

    check_hook(lambda client: None)
    with pytest.raises(LocalProtocolError, match="'late' is 'async def'"):
        check_hook(late)


@pytest.mark.parametrize(("client", "name"), [(("192.0.2.1", 80), "192.0.2.1"), ("", "-"), ("/a", "/a")])
def test_a_client_has_a_name_in_logs(client: Any, name: str) -> None:
    """Its address without the port, its path, or a dash."""
    assert name == host_of(client)
