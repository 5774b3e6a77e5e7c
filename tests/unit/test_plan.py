"""Plans and the mail that waits for them."""

from __future__ import annotations

from rocket_sup.child import Child
from rocket_sup.plan import Call, Exit, Mailbox, Plan
from rocket_sup.spec import ChildSpec, ExitKind, ExitReason

CRASH = ExitReason(ExitKind.EXIT, code=1)


def call(token: int) -> Call:
    """A call that does nothing."""
    return Call(lambda now: None, token)


def test_mail_is_taken_in_the_order_of_its_arrival() -> None:
    """Calls and exits alike."""
    mailbox = Mailbox()
    mail = [call(1), Exit(Child(ChildSpec("a")), CRASH), call(2)]
    for piece in mail:
        mailbox.put(piece)

    assert len(mailbox) == 3
    assert mail == [mailbox.take() for _ in mail]
    assert len(mailbox) == 0


def test_an_exit_that_was_seen_to_is_withdrawn() -> None:
    """Only that of this child."""
    mailbox = Mailbox()
    a, b = Child(ChildSpec("a")), Child(ChildSpec("b"))
    first, last = call(1), Exit(b, CRASH)
    for piece in (first, Exit(a, CRASH), last):
        mailbox.put(piece)
    mailbox.withdraw_exit(a)

    assert [first, last] == [mailbox.take(), mailbox.take()]


def test_throwing_mail_away_tells_who_must_be_answered() -> None:
    """Exits expect no answer."""
    mailbox = Mailbox()
    for piece in (call(1), Exit(Child(ChildSpec("a")), CRASH), call(2)):
        mailbox.put(piece)

    assert [1, 2] == mailbox.empty()
    assert len(mailbox) == 0


def test_plans_share_nothing() -> None:
    """Each has lists of its own."""
    one, other = Plan(), Plan()
    one.starting.append(Child(ChildSpec("a")))

    assert not other.starting
