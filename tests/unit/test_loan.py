"""The handle of an exchange: alive as long as that, and dead ever after."""

from __future__ import annotations

from typing import Any

from rocket_sup.incoming import Incoming
from rocket_sup.loan import Loan
from tests.unit.fakeconduit import make_request
from tests.unit.wirebench import Bench


class Lender:
    """Notes what it is asked."""

    unsent = 7

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object, **keywords: object) -> bool:
            self.calls.append(name)
            return True

        return call


def use(loan: Loan) -> None:
    """Call everything."""
    loan.attach(None)  # type: ignore[arg-type]  # nobody is told anything here
    loan.resume_reading()
    loan.pause_reading()
    loan.begin()
    assert loan.write(b"x")
    assert loan.send_file(3, 0, 1)
    loan.upgrade()
    loan.finish(200, 0)
    loan.abort()
    loan.on_handled(None, None)  # type: ignore[arg-type]  # passed on as it is


def test_a_loan_passes_on_until_it_is_over() -> None:
    """Then every method does nothing, and writing never waits."""
    bench = Bench()
    lender = Lender()
    loan = Loan(
        lender,  # type: ignore[arg-type]  # it has every method
        bench.service,
        make_request("POST / HTTP/1.1", "Content-Length: 5", "Expect: 100-continue"),
        Incoming(),
        started=1.0,
        keep_alive=True,
    )
    use(loan)
    assert lender.calls == [
        *("on_attached", "resume_lent", "pause_lent", "begin_lent", "write_lent", "send_lent_file"),
        *("upgrade_lent", "finish_lent", "abort_lent", "on_lent_handled"),
    ]
    assert (loan.unsent, loan.keep_alive) == (7, True)
    assert not loan.waits_for_continue
    lender.calls.clear()
    loan.lender = None
    use(loan)

    assert (lender.calls, loan.unsent, loan.keep_alive) == ([], 0, False)
    assert loan.date_line.startswith(b"Date: ")
    assert loan.sessions is bench.service.sessions
    bench.close()


def test_a_loan_has_the_threads_of_its_wire() -> None:
    """For what blocks."""
    bench = Bench()
    loan = Loan(
        Lender(),  # type: ignore[arg-type]
        bench.service,
        make_request(),
        Incoming(),
        started=1.0,
        keep_alive=True,
    )

    assert loan.executor.submit(int).result(10) == 0
    bench.close()
