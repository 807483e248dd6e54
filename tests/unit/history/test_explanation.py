"""An execution explains what it waits for, in one sentence and a few facts."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.unit.history.test_timeline import BEGAN, Story
from tests.unit.history.test_views import (
    add_decision_task,
    leave_activity_retrying,
    leave_activity_scheduled,
    leave_activity_started,
    leave_child_started,
    leave_timer_started,
)
from traction.history.explanation import Backlog, explain
from traction.history.reading import read_execution
from traction.history.views import AwaitedSignal, ExecutionView, FailureView
from traction.model import events as e
from traction.model.names import WorkflowExecution


def view_at(story: Story, seconds: float) -> ExecutionView:
    until = BEGAN + timedelta(seconds=seconds)
    return read_execution(story.events, execution=WorkflowExecution("order-7", "run-1"), until=until)


def leave(*steps: Any) -> Story:
    story = Story()
    for step in steps:
        step(story)
    return story


NAME = "order-7 (IndexProjectData 1)"

OPEN = {
    (leave_activity_scheduled,): f"""\
{NAME} waits for a worker: activity charge-1 has waited on the task list list for 19.00 s; 214 tasks wait there.
  activity  charge-1 (charge 2) has waited on the list list for 19.00 s
  way out   start a worker of charge: traction worker MODULE:charge""",
    (leave_activity_started,): f"""\
{NAME} is open, and waits for an activity, since 00:00:01 UTC, 19.00 s ago.
  activity  charge-1 (charge 2) has run on worker-a for 17.00 s; it times out in 43.00 s
  way out   see its lines and signals: traction why order-7 --definitions MODULE""",
    (leave_activity_retrying,): f"""\
{NAME} is open, and waits for an activity, since 00:00:01 UTC, 19.00 s ago.
  activity  charge-1 (A 1) is tried again now, after busy: later
  way out   see its lines and signals: traction why order-7 --definitions MODULE""",
    (leave_timer_started, leave_child_started): f"""\
{NAME} is open, and waits for a timer and a child, since 00:00:01 UTC, 19.00 s ago.
  timer    sleep-1 fires in 1 m 11 s
  child    Child-1 is the execution order-7, open for 18.00 s
  way out  see its lines and signals: traction why order-7 --definitions MODULE""",
    (): f"""\
{NAME} is open, and no task, timer or child of it is: it waits for a signal, or for nothing.
  way out  see for which: traction why order-7 --definitions MODULE""",
}


@pytest.mark.parametrize("steps", OPEN, ids=lambda steps: "+".join(step.__name__ for step in steps) or "nothing")
def test_an_open_execution_explains_what_it_waits_for(steps: Any) -> None:
    explanation = explain(view_at(leave(*steps), 20), Backlog(activities={"list": 214}))
    assert str(explanation) == OPEN[steps]


def test_a_decision_task_without_a_decider_waits_for_a_workflow_worker() -> None:
    story = Story()
    add_decision_task(story, 1)
    explanation = explain(view_at(story, 61), Backlog(decisions={"list": 1}))
    assert explanation.cause == "decider"
    assert explanation.summary == (
        "order-7 (IndexProjectData 1) waits for a workflow worker: a decision task has waited on the list list for "
        "1 m 00 s; 1 decision task waits there."
    )


def fail_decisions() -> Story:
    story = Story()
    for attempt in range(3):
        add_decision_task(story, 40 * attempt, 40 * attempt + 1, 40 * attempt + 31)
    add_decision_task(story, 120, 121)
    return story


def test_decision_tasks_that_time_out_in_a_row_mean_that_it_is_stuck() -> None:
    view = view_at(fail_decisions(), 130)
    explanation = explain(view)
    assert (explanation.cause, explanation.summary) == (
        "stuck",
        f"{NAME} is stuck: its decision task has timed out 3 times since 00:00:00 UTC, 2 m 10 s ago.",
    )
    assert explanation.ways_out == ("see it here: traction why order-7 --definitions MODULE",)
    message = "no match at step reserve-1\n\n  history (event 9)  reserve 1\n  current code  reserve 2\n\nAdvice."
    blocked = FailureView("traction.errors.NonDeterminismError", message, "flows.py:35 in order")
    explained = explain(msgspec.structs.replace(view, blocked=blocked), has_code=True)
    assert [(fact.label, fact.text) for fact in explained.facts[:4]] == [
        ("cause", "NonDeterminismError: no match at step reserve-1"),
        ("history (event 9)", "reserve 1"),
        ("current code", "reserve 2"),
        ("line", "flows.py:35 in order"),
    ]
    assert "deploy the former code" in explained.ways_out[0]


def test_an_awaited_signal_is_named_with_its_line_and_how_to_send_it() -> None:
    awaited = (AwaitedSignal(("Approve", "Reject"), "flows.py:35 in order"),)
    view = msgspec.structs.replace(view_at(Story(), 20), awaited=awaited)
    explanation = explain(view, has_code=True)
    assert (explanation.cause, explanation.summary) == (
        "signal",
        "order-7 (IndexProjectData 1) is open, and waits for the signal Approve or Reject.",
    )
    assert [fact.text for fact in explanation.facts] == ["Approve or Reject, at flows.py:35 in order"]
    assert explanation.ways_out[0] == "send it: traction signal order-7 MODULE:Approve"


def test_a_closed_execution_explains_how_it_closed() -> None:
    story = Story()
    story.activity("charge-1", 1, 2, 3, kind=e.ActivityTaskFailed, reason="CardDeclined", details="limit")
    story.decision(4, e.WorkflowExecutionFailed, reason="shop.Declined", details="no money")
    explanation = explain(view_at(story, 60))
    assert (explanation.cause, explanation.summary) == (
        "closed",
        f"{NAME} failed after 4.00 s: Declined: no money.",
    )
    assert explanation.facts[0].text == "charge-1 (A 1): CardDeclined: limit"
    story = Story()
    story.add(5, e.WorkflowExecutionTerminated, child_policy="TERMINATE", reason="enough")
    assert explain(view_at(story, 60)).summary == "order-7 (IndexProjectData 1) terminated after 5.00 s: enough."


def test_of_many_open_steps_only_some_are_listed() -> None:
    story = Story()
    for n in range(2000):
        story.decision(1, e.TimerStarted, timer_id=f"1.{n}.sleep-1", start_to_fire_timeout="90")
    explanation = explain(view_at(story, 20))
    assert "waits for 2,000 timers" in explanation.summary
    assert (len(explanation.facts), explanation.facts[-1].text) == (11, "1,990 open steps")


def test_commands_are_quoted_and_texts_of_others_stay_on_their_line() -> None:
    view = msgspec.structs.replace(view_at(leave(), 1), workflow_id="a; rm -rf ~ #", decision_task=None)
    awaited = (AwaitedSignal(("Go\n  way out  $(reboot)\x1b[2J",), "shop.py:3"),)
    explanation = explain(msgspec.structs.replace(view, awaited=awaited), has_code=True)
    (way,) = explanation.ways_out
    words = shlex.split(way.partition(": ")[2])
    assert words == ["traction", "signal", "a; rm -rf ~ #", "MODULE:Go\n  way out  $(reboot)\x1b[2J"]
    lines = str(explanation).split("\n")
    assert [line.split()[0] for line in lines[1:]] == ["signal", "way"]
    assert all(line.isprintable() for line in lines)
