"""Describe the failures that an exception was raised from, and restore them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypedDict

from traction import errors
from traction.errors import ActivityFailed, ChildFailed, ExecutionFailed, StepFailed, StepTimedOut, WorkflowFailed
from traction.payloads.failure_info import Cause, FailureInfo, cut_middle
from traction.payloads.tracebacks import CAUSED

CAUSES_MAX = 8
"""How many causes a failure has; of more, the outermost ones and the innermost one."""

CAUSE_CHARS_MAX = 1_024
"""The length at which a text that describes a cause is cut."""


def list_causes(error: BaseException) -> tuple[Cause, ...]:
    """List the failures that an exception is, or was raised from, down to the first one."""
    causes: list[Cause] = []
    failure = _find_failure(error)
    while failure is not None:
        causes.append(_describe_cause(failure))
        failure = getattr(failure, "cause", None)
        failure = failure if isinstance(failure, StepFailed | ExecutionFailed) else None
    return cut_causes(causes)


def _find_failure(error: BaseException | None) -> StepFailed | ExecutionFailed | None:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, StepFailed | ExecutionFailed):
            return error
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _describe_cause(failure: StepFailed | ExecutionFailed) -> Cause:
    kind = next(one for one in type(failure).__mro__ if one.__module__ == StepFailed.__module__)
    text = cut_middle(str(failure.args[0] if failure.args else ""), CAUSE_CHARS_MAX)
    if not isinstance(failure, ActivityFailed | ChildFailed | WorkflowFailed):
        facts = {name: _write_fact(value) for name, value in vars(failure).items() if not name.startswith("_")}
        return Cause(kind.__name__, text, facts)
    # Not all attributes, since those of a declared error include its fields.
    facts = {name: getattr(failure, name) for name in ("step", "execution", "status") if hasattr(failure, name)}
    trace = failure.traceback.removeprefix(f"{getattr(failure.cause, 'traceback', '')}{CAUSED}")
    message = cut_middle(failure.message, CAUSE_CHARS_MAX)
    return Cause(kind.__name__, text, facts, failure.type, message, trace, failure.bases)


def _write_fact(value: object) -> str | float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    short = isinstance(value, str) and len(value) <= CAUSE_CHARS_MAX
    return value if short or isinstance(value, int | float) else None  # type: ignore[return-value]


def _restore_causes(causes: Sequence[Cause]) -> Exception | None:
    made: Exception | None = None
    for cause in reversed(causes):
        kind: Any = getattr(errors, cause.failure, None)
        if not (isinstance(kind, type) and issubclass(kind, StepFailed | ExecutionFailed)):
            kind = StepFailed  # of a later version of Traction
        facts: dict[str, Any] = dict(cause.facts)
        if kind is StepTimedOut:
            facts["limit"] = timedelta(seconds=facts.get("limit") or 0)
        if issubclass(kind, ActivityFailed | ChildFailed | WorkflowFailed):
            trace = _join_tracebacks(made, cause.traceback)
            facts |= {"type": cause.type, "message": cause.message, "traceback": trace, "bases": cause.bases}
            facts |= {"cause": made, "reason": cause.type, "details": ""}
        failure = kind.__new__(kind, cause.text)
        failure.__setstate__(facts)
        made = failure
    return made


def _join_tracebacks(cause: Exception | None, own: str) -> str:
    return CAUSED.join(filter(None, (getattr(cause, "traceback", ""), own)))


class Known(TypedDict):
    """The arguments that `ActivityFailed`, `ChildFailed` and `WorkflowFailed` have in common."""

    type: str
    message: str
    traceback: str
    bases: tuple[str, ...]
    cause: Exception | None


def make_known(info: FailureInfo) -> Known:
    """Return the arguments of a failure with this description; its cause is a failure again."""
    cause = _restore_causes(info.causes)
    return Known(
        type=info.type,
        message=info.message,
        traceback=_join_tracebacks(cause, info.traceback),
        bases=info.bases,
        cause=cause,
    )


def cut_causes(causes: Sequence[Cause], most: int = CAUSES_MAX) -> tuple[Cause, ...]:
    """Return at most `most` causes: the outermost ones and the innermost one."""
    return tuple(causes) if len(causes) <= most else (*causes[: most - 1], causes[-1])
