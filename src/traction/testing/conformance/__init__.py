"""Examine any backend: what `traction.backend` promises, check by check.

Takes a function that opens a backend, ours or a stranger's; gives the claims that do not hold. Needs no test runner,
and asks by the contract alone, so that a simulator, a server and Amazon SWF itself sit the same exam. Each check
makes types, task lists and executions of its own, so checks may run in any order, side by side, and again.

What SWF leaves open the exam leaves open: lists may be late, polls may wait longer than asked, a type may be unknown
for a moment after it was registered. What the contract promises it wants to the letter.

Example:
    @pytest.mark.parametrize(("name", "sit_check"), exam(lambda: open_backend("local:")))
    def test_the_backend_keeps_its_promises(name, sit_check):
        sit_check()
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from traction.backend import Backend
from traction.testing.conformance.activity_tasks import CHECKS as WORKING
from traction.testing.conformance.decision_tasks import CHECKS as DECIDING
from traction.testing.conformance.executions import CHECKS as EXECUTING
from traction.testing.conformance.expect import ExamFailure as ExamFailure
from traction.testing.conformance.external import CHECKS as REACHING
from traction.testing.conformance.long_polling import CHECKS as HOLDING
from traction.testing.conformance.paging import CHECKS as READING
from traction.testing.conformance.registration import CHECKS as REGISTERING
from traction.testing.conformance.visibility import CHECKS as LISTING

Check = Callable[[Backend], None]

CHECKS: tuple[Check, ...] = (*REGISTERING, *EXECUTING, *DECIDING, *WORKING, *REACHING, *READING, *LISTING, *HOLDING)
"""Every check: a function that is given an open backend, named by what it claims."""


def exam(open_backend: Callable[[], Backend]) -> list[tuple[str, Callable[[], None]]]:
    """Give each check by its name, ready to be called: it opens a backend, checks, and closes it again."""
    return [(check.__name__, partial(sit_check, open_backend, check)) for check in CHECKS]


def sit(open_backend: Callable[[], Backend]) -> list[tuple[str, Exception]]:
    """Sit the whole exam; give the name of each claim that does not hold, with what was seen instead."""
    failures: list[tuple[str, Exception]] = []
    for name, check in exam(open_backend):
        try:
            check()
        except Exception as error:
            failures.append((name, error))
    return failures


def sit_check(open_backend: Callable[[], Backend], check: Check) -> None:
    """Open a backend, run one check, and close the backend.

    Raises:
        ExamFailure: the claim does not hold.
        TractionError: the backend refused what it should take.
    """
    backend = open_backend()
    try:
        check(backend)
    finally:
        backend.close()
