"""Invariants of deciders, for generated flows and histories."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from traction.decider.decider import Decider
from traction.flow.combinators import first_of, sleep
from traction.flow.step import Step
from traction.model import decisions as d
from traction.model import events as e
from traction.model.correlation import CAUSES, is_caused_by
from traction.payloads.codec import Codec
from traction.testing.laws.flows import choices, flows, part, work
from traction.testing.laws.history_generator import (
    EXECUTION,
    Choose,
    GeneratedHistory,
    choose_from,
    choose_plain,
    decide_from_start,
    derive_outcome,
    generate_history,
)
from traction.testing.laws.laws import assert_chunk_invariant, to_workflow

fault_counts = st.integers(0, 4)


def list_completed(generated: GeneratedHistory) -> list[int]:
    """Return the ids of DecisionTaskStarted events of completed decision tasks."""
    return [event.started_event_id for event in generated.events if isinstance(event, e.DecisionTaskCompleted)]


@given(flows(), choices(), fault_counts, st.booleans())
def test_a_finite_flow_closes(flow: Step[Any], choose: Choose, faults: int, incremental: bool) -> None:
    assert (
        generate_history(to_workflow(flow), choose, faults=faults, incremental=incremental, codec=Codec()).closed
        is not None
    )


@given(flows(), choices(), fault_counts)
def test_a_decider_fed_as_events_come_decides_as_one_fed_from_the_start(
    flow: Step[Any], choose: Choose, faults: int
) -> None:
    generated = generate_history(to_workflow(flow), choose, faults=faults, codec=Codec())
    assert_chunk_invariant(flow, generated, list_completed(generated))


@given(flows(), choices(), fault_counts, st.data())
def test_a_history_cut_anywhere_gives_the_same_decisions(
    flow: Step[Any], choose: Choose, faults: int, data: st.DataObject
) -> None:
    generated = generate_history(to_workflow(flow), choose, faults=faults, codec=Codec())
    assert_chunk_invariant(flow, generated, [cut for cut in list_completed(generated) if data.draw(st.booleans())])


@given(flows(), choices(), fault_counts)
def test_a_longer_history_never_retracts_an_answer(flow: Step[Any], choose: Choose, faults: int) -> None:
    workflow, codec = to_workflow(flow), Codec()
    generated = generate_history(workflow, choose, faults=faults, codec=codec)
    for index, completed in enumerate(generated.events):
        if isinstance(completed, e.DecisionTaskCompleted):
            shown = []
            for event in generated.events[index + 1 :]:
                if type(event) not in CAUSES or not is_caused_by(event, completed.event_id):
                    break
                shown.append((CAUSES[type(event)][0], name_what(event)))
            decided = decide_from_start(workflow, generated, completed.started_event_id, codec=codec)
            assert [(type(decision), name_what(decision)) for decision in decided] == shown


def name_what(awaited: Any) -> object:
    names = ("activity_id", "timer_id", "workflow_id", "input", "start_to_fire_timeout", "result")
    ids = [getattr(awaited, name, None) for name in names[:3]]
    return next((id for id in ids if id is not None), None)


@given(flows(), choices(), fault_counts)
def test_a_decider_reads_a_closed_history_to_its_end(flow: Step[Any], choose: Choose, faults: int) -> None:
    workflow, codec = to_workflow(flow), Codec()
    generated = generate_history(workflow, choose, faults=faults, codec=codec)
    decider = Decider(workflow, execution=EXECUTION, codec=codec)
    decider.feed(generated.events)
    assert decider.closed


@given(flows(), choices(), fault_counts)
def test_an_id_that_is_open_is_never_used_again(flow: Step[Any], choose: Choose, faults: int) -> None:
    generated = generate_history(to_workflow(flow), choose, faults=faults, codec=Codec())
    causes = {getattr(event, "cause", None) for event in generated.events}
    assert not causes & {"ACTIVITY_ID_ALREADY_IN_USE", "TIMER_ID_ALREADY_IN_USE"}


@given(flows(), choices(), fault_counts)
def test_deciding_is_pure(flow: Step[Any], choose: Choose, faults: int) -> None:
    workflow, codec = to_workflow(flow), Codec()
    generated = generate_history(workflow, choose, faults=faults, codec=codec)
    for cut in list_completed(generated):
        first = decide_from_start(workflow, generated, cut, codec=codec)
        assert first == decide_from_start(workflow, generated, cut, codec=codec)


@given(flows(races=False, failures=False, places=False), choices())
def test_without_races_the_result_does_not_depend_on_the_order_of_completions(flow: Step[Any], choose: Choose) -> None:
    workflow = to_workflow(flow)
    plain, other = (
        generate_history(workflow, c, outcome=derive_outcome, codec=Codec()) for c in (choose_plain, choose)
    )
    assert get_result(plain) == get_result(other)
    assert list_asked(plain) == list_asked(other)


def get_result(generated: GeneratedHistory) -> str | None:
    assert isinstance(generated.closed, e.WorkflowExecutionCompleted)
    return generated.closed.result


def list_asked(generated: GeneratedHistory) -> list[tuple[str, str | None]]:
    """Return the ids and inputs of all tasks, in the order of their ids."""
    asked = [one for decisions in generated.decisions.values() for one in decisions]
    tasks = {(one.activity_id, one.input) for one in asked if isinstance(one, d.ScheduleActivityTask)}
    timers = {(one.timer_id, one.start_to_fire_timeout) for one in asked if isinstance(one, d.StartTimer)}
    return sorted(tasks | timers)


@given(flows(), choices())
@example(first_of(work(1), work(2)), choose_from([]))
@example(first_of(work(1), sleep(1)), choose_from([]))
@example(first_of(part(1), sleep(1)), choose_from([]))
def test_withdrawn_steps_are_closed_or_cancelled(flow: Step[Any], choose: Choose) -> None:
    generated = generate_history(to_workflow(flow), choose, codec=Codec())
    open_ids: dict[int, str] = {}
    asked_to_cancel: set[str] = set()
    for event in generated.events:
        match event:
            case e.ActivityTaskScheduled(activity_id=id) | e.TimerStarted(timer_id=id):
                open_ids[event.event_id] = id
            case e.StartChildWorkflowExecutionInitiated(workflow_id=id):
                open_ids[event.event_id] = id
            case e.ActivityTaskCancelRequested(activity_id=id) | e.RequestCancelActivityTaskFailed(activity_id=id):
                asked_to_cancel.add(id)
            case e.RequestCancelExternalWorkflowExecutionInitiated(workflow_id=id) | e.TimerCanceled(timer_id=id):
                asked_to_cancel.add(id)
            case _:
                pass
        if not isinstance(event, e.DecisionTaskStarted | e.DecisionTaskCompleted):
            for link in ("scheduled_event_id", "initiated_event_id", "started_event_id"):
                if not isinstance(event, e.ActivityTaskStarted | e.ChildWorkflowExecutionStarted):
                    open_ids.pop(getattr(event, link, 0), None)
    assert set(open_ids.values()) <= asked_to_cancel


@given(flows(), choices(), fault_counts)
def test_a_query_returns_the_state_of_the_next_decision(flow: Step[Any], choose: Choose, faults: int) -> None:
    workflow, codec = to_workflow(flow), Codec()
    generated = generate_history(workflow, choose, faults=faults, codec=codec)
    for started in generated.decisions:
        looks, decides = (Decider(workflow, execution=EXECUTION, codec=codec) for _ in range(2))
        decides.feed(generated.events[:started])
        decides.decide()
        assert looks.query(generated.events[:started]) == decides.context.state
        looks.close()
        decides.close()


@given(flows(), choices(), fault_counts)
def test_a_history_can_be_queried_at_any_event(flow: Step[Any], choose: Choose, faults: int) -> None:
    workflow, codec = to_workflow(flow), Codec()
    events = generate_history(workflow, choose, faults=faults, codec=codec).events
    completed = 0
    for last, following in zip(events, [*events[1:], None], strict=True):
        if isinstance(last, e.DecisionTaskCompleted):
            completed = last.event_id
        # SWF writes what a decision task causes all at once.
        if type(following) not in CAUSES or not is_caused_by(following, completed):
            decider = Decider(workflow, execution=EXECUTION, codec=codec)
            decider.query(events[: last.event_id])
            decider.close()
