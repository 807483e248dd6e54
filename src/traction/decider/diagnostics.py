"""Distinguish failures of a flow from errors in its code, and explain the latter with their line."""

from __future__ import annotations

import re
from types import CoroutineType, FunctionType, GeneratorType
from typing import Any

from traction.decider.outcomes import Raised
from traction.errors import DefinitionError, FlowError, PayloadError, PayloadUnavailableError, StepFailed
from traction.flow.effects import ContinuedAsNew
from traction.flow.step import Cancelled, Step, is_wrapped
from traction.payloads.codec import Codec
from traction.runtime.awaitables import RULE, close_passed, explain_loop, is_of_a_loop, list_traced, name_thing

AWAITABLE = (Step, CoroutineType)
"""Types of values that must be awaited first."""

# Python's messages for an await that reaches no step, and for coroutines as operands of & or |.
_FOREIGN_AWAITS = ("can't be used in 'await' expression", "can't be awaited")
_FOREIGN_OPERAND = re.compile(r"unsupported operand type\(s\) for [&|]: .*'(coroutine|Future|Task)'")


def judge(error: BaseException) -> BaseException:
    """Return a failure of the flow; raise an error that its author or an operator must fix."""
    if (
        isinstance(error, (FlowError, DefinitionError))
        or must_wait(error)
        or not isinstance(error, (Exception, Cancelled, ContinuedAsNew))
    ):
        close_passed(error.__traceback__)
        raise error
    if isinstance(error, (TypeError, RuntimeError)) and (calls := list_traced(error.__traceback__)):
        text = str(error)
        if is_of_a_loop(calls[-1].module):
            close_passed(error.__traceback__)
            raise explain_loop(calls, text) from error
        if any(foreign in text for foreign in _FOREIGN_AWAITS) or _FOREIGN_OPERAND.search(text):
            code, line, _ = calls[0]
            raise FlowError(
                f"{code.co_qualname} awaits a non-step ({code.co_filename}, line {line}): {text}. {RULE}"
            ) from error
    return error


def awaits_step(inner: Any) -> bool:
    """Return whether a step is awaited, perhaps through decorators or comprehensions (coroutines in Python 3.11)."""
    while type(inner) is CoroutineType and (
        inner.cr_code.co_name in ("<listcomp>", "<setcomp>", "<dictcomp>") or is_wrapped(inner)
    ):
        inner = inner.cr_await
    return type(inner) is GeneratorType


def explain_await(coroutine: Any, value: Any) -> FlowError:
    """Return the error for a flow that awaits something other than a step."""
    frame = coroutine.cr_frame
    inner = coroutine.cr_await
    awaited = inner if isinstance(value, Step) or hasattr(inner, "__qualname__") else value
    while type(inner) is CoroutineType:
        inner = inner.cr_await
    by_yield = type(inner).__name__.startswith("async_generator")
    return FlowError(
        f"{coroutine.__qualname__} awaits {name_thing(awaited)}, which is not a step ({frame.f_code.co_filename}, "
        f"line {frame.f_lineno}). {RULE}{_NO_GENERATORS if by_yield else ''}"
    )


_NO_GENERATORS = (
    ". An async generator awaits on its own: use `async for` with a class whose __anext__, and `async with` one whose "
    "__aenter__ and __aexit__, return steps or are under @step"
)


def explain_result(coroutine: Any, value: Any) -> FlowError:
    """Return the error for a flow whose result is a step."""
    code, what = coroutine.cr_code, name_thing(value)
    if isinstance(value, CoroutineType):
        value.close()
    return FlowError(
        f"{coroutine.__qualname__} returns {what}, a step that is never awaited ({code.co_filename}, "
        f"line {code.co_firstlineno}). The result of an async flow is a value (Traction); write return await ..."
    )


def explain_endless(fiber: Any, node: Any, steps_max: int) -> FlowError:
    """Return the error for a flow that runs without end and never waits."""
    where = find_place(fiber) or _find_maker(node)
    return FlowError(
        f"{where} has built {steps_max:,} steps in a row without waiting: it never ends. Each "
        "round of a loop must wait for something (Traction): an activity, a signal, or traction.sleep"
    )


def encode_call(codec: Codec, call: Any, fiber: Any) -> str:
    """Write a call or a signal of a flow; the error for one that cannot be written and read names the line.

    Raises:
        PayloadError: as `Codec.encode_call`.
    """
    try:
        return codec.encode_call(call)
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        place = find_place(fiber)
        failure = PayloadError(f"{error}. It is made by {place}" if place else str(error))
        raise failure.as_bug(error.is_bug) from error


def must_wait(error: BaseException) -> bool:
    """Return whether an execution waits for fixed code, or for another decider, instead of failing with an error."""
    return isinstance(error, PayloadUnavailableError) or (
        isinstance(error, PayloadError) and not isinstance(error, StepFailed) and error.is_bug
    )


def to_failure(error: PayloadError) -> Raised:
    """Return the failure of a step or an execution whose value cannot be sent.

    Raises:
        PayloadError: the execution waits for fixed code, or for another decider.
    """
    if must_wait(error):
        raise error
    # Without the frames and causes of this package, since the flow fails with it in a line of its own.
    error.__cause__ = None
    error.__suppress_context__ = True
    return Raised(error.with_traceback(None))


def find_place(fiber: Any) -> str | None:
    """Return the innermost running coroutine of a fiber, with its line, if there is one."""
    while fiber is not None:
        for frame in reversed(fiber.frames):
            if type(frame) is CoroutineType and frame.cr_frame is not None:
                place: Any = frame
                while type(place.cr_await) is CoroutineType and is_wrapped(place.cr_await):
                    place = place.cr_await
                return f"{place.__qualname__} ({place.cr_code.co_filename}, line {place.cr_frame.f_lineno})"
        fiber = fiber.join and fiber.join.fiber
    return None


def _find_maker(node: Any) -> str:
    """Return the function that makes the next step, with its line."""
    f = getattr(node, "f", None)
    if isinstance(f, FunctionType):
        return f"{f.__qualname__} ({f.__code__.co_filename}, line {f.__code__.co_firstlineno})"
    return "the flow"


def close_coroutine(coroutine: Any) -> None:
    """Close a suspended coroutine, even if its `finally` blocks await steps."""
    # Each await in a finally block stops the close once. A flow with more of them than this is not closed.
    for _ in range(100):
        try:
            coroutine.close()
            return
        except RuntimeError:  # it awaited a step
            continue
        except BaseException:  # its finally block raised, and nothing handles that
            return
