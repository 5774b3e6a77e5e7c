"""What a supervisor does without looking up, and the mail that waits until it has.

An OTP supervisor is one process with one mailbox: while it starts or ends children it reads nothing else.
Here starts and ends take time without blocking anyone, so that order must be kept on purpose. `policy.py`
carries plans out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from rocket_sup.actions import Token
from rocket_sup.child import Child, Purpose
from rocket_sup.spec import ExitReason


@dataclass(slots=True)
class Plan:
    """Children to be ended, then children to be started, one by one.

    Attributes:
        stopping: those still to be ended, in that order.
        starting: those still to be started, in that order; one that was dropped in the meantime is left out.
        purpose: why they are started.
        current: the one to wait for.
    """

    stopping: deque[Child] = field(default_factory=deque)
    starting: deque[Child] = field(default_factory=deque)
    purpose: Purpose = Purpose.RESTART
    current: Child | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call that waits its turn."""

    carry_out: Callable[[float], None]
    token: Token


@dataclass(frozen=True, slots=True)
class Exit:
    """The exit of a child that fell while nobody looked."""

    child: Child
    reason: ExitReason


class Mailbox:
    """Calls and exits in the order of their arrival."""

    def __init__(self) -> None:
        self._mail: deque[Call | Exit] = deque()

    def __len__(self) -> int:
        return len(self._mail)

    def put(self, mail: Call | Exit) -> None:
        """Add a piece of mail as the last one."""
        self._mail.append(mail)

    def take(self) -> Call | Exit:
        """Remove the first piece of mail and return it."""
        return self._mail.popleft()

    def withdraw_exit(self, child: Child) -> None:
        """Remove the exit of this child: somebody has looked after it already."""
        self._mail = deque(
            mail for mail in self._mail if not (isinstance(mail, Exit) and mail.child is child)
        )

    def empty(self) -> list[Token]:
        """Throw all mail away and return the tokens of the calls in it."""
        tokens = [mail.token for mail in self._mail if isinstance(mail, Call)]
        self._mail.clear()
        return tokens
