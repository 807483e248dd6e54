"""A replay accepts histories of the current code, and reports where others diverge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from traction import Workflow, activity, continue_as_new, patched, random, receive, side_effect, sleep, workflow
from traction.errors import DefinitionError, HistoryError, NonDeterminismError, PayloadError
from traction.flow.signals import Signal
from traction.history.export import make_stored, write_stored
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.replay import replay
from traction.testing import simulate
from traction.testing.laws.history_generator import EXECUTION, generate_history


@activity
def charge(n: int) -> str:
    return f"receipt {n}"


@activity
def ship(receipt: str) -> str:
    return f"parcel for {receipt}"


@workflow
async def checkout(n: int) -> str:
    return await ship(await charge(n))


KEPT = simulate(checkout(7)).history


def another(flow: Callable[..., Any]) -> type[Workflow[Any]]:
    """Make of a function what the flow of `checkout` is now."""
    return workflow(flow, name="checkout")  # type: ignore[call-overload, no-any-return]


def part(flow: Callable[..., Any], history: Any = KEPT) -> NonDeterminismError:
    with pytest.raises(NonDeterminismError) as found:
        replay(history, another(flow))
    return found.value


def test_the_result_counts_what_was_read() -> None:
    replayed = replay(KEPT, checkout)
    assert (replayed.events, replayed.decision_tasks, replayed.closed) == (len(KEPT), 3, True)
    assert replayed.workflow_type == checkout.spec.type


@pytest.mark.parametrize("form", ["events", "stored", "text", "path", "name of a file"])
def test_a_history_is_taken_in_any_form(form: str, tmp_path: Path) -> None:
    stored = make_stored(KEPT, WorkflowExecution("order", "r"))
    file = tmp_path / "order.json"
    file.write_text(write_stored(stored))
    history: Any = {
        "events": iter(KEPT),
        "stored": stored,
        "text": file.read_text(),
        "path": file,
        "name of a file": str(file),
    }[form]
    assert replay(history, checkout).closed


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(HistoryError, match=r"lost\.json cannot be read: No such file"):
        replay("lost.json", checkout)


def test_another_step_is_named_with_both_types_the_event_and_the_line() -> None:
    async def flow(n: int) -> str:
        return await ship(str(n))

    error = part(flow)
    assert (error.step, error.event_id, error.event) == ("ship-1", 5, "ActivityTaskScheduled")
    assert (error.expected, error.actual) == ("ScheduleActivityTask  charge 1", "ScheduleActivityTask  ship 1")
    line = flow.__code__.co_firstlineno + 1
    assert error.place is not None
    assert error.place.endswith(f"flow ({__file__}, line {line})")
    assert 'patched("...")' in str(error)
    assert "new version" in str(error)


def test_a_flow_that_closes_before_its_history_does_is_found_out() -> None:
    async def flow(n: int) -> str:
        return await charge(n)

    error = part(flow)
    assert (error.event, error.actual) == ("ActivityTaskScheduled", "CompleteWorkflowExecution  the end")


def test_a_flow_that_goes_on_after_its_history_has_closed_is_found_out() -> None:
    async def flow(n: int) -> str:
        parcel = await ship(await charge(n))
        await sleep(5)
        return parcel

    error = part(flow)
    assert (error.event_id, error.event) == (len(KEPT), "WorkflowExecutionCompleted")
    assert error.actual == "StartTimer  sleep-1"


async def fail(n: int) -> str:
    raise ValueError(await ship(await charge(n)))


async def begin_again(n: int) -> str:
    await ship(await charge(n))
    return await continue_as_new(checkout(n))


@pytest.mark.parametrize("flow", [fail, begin_again])
def test_another_close_is_found_out(flow: Any) -> None:
    error = part(flow)
    assert (error.event, error.expected) == ("WorkflowExecutionCompleted", "CompleteWorkflowExecution  the end")
    assert error.actual.split()[0] in ("FailWorkflowExecution", "ContinueAsNewWorkflowExecution")


def test_a_side_effect_that_the_history_does_not_know_is_found_out_and_not_done() -> None:
    done = []

    async def flow(n: int) -> str:
        receipt = await charge(n)
        await side_effect(lambda: done.append(n), type(None))
        return await ship(receipt)

    error = part(flow)
    second = [event for event in KEPT if isinstance(event, e.DecisionTaskCompleted)][1]
    assert (error.step, error.event_id, error.event) == ("side_effect-1", second.event_id, "DecisionTaskCompleted")
    assert done == []


def test_what_a_side_effect_gave_is_read_and_not_asked_for_again() -> None:
    done: list[int] = []

    async def flow(n: int) -> int:
        first = await side_effect(lambda: done.append(n) or len(done), int)
        await sleep(5)
        return first

    definition = another(flow)
    history = simulate(definition(7)).history
    done.clear()
    for end in (len(history), len(history) - 3):
        replay(history[:end], definition)
    assert done == []


def test_a_patch_lets_both_flows_be() -> None:
    async def flow(n: int) -> str:
        if await patched("gift"):
            await charge(0)
        return await ship(await charge(n))

    definition = another(flow)
    assert replay(KEPT, definition).closed
    assert replay(simulate(definition(7)).history, definition).closed


def test_chance_is_that_of_the_run_that_the_file_names() -> None:
    async def flow(n: int) -> str:
        return await charge(n).named(f"place {int(1_000_000 * await random())}")

    definition = another(flow)
    events = generate_history(definition, outcome=lambda *_: '"receipt"', input='{"n":7}').events
    assert replay(make_stored(events, EXECUTION), definition).closed
    assert replay(events, definition, execution=EXECUTION).closed
    with pytest.raises(NonDeterminismError):
        replay(events, definition)


def test_an_input_that_no_longer_decodes_is_named_with_its_field() -> None:
    async def flow(n: str) -> str:
        return n

    with pytest.raises(PayloadError, match=r"the input of checkout 1 does not decode .*\$\.n"):
        replay(KEPT[:2], another(flow))


def test_a_signal_that_no_longer_decodes_is_noted() -> None:
    class Approve(Signal):
        by: str

    @workflow
    async def wait() -> str:
        return (await receive(Approve)).by

    history = simulate(wait(), signals=[(1, "Approve", {"by": 7}), (2, "Approve", Approve("Ann"))]).history
    (note,) = replay(history, wait).notes
    assert "the signal Approve" in note


def test_a_history_of_another_workflow_is_refused() -> None:
    @workflow(version="2", name="checkout")
    async def later(n: int) -> str:
        return await charge(n)

    with pytest.raises(DefinitionError, match=r"is of checkout 1, and .*later is checkout 2"):
        replay(KEPT, later)
