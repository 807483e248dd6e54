"""The result of a flow equals that of a direct interpreter: in this thread, step by step, without a history."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from types import CoroutineType
from typing import Any

from hypothesis import given

from traction.definitions.classes import Activity
from traction.flow.effects import Local
from traction.flow.step import (
    All,
    Both,
    Compensate,
    Done,
    Ensure,
    Fail,
    FlatMap,
    Helper,
    Map,
    Named,
    Now,
    Recover,
    Saga,
    Shield,
    Sleep,
    Step,
)
from traction.payloads.codec import Codec
from traction.testing.laws.flows import choices, flows
from traction.testing.laws.history_generator import Choose, choose_plain, derive_outcome, generate_history
from traction.testing.laws.laws import to_workflow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

UNDOS: list[list[tuple[Any, Any]]] = []
"""What the sagas around have registered, the innermost last."""


def read(s: Any) -> Any:
    """Return the result of a step, or raise its failure."""
    match s:
        case Done(value):
            return value
        case Fail(error=error):
            raise error
        case Map(source, f):
            return f(read(source))
        case FlatMap(source, f):
            return read(f(read(source)))
        case Recover(source, errors, f):
            try:
                return read(source)
            except errors as error:
                return read(f(error))
        case Ensure(source, finalizer):
            try:
                return read(source)
            finally:
                read(finalizer)
        case Named(source, _) | Shield(source):
            return read(source)
        case Now():
            return NOON
        case Saga(source):
            return read_saga(source)
        case Compensate(source, f):
            x = read(source)
            UNDOS[-1].append((f, x))
            return x
        case Both(steps):
            return tuple(map(read, steps))
        case All(steps, _):
            return list(map(read, steps))
        case Sleep():
            return None
        case Helper(f, args, kwargs):
            return drive(f(*args, **kwargs))
        case Local(call):
            return do(call)
        case Activity():
            return do(s)
    raise AssertionError(f"{s!r} has no second reading")


def read_saga(source: Any) -> Any:
    UNDOS.append([])
    try:
        x = read(source)
    except Exception:
        # What undoes may fail; the next is done all the same.
        for f, x in reversed(UNDOS.pop()):
            with suppress(Exception):
                read(f(x))
        raise
    registered = UNDOS.pop()
    if UNDOS:
        UNDOS[-1] += registered
    return x


def drive(coroutine: CoroutineType[Any, Any, Any]) -> Any:
    act, given = coroutine.send, None
    while True:
        try:
            awaited = act(given)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value
        try:
            act, given = coroutine.send, read(awaited)
        except Exception as error:
            act, given = coroutine.throw, error  # type: ignore[assignment]


def do(activity: Any) -> int:
    asked = type("Asked", (), {"workflow_type": activity.spec.type, "input": Codec().encode(activity)})
    return int(str(derive_outcome(asked, choose_plain)))


@given(flows(races=False, failures=False, places=False), choices())
def test_a_flow_without_races_gives_what_its_steps_give_one_after_the_other(flow: Step[Any], choose: Choose) -> None:
    generated = generate_history(to_workflow(flow), choose, outcome=derive_outcome, codec=Codec())
    expected = generate_history(to_workflow(Done(read(flow))), codec=Codec())
    assert tell_end(generated.closed) == tell_end(expected.closed)


@given(flows(races=False, groups=False, places=False), choices())
def test_a_flow_in_sequence_succeeds_and_fails_as_python_would(flow: Step[Any], choose: Choose) -> None:
    generated = generate_history(to_workflow(flow), choose, outcome=derive_outcome, codec=Codec())
    try:
        end: Step[Any] = Done(read(flow))
    except Exception as error:
        end = Fail(error)
    expected = generate_history(to_workflow(end), codec=Codec())
    assert tell_end(generated.closed) == tell_end(expected.closed)


def tell_end(closed: Any) -> tuple[object, ...]:
    return type(closed), getattr(closed, "result", None), getattr(closed, "reason", None)
