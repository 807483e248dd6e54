"""Sequences of events that no execution can have, and their errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from traction.errors import HistoryError
from traction.history.state import HistoryState, fold
from traction.model import events as e
from traction.model.correlation import CLOSES
from traction.model.names import ActivityType, TaskList, WorkflowType

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HERE = TaskList("here")


def write(*events: tuple[type[Any], dict[str, Any]], first: int = 1) -> list[e.Event]:
    """Number events from `first`."""
    return [
        kind(event_id=event_id, event_timestamp=NOON, **attributes)
        for event_id, (kind, attributes) in enumerate(events, start=first)
    ]


BEGIN = (
    e.WorkflowExecutionStarted,
    {"child_policy": "TERMINATE", "task_list": HERE, "workflow_type": WorkflowType("w", "1")},
)
QUEUE = (e.DecisionTaskScheduled, {"task_list": HERE})
COMPLETE = (e.WorkflowExecutionCompleted, {"decision_task_completed_event_id": 4})


def start(scheduled: int) -> tuple[type[Any], dict[str, Any]]:
    return e.DecisionTaskStarted, {"scheduled_event_id": scheduled}


def decided(scheduled: int, started: int) -> tuple[type[Any], dict[str, Any]]:
    return e.DecisionTaskCompleted, {"scheduled_event_id": scheduled, "started_event_id": started}


def timed_out(scheduled: int, started: int, kind: str = "START_TO_CLOSE") -> tuple[type[Any], dict[str, Any]]:
    links = {"scheduled_event_id": scheduled, "started_event_id": started}
    return e.DecisionTaskTimedOut, {"timeout_type": kind, **links}


SCHEDULE = (
    e.ActivityTaskScheduled,
    {
        "activity_type": ActivityType("a", "1"),
        "activity_id": "a-1",
        "task_list": HERE,
        "decision_task_completed_event_id": 4,
    },
)
TIMER = (e.TimerStarted, {"timer_id": "t-1", "start_to_fire_timeout": "5", "decision_task_completed_event_id": 4})
TURN = (BEGIN, QUEUE, start(2), decided(2, 3))


def test_every_step_is_known_with_what_opened_started_and_closed_it() -> None:
    events = write(
        *TURN,
        SCHEDULE,
        TIMER,
        (e.ActivityTaskStarted, {"scheduled_event_id": 5}),
        (e.ActivityTaskFailed, {"scheduled_event_id": 5, "started_event_id": 7}),
    )
    activity, timer = fold(events)
    assert (activity.id, activity.opened, activity.started, activity.closed) == ("a-1", events[4], events[6], events[7])
    assert (activity.state, timer.state) == ("Failed", "Open")


@pytest.mark.parametrize(
    ("events", "text"),
    [
        pytest.param(write(QUEUE), "event 1 DecisionTaskScheduled is not WorkflowExecutionStarted", id="no start"),
        pytest.param(write(BEGIN, BEGIN), "event 2 .* can only be the first event", id="two starts"),
        pytest.param(write(BEGIN, first=2), "follows event 0: event ids are dense, and 1 is missing", id="no event 1"),
        pytest.param(write(BEGIN) + write(QUEUE, first=3), "event ids are dense, and 2 is missing", id="a gap"),
        pytest.param(write(BEGIN, QUEUE) + write(QUEUE, first=2), "dense, and 3 is missing", id="an event twice"),
        pytest.param(
            write(*TURN, COMPLETE, QUEUE), "event 6 .* follows event 5 .*, which closed", id="after the close"
        ),
        pytest.param(
            write(BEGIN, QUEUE, QUEUE), "event 3 .* does not fit: .*queued is that of event 2", id="two queued"
        ),
        pytest.param(write(BEGIN, start(1)), "DecisionTaskStarted does not fit", id="started unqueued"),
        pytest.param(write(BEGIN, QUEUE, start(2), QUEUE, start(4)), "started that of event 3", id="two started"),
        pytest.param(
            write(BEGIN, QUEUE, decided(2, 3)), "DecisionTaskCompleted does not fit", id="completed unstarted"
        ),
        pytest.param(
            write(BEGIN, QUEUE, start(2), timed_out(2, 2)), "DecisionTaskTimedOut does not fit", id="wrong link"
        ),
        pytest.param(
            write(BEGIN, QUEUE, start(2), timed_out(2, 0, "SCHEDULE_TO_START")),
            "DecisionTaskTimedOut does not fit",
            id="a started decision task waits too long",
        ),
        pytest.param(
            write(*TURN, (e.TimerFired, {"timer_id": "t-1", "started_event_id": 4})),
            "event 5 TimerFired has started_event_id 4, but event 4 is not an open TimerStarted",
            id="fired unstarted",
        ),
        pytest.param(
            write(*TURN, TIMER, *[(e.TimerFired, {"timer_id": "t-1", "started_event_id": 5})] * 2),
            "event 5 is not an open TimerStarted",
            id="fired twice",
        ),
        pytest.param(
            write(*TURN, TIMER, (e.ActivityTaskStarted, {"scheduled_event_id": 5})),
            "event 5 is not an open ActivityTaskScheduled",
            id="a timer started by a worker",
        ),
        pytest.param(
            write(*TURN, SCHEDULE, *[(e.ActivityTaskStarted, {"scheduled_event_id": 5})] * 2),
            "event 7 ActivityTaskStarted starts a-1, which event 6 has already started",
            id="a task started twice",
        ),
    ],
)
def test_what_no_execution_can_have_is_rejected(events: list[e.Event], text: str) -> None:
    with pytest.raises(HistoryError, match=text):
        fold(events)


def test_a_sticky_decision_task_without_a_poll_may_be_queued_again() -> None:
    history = HistoryState()
    for event in write(BEGIN, QUEUE, timed_out(2, 0, "SCHEDULE_TO_START"), QUEUE, start(4)):
        history.add(event)
    assert history.last == 5


def test_a_child_that_is_refused_at_once_had_opened_nothing() -> None:
    refused = {
        "workflow_type": WorkflowType("w", "1"),
        "cause": "WORKFLOW_TYPE_DOES_NOT_EXIST",
        "workflow_id": "c",
        "initiated_event_id": 0,
        "decision_task_completed_event_id": 4,
    }
    assert fold(write(*TURN, (e.StartChildWorkflowExecutionFailed, refused))) == []


@pytest.mark.parametrize("kind", CLOSES, ids=lambda kind: kind.__name__)
def test_whatever_closes_a_step_names_one_that_is_open(kind: type[Any]) -> None:
    link, opener = CLOSES[kind]
    assert link in kind.__struct_fields__
    assert opener.__name__.endswith(("Scheduled", "Started", "Initiated"))
