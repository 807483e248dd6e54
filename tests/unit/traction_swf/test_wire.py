"""Every type survives encoding and decoding, in the form that botocore's copy of the service model defines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, get_args

import botocore.session
import msgspec
import pytest
from botocore.model import ListShape, Shape, StringShape, StructureShape
from botocore.parsers import ResponseParserFactory
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.profile import pick
from tests.support.values import make_values, moments
from traction import errors
from traction.errors import BackendError, SerializationException
from traction.history.export import read_event, write_event
from traction.model import events as e
from traction.model import operations as o
from traction.model.decisions import CompleteWorkflowExecution, Decision, RecordMarker, ScheduleActivityTask, StartTimer
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction_swf import forms, wire

SWF = botocore.session.get_session().get_service_model("swf")
EVENTS = {kind.__name__: kind for kind in get_args(e.Event)}
DECISIONS = {kind.__name__: kind for kind in get_args(Decision)}
OPERATIONS = {kind.__name__: kind for kind in get_args(o.Operation)}
ANSWERED = {name: kind for name, kind in OPERATIONS.items() if wire.get_response_type(kind) is not type(None)}

TIME = datetime(2016, 8, 23, 22, 26, 15, 578000, tzinfo=UTC)


# Any value of any type, from the hints alone.

values = make_values(st.text(max_size=9), st.integers(-(2**63), 2**63 - 1), moments(253_402_300_799_999))


@cache
def answers(operation: Any) -> st.SearchStrategy[Any]:
    """Any answer but the empty one, which has a form of its own."""
    return values(wire.get_response_type(operation)).filter(lambda answer: getattr(answer, "task_token", "t") != "")


def list_faults(value: Any, shape: Shape, path: str) -> list[str]:
    """Return the places where JSON differs from the model, at any depth, in alphabetical order of keys."""
    if isinstance(shape, StructureShape):
        found = [f"{path}.{name} is unknown" for name in value if name not in shape.members]
        found += [f"{path}.{name} is missing" for name in shape.required_members if name not in value]
        if list(value) != sorted(value):
            found.append(f"{path} is not in order")
        return found + [
            fault
            for name in value
            if name in shape.members
            for fault in list_faults(value[name], shape.members[name], f"{path}.{name}")
        ]
    if isinstance(shape, ListShape):
        return [fault for item in value for fault in list_faults(item, shape.member, f"{path}[]")]
    if isinstance(shape, StringShape):
        return [] if isinstance(value, str) and (not shape.enum or value in shape.enum) else [f"{path} is {value!r}"]
    if shape.type_name == "boolean":
        return [] if isinstance(value, bool) else [f"{path} is {value!r}"]
    if shape.type_name in ("integer", "long"):
        return [] if type(value) is int else [f"{path} is {value!r}"]
    assert shape.type_name == "timestamp"
    return [] if type(value) is float else [f"{path} is {value!r}"]


# There and back, in the form of the model, and as botocore parses and sends it.


def parse_seconds(number: Any) -> datetime:
    """Parse as botocore does, in a zone that is not ours; but also where the platform's clocks end."""
    return forms.read_time(float(number)).astimezone(timezone(timedelta(hours=-7)))


PARSERS = ResponseParserFactory()
PARSERS.set_parser_defaults(timestamp_parser=parse_seconds)
PARSER = PARSERS.create_parser("json")


EXAMPLES = settings(max_examples=pick(20))


@pytest.mark.parametrize("name", sorted(EVENTS))
@EXAMPLES
@given(data=st.data())
def test_an_event_is_read_and_stored_as_it_was_written(name: str, data: st.DataObject) -> None:
    event = data.draw(values(EVENTS[name]))
    assert wire.decode(e.Event, wire.encode(event)) == event
    assert wire.from_plain(e.Event, write_event(event)) == read_event(wire.to_plain(event)) == event


@pytest.mark.parametrize("name", sorted(DECISIONS))
@EXAMPLES
@given(data=st.data())
def test_a_decision_is_read_as_it_was_written(name: str, data: st.DataObject) -> None:
    decision = data.draw(values(DECISIONS[name]))
    assert wire.decode(Decision, wire.encode(decision)) == decision


@pytest.mark.parametrize("name", sorted(OPERATIONS))
@EXAMPLES
@given(data=st.data())
def test_a_request_is_read_as_it_was_written_in_the_form_of_the_model(name: str, data: st.DataObject) -> None:
    request, shape = data.draw(values(OPERATIONS[name])), SWF.operation_model(name).input_shape
    sent = wire.encode(request)
    assert wire.decode_request(OPERATIONS[name], sent) == request
    assert list_faults(json.loads(sent), shape, name) == []
    report = ParamValidator().validate(wire.to_plain(request), shape)
    # botocore also checks lengths, which are not the concern of the wire; it must not object to types and names.
    assert [fault for fault in report._errors if fault[0] not in ("invalid length", "invalid range")] == []


