"""Say what an activity does in a test, instead of its own body.

Takes values, exceptions, spans; gives scripts: what happens at the first attempt, the second, and so on. Knows no
service.

Example:
    stub={
        Charge: fails(2, then="receipt"),        # twice an error, then a result
        Ship: takes(minutes(3), then="parcel"),  # a result, three minutes later
        Notify: raises(SmtpError("down")),       # an error, always
        Refund: lambda call: call.amount,        # a function of the call
        Audit: None,                             # a value
        Index: sometimes(raises(Down)),          # its own body, or an error where the schedule deviates
        Resize: heartbeats_then_crashes(0.5),       # a heartbeat, and then the worker is gone; next time its own body
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
"""What stands for the body of an activity: a function of its call, a script, or a value.

Anything is an `object`; that it may be a function tells type checkers what the parameter of a lambda is.
"""


class StubbedAttempt(msgspec.Struct, frozen=True):
    """One attempt: how long it takes, and what comes of it, given the call; `None` for the activity's own body."""

    play: Callable[[Any], Any] | None
    span: timedelta = timedelta(0)
    crashes: bool = False
    """Whether the worker dies when it has done so much, and says nothing."""
    instead: tuple[StubbedAttempt, ...] = ()
    """What it may be instead, if the schedule deviates."""


class StubScript(msgspec.Struct, frozen=True):
    """What happens at each attempt of an activity, counted over all its calls; the last act is repeated."""

    acts: tuple[StubbedAttempt, ...]

    def find_act(self, attempt: int) -> StubbedAttempt:
        """Give the act of an attempt, counted from 1."""
        return self.acts[min(attempt, len(self.acts)) - 1]


class _Returns(msgspec.Struct, frozen=True):
    value: Any

    def __call__(self, call: Any) -> Any:
        return self.value


class _Raises(msgspec.Struct, frozen=True):
    error: BaseException | type[BaseException]

    def __call__(self, call: Any) -> Any:
        # One that was raised before would tell of that as well.
        raise self.error if isinstance(self.error, type) else self.error.with_traceback(None)


class _Beats(msgspec.Struct, frozen=True):
    details: Any

    def __call__(self, call: Any) -> Any:
        current_task().heartbeat(self.details)


BODY = StubScript((StubbedAttempt(None),))
"""The activity's own body."""


def returns(value: Any) -> StubScript:
    """Give a value, always."""
    return StubScript((StubbedAttempt(_Returns(value)),))


def raises(error: BaseException | type[BaseException]) -> StubScript:
    """Raise an exception, always."""
    return StubScript((StubbedAttempt(_Raises(error)),))


def fails(times: int, then: Stub = BODY, error: BaseException | type[BaseException] | None = None) -> StubScript:
    """Raise an exception so many times, and then do what `then` says: a value, a function, another script."""
    if times < 0:
        raise ValueError(f"fails({times}): an activity fails no fewer times than 0")
    acts = tuple(
        StubbedAttempt(_Raises(error or RuntimeError(f"attempt {n} fails, as its script says")))
        for n in range(1, times + 1)
    )
    return StubScript(acts + to_script(then).acts)


def takes(span: Span, then: Stub = BODY) -> StubScript:
    """Let time pass before each attempt ends as `then` says: a value, a function, another script."""
    added = to_timedelta(span)
    return StubScript(tuple(msgspec.structs.replace(act, span=act.span + added) for act in to_script(then).acts))


def crashes(then: Stub = BODY) -> StubScript:
    """Let the worker die at the first attempt, when the body is done but not answered; then do what `then` says."""
    return StubScript((StubbedAttempt(None, crashes=True), *to_script(then).acts))


def heartbeats_then_crashes(details: Any = None, then: Stub = BODY) -> StubScript:
    """Send a heartbeat at the first attempt, and let the worker die; then do what `then` says."""
    return StubScript((StubbedAttempt(_Beats(details), crashes=True), *to_script(then).acts))


def sometimes(odd: Stub, otherwise: Stub = BODY) -> StubScript:
    """Do what `odd` says at the attempts where the schedule deviates, and what `otherwise` says at all others."""
    instead = to_script(odd).acts
    return StubScript(tuple(msgspec.structs.replace(act, instead=instead) for act in to_script(otherwise).acts))


def to_script(stub: Any) -> StubScript:
    """Read a stub: a script, a function of the call, or a value."""
    if isinstance(stub, StubScript):
        return stub
    if callable(stub) and not isinstance(stub, type):
        return StubScript((StubbedAttempt(stub),))
    return returns(stub)


def check_script(activity: Any, script: StubScript, codec: Codec = JSON) -> None:
    """Check that the values in a script are what the activity gives.

    Raises:
        DefinitionError: one is of another type.
    """
    spec, name = activity.spec, activity.__qualname__
    for act in (*script.acts, *(odd for each in script.acts for odd in each.instead)):
        if isinstance(act.play, _Returns):
            try:
                codec.decode(codec.encode(act.play.value), spec.result)
            except PayloadError as error:
                raise DefinitionError(
                    f"the stub of {name} gives {act.play.value!r:.200}, and {name} gives "
                    f"{name_type(spec.result)}: {error}"
                ) from error
