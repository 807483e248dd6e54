"""Histories are written in SWF's format, and read from any writer of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from traction.errors import HistoryError
from traction.history.export import StoredHistory, make_stored, read_stored, write_stored
from traction.model import events as e
from traction.model.names import TaskList, WorkflowExecution, WorkflowType

TIME = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def begin(**attributes: Any) -> e.WorkflowExecutionStarted:
    return e.WorkflowExecutionStarted(
        event_id=1,
        event_timestamp=TIME,
        child_policy="TERMINATE",
        task_list=TaskList("orders"),
        workflow_type=WorkflowType("order", "1"),
        **attributes,
    )


QUEUED = e.DecisionTaskScheduled(event_id=2, event_timestamp=TIME, task_list=TaskList("orders"))
HISTORY = StoredHistory([begin(input="{}"), QUEUED], WorkflowExecution("order 7", "r1"))


def test_a_file_has_its_format_the_type_the_execution_and_the_events() -> None:
    fields = json.loads(write_stored(HISTORY))
    assert list(fields) == ["traction", "workflowType", "execution", "events"]
    assert (fields["traction"], fields["workflowType"]) == (1, {"name": "order", "version": "1"})
    assert fields["execution"] == {"workflowId": "order 7", "runId": "r1"}
    assert fields["events"][1] == {
        "eventId": 2,
        "eventTimestamp": TIME.timestamp(),
        "eventType": "DecisionTaskScheduled",
        "decisionTaskScheduledEventAttributes": {"taskList": {"name": "orders"}},
    }


def test_a_history_is_read_as_it_was_written() -> None:
    assert read_stored(write_stored(HISTORY)) == HISTORY


@pytest.mark.parametrize("time", ["2026-01-02T03:04:05.678000+00:00", "2026-01-02T04:04:05.678+01:00", 1767323045.678])
def test_what_the_aws_cli_prints_is_read(time: object) -> None:
    fields = json.loads(write_stored(HISTORY))
    for event in fields["events"]:
        event["eventTimestamp"] = time
    assert read_stored(json.dumps({"events": fields["events"]})) == StoredHistory(HISTORY.events)


def test_the_newest_event_may_come_first() -> None:
    fields = json.loads(write_stored(HISTORY))
    assert read_stored(json.dumps({"events": fields["events"][::-1]})).events == HISTORY.events


def test_tags_may_be_null_in_old_histories() -> None:
    tagged = make_stored([begin(tag_list=("a", None))])
    assert read_stored(write_stored(tagged)) == tagged


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "order.json is not a history: Input data was truncated"),
        ("[]", "order.json is not a history: Expected `object`"),
        ('{"events": [{"eventType": "Odd"}]}', "order.json is not a history: Invalid value 'Odd'"),
        ('{"events": [], "traction": 2}', "order.json is of format 2"),
        ('{"events": []}', "and this one begins with nothing"),
    ],
)
def test_text_that_is_not_a_history_is_refused(text: str, says: str) -> None:
    with pytest.raises(HistoryError) as refused:
        read_stored(text, "order.json")
    assert says in str(refused.value)


def test_a_page_other_than_the_first_is_refused() -> None:
    with pytest.raises(
        HistoryError, match=r"begins with event 1 .* and this one begins with event 2 DecisionTaskScheduled"
    ):
        make_stored([QUEUED])