@pytest.mark.parametrize("name", sorted(ANSWERED))
@EXAMPLES
@given(data=st.data())
def test_a_response_is_read_as_it_was_written_and_as_botocore_parses_it(name: str, data: st.DataObject) -> None:
    response, shape = data.draw(answers(ANSWERED[name])), SWF.operation_model(name).output_shape
    body = wire.encode_response(response)
    assert wire.decode_response(ANSWERED[name], body) == response
    assert list_faults(json.loads(body), shape, name) == []
    parsed = PARSER.parse({"status_code": 200, "headers": {}, "body": body}, shape)
    assert wire.read_response(ANSWERED[name], parsed) == response


# As it was recorded.


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (1497371587073, "1.497371587073E9"),
        (1497371589140, "1.49737158914E9"),
        (1471998675578, "1.471998675578E9"),
        (1000000000000, "1.0E9"),
        (1500000000000, "1.5E9"),
        (10000000000, "1.0E7"),
        (9999999999, "9999999.999"),
        (1, "0.001"),
        (0, "0.0"),
    ],
)
def test_a_time_is_written_as_recorded(milliseconds: int, text: str) -> None:
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    event = wire.encode(e.DecisionTaskStarted(event_id=1, event_timestamp=time, scheduled_event_id=2))
    assert f'"eventTimestamp":{text},'.encode() in event
    assert forms.read_time(float(text)) == time


def test_a_time_of_another_zone_is_the_same_time() -> None:
    moment = TIME.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert forms.read_time(moment) == TIME
    assert forms.read_time(moment).tzinfo is UTC


def test_a_time_is_taken_as_a_whole_number_too() -> None:
    request: Any = wire.decode_request(o.ListOpenWorkflowExecutions, b'{"startTimeFilter":{"oldestDate":0}}')
    assert request.start_time_filter == o.ExecutionTimeFilter(oldest_date=datetime(1970, 1, 1, tzinfo=UTC))


def test_an_event_is_written_as_recorded() -> None:
    event = e.ActivityTaskCompleted(
        event_id=7, event_timestamp=TIME, scheduled_event_id=5, started_event_id=6, result="6"
    )
    assert wire.encode(event) == (
        b'{"activityTaskCompletedEventAttributes":{"result":"6","scheduledEventId":5,"startedEventId":6},'
        b'"eventId":7,"eventTimestamp":1.471991175578E9,"eventType":"ActivityTaskCompleted"}'
    )


def test_a_link_to_no_event_is_written_and_what_is_absent_is_not() -> None:
    signaled = e.WorkflowExecutionSignaled(
        event_id=3, event_timestamp=TIME, signal_name="s", input="", external_initiated_event_id=0
    )
    assert json.loads(wire.encode(signaled))["workflowExecutionSignaledEventAttributes"] == {
        "externalInitiatedEventId": 0,
        "input": "",
        "signalName": "s",
    }
    canceled = e.ActivityTaskCanceled(event_id=3, event_timestamp=TIME, scheduled_event_id=2, started_event_id=0)
    assert b'"startedEventId":0' in wire.encode(canceled)


def test_a_decision_without_members_still_has_its_attributes() -> None:
    assert wire.encode(CompleteWorkflowExecution()) == (
        b'{"completeWorkflowExecutionDecisionAttributes":{},"decisionType":"CompleteWorkflowExecution"}'
    )


def test_the_answer_of_a_void_operation_has_no_bytes() -> None:
    assert wire.encode_response(None) == b""
    assert wire.decode_response(o.RespondDecisionTaskCompleted, b"") is None


def test_null_tags_of_old_histories_are_kept() -> None:
    started = (
        b'{"eventId":1,"eventTimestamp":1.4E9,"eventType":"WorkflowExecutionStarted",'
        b'"workflowExecutionStartedEventAttributes":{"childPolicy":"TERMINATE","parentInitiatedEventId":0,'
        b'"tagList":[null],"taskList":{"name":"l"},"workflowType":{"name":"n","version":"1"}}}'
    )
    event = wire.decode(e.Event, started)
    assert isinstance(event, e.WorkflowExecutionStarted)
    assert event.tag_list == (None,)
    assert wire.encode(event) == started


def test_members_outside_the_model_are_ignored() -> None:
    data = (
        b'{"decisionTaskStartedEventAttributes":{"scheduledEventId":2,"startedOnPreviousTaskCompletion":false},'
        b'"eventId":3,"eventTimestamp":1.4E9,"eventType":"DecisionTaskStarted"}'
    )
    event = wire.decode(e.Event, data)
    assert (event.event_id, event.scheduled_event_id) == (3, 2)


