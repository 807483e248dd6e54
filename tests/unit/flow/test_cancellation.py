"""What scopes are before a flow enters them, and what is refused of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from traction import (
    CancelScope,
    Workflow,
    activity,
    cancel_scope,
    fail_after,
    minutes,
    move_on_after,
    saga,
    shield,
    sleep,
    workflow,
)
from traction.errors import FlowError
from traction.flow.step import Saga, Shield
from traction.testing import simulate


@activity
def fetch(number: int) -> int:
    return number


@pytest.mark.parametrize("make", [move_on_after, fail_after])
def test_a_scope_has_the_span_that_it_is_given(make: Any) -> None:
    assert make(90).span == make(minutes(1.5)).span == timedelta(seconds=90)


@pytest.mark.parametrize("make", [move_on_after, fail_after])
@pytest.mark.parametrize("span", [-1, float("nan"), timedelta(seconds=-1), 100_000_000])
def test_a_span_that_swf_rejects_is_rejected_before_a_scope_is_entered(make: Any, span: Any) -> None:
    with pytest.raises(ValueError, match=r"a time span (must|has)"):
        make(span)


@pytest.mark.parametrize("make", [move_on_after, fail_after])
@pytest.mark.parametrize("span", ["1 h", None, True])
def test_values_that_are_not_spans_are_rejected_before_a_scope_is_entered(make: Any, span: Any) -> None:
    with pytest.raises(TypeError, match="is not a time span"):
        make(span)


def test_a_scope_that_was_never_entered_is_not_cancelled() -> None:
    assert not cancel_scope().cancelled


def test_a_scope_without_await_is_refused_by_python() -> None:
    scope: Any = cancel_scope()
    with pytest.raises(TypeError, match="context manager"), scope:
        pass


@pytest.mark.parametrize("make", [cancel_scope, lambda: move_on_after(60), lambda: fail_after(60)])
def test_a_scope_is_entered_once(make: Any) -> None:
    class Twice(Workflow[None]):
        async def flow(self) -> None:
            scope: CancelScope = make()
            for _ in range(2):
                async with scope:
                    await sleep(1)

    with pytest.raises(FlowError, match="entered twice"):
        simulate(Twice())


def test_a_scope_that_is_over_is_cancelled_in_vain() -> None:
    @workflow
    async def flow() -> bool:
        async with cancel_scope() as scope:
            await sleep(1)
        await scope.cancel()
        return scope.cancelled

    assert simulate(flow()).result is False


@pytest.mark.parametrize("say", [shield, saga])
@pytest.mark.parametrize("thing", [7, None, fetch, lambda: sleep(1)])
def test_shield_and_saga_reject_values_that_are_not_steps(say: Any, thing: Any) -> None:
    with pytest.raises(TypeError, match="expected a step"):
        say(thing)


def test_a_step_is_shielded_or_undone_as_it_is() -> None:
    assert shield(sleep(1)) == Shield(sleep(1))
    assert saga(sleep(1)) == Saga(sleep(1))
