"""Stubs: replacements for the bodies of activities in tests.

A script lists what happens at the first attempt, the second, and so on.

Example:
    stub={
        Charge: fails(2, then="receipt"),        # an error twice, then a result
        Ship: takes(minutes(3), then="parcel"),  # a result, three minutes later
        Notify: raises(SmtpError("down")),       # an error, always
        Refund: lambda call: call.amount,        # a function of the call
        Audit: None,                             # a value
        Index: sometimes(raises(Down)),          # its own body; an error where the schedule deviates
        Resize: heartbeats_then_crashes(0.5),  # a heartbeat, then the worker crashes; its own body next time
    }
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import msgspec

from traction.errors import DefinitionError, PayloadError
from traction.flow.durations import Span, to_timedelta
from traction.payloads.codec import JSON, Codec, name_type
from traction.runtime.activity_task import current_task

Stub: TypeAlias = Callable[[Any], Any] | object
"""The replacement for an activity's body: a function of its call, a script, or a value.

Any value is an `object`; the callable is listed so that type checkers infer the parameter of a lambda.
"""


class StubbedAttempt(msgspec.Struct, frozen=True):
    """One attempt: a function of the call (`None` for the activity's own body), and how long it takes."""

    body: Callable[[Any], Any] | None
    span: timedelta = timedelta(0)
    crashes: bool = False
    """Whether the worker crashes after the attempt, before it responds."""
    alternatives: tuple[StubbedAttempt, ...] = ()
    """The attempts that the schedule may choose in its place."""


class StubScript(msgspec.Struct, frozen=True):
    """The attempts of an activity, counted over all its calls; the last one repeats."""

    attempts: tuple[StubbedAttempt, ...]

    def get_attempt(self, number: int) -> StubbedAttempt:
        """Return an attempt by its number, counted from 1."""
        return self.attempts[min(number, len(self.attempts)) - 1]


class _Returns(msgspec.Struct, frozen=True):
    value: Any

    def __call__(self, call: Any) -> Any:
        return self.value


class _Raises(msgspec.Struct, frozen=True):
    error: BaseException | type[BaseException]

    def __call__(self, call: Any) -> Any:
        # Without the traceback of an earlier raise.
        raise self.error if isinstance(self.error, type) else self.error.with_traceback(None)


class _Beats(msgspec.Struct, frozen=True):
    details: Any

    def __call__(self, call: Any) -> Any:
        current_task().heartbeat(self.details)


BODY = StubScript((StubbedAttempt(None),))
"""The activity's own body."""


def returns(value: Any) -> StubScript:
    """Return a value at every attempt."""
    return StubScript((StubbedAttempt(_Returns(value)),))


def raises(error: BaseException | type[BaseException]) -> StubScript:
    """Raise an exception at every attempt."""
    return StubScript((StubbedAttempt(_Raises(error)),))


def fails(times: int, then: Stub = BODY, error: BaseException | type[BaseException] | None = None) -> StubScript:
    """Raise an exception `times` times, then do `then`: a value, a function, another script."""
    if times < 0:
        raise ValueError(f"fails({times}): times must be 0 or more")
    failures = tuple(
        StubbedAttempt(_Raises(error or RuntimeError(f"attempt {n} fails, as scripted"))) for n in range(1, times + 1)
    )
    return StubScript(failures + to_script(then).attempts)


def takes(span: Span, then: Stub = BODY) -> StubScript:
    """Make each attempt of `then` (a value, a function, another script) take a span of virtual time."""
    added = to_timedelta(span)
    return StubScript(tuple(msgspec.structs.replace(one, span=one.span + added) for one in to_script(then).attempts))


def crashes(then: Stub = BODY) -> StubScript:
    """Crash the worker at the first attempt, after the body and before the response; then do `then`."""
    return StubScript((StubbedAttempt(None, crashes=True), *to_script(then).attempts))


def heartbeats_then_crashes(details: Any = None, then: Stub = BODY) -> StubScript:
    """Send a heartbeat at the first attempt and crash the worker; then do `then`."""
    return StubScript((StubbedAttempt(_Beats(details), crashes=True), *to_script(then).attempts))


def sometimes(odd: Stub, otherwise: Stub = BODY) -> StubScript:
    """Do `odd` at the attempts where the schedule deviates, and `otherwise` at all others."""
    odd_attempts = to_script(odd).attempts
    return StubScript(
        tuple(msgspec.structs.replace(one, alternatives=odd_attempts) for one in to_script(otherwise).attempts)
    )


def to_script(stub: Any) -> StubScript:
    """Convert a stub (a script, a function of the call, or a value) to a script."""
    if isinstance(stub, StubScript):
        return stub
    if callable(stub) and not isinstance(stub, type):
        return StubScript((StubbedAttempt(stub),))
    return returns(stub)


def check_script(activity: Any, script: StubScript, codec: Codec = JSON) -> None:
    """Check that the values in a script have the result type of the activity.

    Raises:
        DefinitionError: a value has another type.
    """
    spec, name = activity.spec, activity.__qualname__
    for attempt in (*script.attempts, *(odd for one in script.attempts for odd in one.alternatives)):
        if isinstance(attempt.body, _Returns):
            try:
                codec.decode(codec.encode(attempt.body.value), spec.result)
            except PayloadError as error:
                raise DefinitionError(
                    f"the stub of {name} returns {attempt.body.value!r:.200}, but {name} returns "
                    f"{name_type(spec.result)}: {error}"
                ) from error
