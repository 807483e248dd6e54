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
from inspect import isfunction

from traction.backend import Backend
from traction.testing.conformance import (
    activity_tasks,
    decision_tasks,
    decisions,
    executions,
    external,
    long_polling,
    paging,
    registration,
    visibility,
)
from traction.testing.conformance.expect import ExamFailure as ExamFailure

Check = Callable[[Backend], None]

_PARTS = (
    registration,
    executions,
    decision_tasks,
    decisions,
    activity_tasks,
    external,
    paging,
    visibility,
    long_polling,
)
CHECKS: tuple[Check, ...] = tuple(
    check
    for part in _PARTS
    for name, check in vars(part).items()
    if isfunction(check) and check.__module__ == part.__name__ and not name.startswith("_")
)
"""All checks: the public functions of the modules, which take an open backend and are named after what they claim."""


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