# Polls that found nothing.


EMPTY_DECISION: tuple[bytes, ...] = (
    b'{"taskToken":"","startedEventId":0,"previousStartedEventId":0}',
    b'{"previousStartedEventId":0,"startedEventId":0}',
    b"{}",
)


@pytest.mark.parametrize("body", EMPTY_DECISION)
def test_each_form_of_the_empty_answer_to_a_poll_is_read(body: bytes) -> None:
    task = wire.decode_response(o.PollForDecisionTask, body)
    assert (task.task_token, task.started_event_id, task.previous_started_event_id, task.events) == ("", 0, 0, ())
    assert wire.read_response(o.PollForDecisionTask, json.loads(body)) == task
    assert wire.decode_response(o.PollForActivityTask, b'{"startedEventId":0}').task_token == ""


def test_the_empty_answer_to_a_poll_has_a_token_and_no_task() -> None:
    nobody, no_type = WorkflowExecution("", ""), WorkflowType("", "")
    decision = o.DecisionTask(
        task_token="", started_event_id=0, workflow_execution=nobody, workflow_type=no_type, events=()
    )
    assert wire.encode_response(decision) == b'{"previousStartedEventId":0,"startedEventId":0,"taskToken":""}'
    activity = o.ActivityTask(
        task_token="", activity_id="", started_event_id=0, workflow_execution=nobody, activity_type=ActivityType("", "")
    )
    assert wire.encode_response(activity) == b'{"startedEventId":0,"taskToken":""}'


# Requests that lack something, and decisions that are odd.


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_request_may_lack_every_member(name: str) -> None:
    for body in (b"", b"{}"):
        request = wire.decode_request(OPERATIONS[name], body)
        assert type(request) is OPERATIONS[name]
        assert set(msgspec.structs.astuple(request)) == {None}


def test_a_part_of_a_request_may_lack_every_member_too() -> None:
    request: Any = wire.decode_request(
        o.StartWorkflowExecution, b'{"workflowType":{},"childPolicy":"X","tagList":[null]}'
    )
    missing: Any = None
    assert request.workflow_type == WorkflowType(missing, missing)
    assert (request.child_policy, request.tag_list) == ("X", (None,))


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({}, forms.UnfitDecision(None, ())),
        ({"decisionType": "Undo"}, forms.UnfitDecision("Undo", ())),
        ({"decisionType": "StartTimer"}, forms.UnfitDecision("StartTimer", ())),
        ({"decisionType": "CompleteWorkflowExecution"}, CompleteWorkflowExecution()),
        (
            {"decisionType": "RecordMarker", "recordMarkerDecisionAttributes": {"markerName": "m"}},
            RecordMarker(marker_name="m"),
        ),
        (
            {
                "decisionType": "RecordMarker",
                "recordMarkerDecisionAttributes": {"markerName": "m"},
                "startTimerDecisionAttributes": {"timerId": "t", "startToFireTimeout": "1"},
            },
            forms.UnfitDecision(
                "RecordMarker", (RecordMarker(marker_name="m"), StartTimer(timer_id="t", start_to_fire_timeout="1"))
            ),
        ),
        (
            {"decisionType": "StartTimer", "startTimerDecisionAttributes": {"timerId": "t"}},
            StartTimer(timer_id="t", start_to_fire_timeout=None),  # type: ignore[arg-type]
        ),
    ],
)
def test_an_unknown_decision_is_shown_as_received(sent: dict[str, Any], read: Any) -> None:
    members = {"decisionType", "startTimerDecisionAttributes", "recordMarkerDecisionAttributes"}
    assert sent.keys() <= members
    orders = [dict(sent), dict(reversed(sent.items()))]
    for order in orders:
        body = json.dumps({"taskToken": "t", "decisions": [order]}).encode()
        request: Any = wire.decode_request(o.RespondDecisionTaskCompleted, body)
        (decision,) = request.decisions
        if isinstance(read, forms.UnfitDecision):
            assert (decision.decision_type, set(decision.attributes)) == (read.decision_type, set(read.attributes))
        else:
            assert decision == read


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"workflowId":7}', "class java.lang.Integer can not be converted to an String, at 'workflowId'"),
        (
            b'{"workflowType":[]}',
            "class java.lang.ArrayList can not be converted to an LinkedHashMap, at 'workflowType'",
        ),
        (b'{"input":true}', "class java.lang.Boolean can not be converted to an String, at 'input'"),
        (b'{"executionStartToCloseTimeout":300}', "class java.lang.Integer can not be converted to an String, at "),
        (b"[]", "class java.lang.ArrayList can not be converted to an LinkedHashMap"),
        (b"null", "null can not be converted to an LinkedHashMap"),
        (b"{", "Input data was truncated"),
        (b'{"input":"\xff"}', ""),
        (b'{"input":"\\ud800"}', ""),
        (b'{"x":' + b"[" * 100_000, ""),
    ],
)
def test_what_is_not_of_its_type_is_not_serialisable(body: bytes, message: str) -> None:
    with pytest.raises(SerializationException) as caught:
        wire.decode_request(o.StartWorkflowExecution, body)
    assert message in str(caught.value)


