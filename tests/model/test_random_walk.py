"""The same comparison as test_supervision_model.py, with stories that are cheap instead of clever.

Hypothesis finds a short story for what goes wrong; a plain random walk tells twenty times as many in the same
time and gets into corners that Hypothesis seldom visits. The seeds are fixed: a failure names its story, and
the steps can be read in the log.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.model import test_supervision_model as model

pytestmark = pytest.mark.slow

STORIES = 1500  # about a second and a half for each strategy
STEPS = 40
SECONDS = (0.0, 0.5, 1.0, 2.0, 6.0)


class Walk:
    """One story, told by a random generator; what happens most is what keeps a supervisor busy."""

    def __init__(self, world: model.Supervision, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)
        self.log: list[str] = []

    def do(self, name: str, *arguments: object) -> None:
        """Take a step, and compare."""
        self.log.append(f"{name}{arguments}")
        method: Callable[..., None] = getattr(self.world, name)
        method(*arguments)
        self.world.they_agree_on_what_there_is()
        self.world.processes_are_where_the_machine_thinks()

    def tell(self) -> None:
        """From the beginning to the end."""
        choice, which = self.random.choice, self.random.randrange(24)
        specs = [choice(model.SPECS) for _ in range(self.random.randrange(5))]
        self.do("create", choice(model.FLAGS), specs, which)
        for _ in range(STEPS):
            self.step(choice, self.random.randrange(24))
        self.world.teardown()

    def step(self, choice: Callable[..., object], which: int) -> None:
        """Something happens that can happen."""
        name = self.random.choices(list(self.weights), list(self.weights.values()))[0]
        if name in ("say_ready", "say_ignore") and self.world.starting():
            self.do(name, which)
        elif name == "all_say_ready" and self.world.starting():
            self.do(name)
        elif name == "die" and self.world.alive:
            self.do(name, which, choice(model.REASONS))
        elif name == "start_child":
            self.do(name, choice(model.SPECS), choice(model.IDS))
        elif name in ("terminate_child", "restart_child", "delete_child"):
            self.do(name, choice(model.IDS))
        elif name == "change_flags":
            self.do(name, choice((0, 1, 3, 1000)))
        elif name in ("rest", "tick"):
            self.do(name, choice(SECONDS))
        elif name == "stop" or (name == "wait" and self.world.policy.next_deadline() is not None):
            self.do(name)

    weights = {  # noqa: RUF012 - read only
        "say_ready": 25,
        "say_ignore": 2,
        "all_say_ready": 8,
        "die": 25,
        "start_child": 6,
        "terminate_child": 6,
        "restart_child": 4,
        "delete_child": 3,
        "change_flags": 2,
        "stop": 1,
        "rest": 4,
        "tick": 5,
        "wait": 9,
    }


@pytest.mark.parametrize("world", [model.OneForOne, model.OneForAll, model.RestForOne])
def test_machine_and_model_agree_on_random_stories(world: type[model.Supervision]) -> None:
    """Every action, every state and every deadline, at every step."""
    for seed in range(STORIES):
        walk = Walk(world(), seed)
        try:
            walk.tell()
        except Exception as error:
            error.add_note(f"seed {seed}:\n" + "\n".join(walk.log))
            raise
