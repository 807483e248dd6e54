"""The conformance exam: check that a backend does what `traction.backend` documents.

It needs no test runner and calls only the methods of `Backend`, so a simulator, a server and Amazon SWF itself take the
same exam. Each check creates its own types, task lists and executions, so checks can run in any order, concurrently and
repeatedly.

The exam accepts everything that SWF leaves open: lists may lag behind, polls may wait longer than requested, and a type
may be unknown for a moment after its registration.

Example:
    @pytest.mark.parametrize(("name", "sit_check"), exam(lambda: open_backend("local:")))
    def test_the_backend_conforms(name, sit_check):
        sit_check()
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from traction.backend import Backend
from traction.testing.conformance.activity_tasks import CHECKS as ACTIVITY_TASKS
from traction.testing.conformance.decision_tasks import CHECKS as DECISION_TASKS
from traction.testing.conformance.decisions import CHECKS as DECISIONS
from traction.testing.conformance.executions import CHECKS as EXECUTIONS
from traction.testing.conformance.expect import ExamFailure as ExamFailure
from traction.testing.conformance.external import CHECKS as EXTERNAL
from traction.testing.conformance.long_polling import CHECKS as LONG_POLLING
from traction.testing.conformance.paging import CHECKS as PAGING
from traction.testing.conformance.registration import CHECKS as REGISTRATION
from traction.testing.conformance.visibility import CHECKS as VISIBILITY

Check = Callable[[Backend], None]

CHECKS: tuple[Check, ...] = (
    *REGISTRATION,
    *EXECUTIONS,
    *DECISION_TASKS,
    *DECISIONS,
    *ACTIVITY_TASKS,
    *EXTERNAL,
    *PAGING,
    *VISIBILITY,
    *LONG_POLLING,
)
"""All checks: functions that take an open backend, each named after what it claims."""


def exam(open_backend: Callable[[], Backend]) -> list[tuple[str, Callable[[], None]]]:
    """Return the name of each check and a function that opens a backend, checks it, and closes it."""
    return [(check.__name__, partial(sit_check, open_backend, check)) for check in CHECKS]


def sit(open_backend: Callable[[], Backend]) -> list[tuple[str, Exception]]:
    """Run all checks. Return the name and the error of each check that failed."""
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
        ExamFailure: The claim does not hold.
        TractionError: The backend refused a valid request.
    """
    backend = open_backend()
    try:
        check(backend)
    finally:
        backend.close()