@pytest.mark.parametrize("date", [b"1e300", b"-1e300", b"1" + b"0" * 30, b'"2024-02-29T12:00:00Z"', b"true", b"1e18"])
def test_a_time_that_is_none_is_not_serialisable(date: bytes) -> None:
    with pytest.raises(SerializationException):
        wire.decode_request(o.ListOpenWorkflowExecutions, b'{"startTimeFilter":{"oldestDate":%s}}' % date)


# Answers that are not what they should be.


@pytest.mark.parametrize(
    ("hint", "data"),
    [
        (e.Event, b'{"eventId":3,"eventTimestamp":1.4E9,"eventType":"NeverHeardOf"}'),
        (e.Event, b'{"eventId":3,"eventTimestamp":1.4E9,"eventType":"TimerFired"}'),
        (
            e.Event,
            b'{"eventId":3,"eventType":"TimerFired","timerFiredEventAttributes":{"timerId":"t","startedEventId":2}}',
        ),
        (
            e.Event,
            b'{"eventId":3,"eventTimestamp":1.4E9,"eventType":"TimerFired","timerFiredEventAttributes":{"timerId":"t"}}',
        ),
        (o.History, b'{"events":[{"eventType":"TimerFired"}]}'),
        (o.History, b"{}"),
        (o.WorkflowExecutionCount, b'{"count":"1"}'),
        (o.Run, b"<html>"),
    ],
)
def test_a_response_outside_the_model_is_an_error(hint: Any, data: bytes) -> None:
    with pytest.raises(BackendError, match="does not match SWF's model"):
        wire.decode(hint, data)


# Faults.


@pytest.mark.parametrize("name", sorted(wire.FAULTS))
def test_a_fault_is_read_as_it_was_written(name: str) -> None:
    fault = wire.decode_fault(wire.encode_fault(name, "why"))
    assert type(fault) is wire.FAULTS[name]
    assert str(fault) == "why"


@pytest.mark.parametrize(
    ("code", "type_"),
    [
        ("UnknownResourceFault", "com.amazonaws.swf.base.model#UnknownResourceFault"),
        ("ValidationException", "com.amazon.coral.validate#ValidationException"),
        ("ThrottlingException", "com.amazon.coral.availability#ThrottlingException"),
        ("SerializationException", "com.amazon.coral.service#SerializationException"),
        ("InternalFailure", "com.amazon.coral.service#InternalFailure"),
    ],
)
def test_a_fault_has_the_namespace_that_was_recorded(code: str, type_: str) -> None:
    assert json.loads(wire.encode_fault(code, None)) == {"__type": type_}


def test_every_fault_of_the_model_can_be_read() -> None:
    assert {shape.name for shape in SWF.error_shapes} <= wire.FAULTS.keys()
    assert all(issubclass(kind, errors.ServiceFault) for kind in wire.FAULTS.values())


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"__type":"x#NoSuchFault"}', b'{"__type":7}'])
def test_a_response_without_a_fault_decodes_to_none(body: bytes) -> None:
    assert wire.decode_fault(body) is None


# What it costs, as a claim that holds on any machine: nothing is made anew for each event.


def test_nothing_is_compiled_again_for_an_event_that_was_seen() -> None:
    event = e.TimerFired(event_id=3, event_timestamp=TIME, timer_id="t", started_event_id=2)
    batch = o.RespondDecisionTaskCompleted(
        task_token="t",
        decisions=(
            ScheduleActivityTask(activity_type=ActivityType("a", "1"), activity_id="a", task_list=TaskList("l")),
        ),
    )
    page = o.GetWorkflowExecutionHistory(domain="d", execution=WorkflowExecution("w", "r"))
    for _ in range(2):
        assert wire.decode(e.Event, wire.encode(event)) == event
        assert wire.decode_request(type(batch), wire.encode(batch)) == batch
        assert wire.decode_request(type(page), wire.encode(page)) == page
        made = forms.get_form.cache_info().misses
    assert forms.get_form.cache_info().misses == made
