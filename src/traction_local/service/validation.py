"""Validate requests and decisions: the rule of each member. Reads no state.

An invalid request raises SWF's ValidationException, with one message per wrong member.

Sources: the SWF service model for lengths and required members, its documentation strings for the rules of names and
durations, and measured responses for the wording. Lengths count characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, get_args

from traction.errors import SerializationException, ValidationException
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.correlation import CLOSE_DECISIONS
from traction.model.limits import Limits
from traction.model.literals import ChildPolicy, CloseStatus, RegistrationStatus
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction_local.service.rules import (
    DURATION_PATTERN,
    INTEGER_PATTERN,
    NAME_PATTERN,
    ORDINAL_PATTERN,
    Choice,
    Each,
    Members,
    Moment,
    Number,
    Rule,
    Text,
    format_violation,
)

DECISION_TYPES = (
    "CompleteWorkflowExecution, StartTimer, RequestCancelExternalWorkflowExecution, SignalExternalWorkflowExecution, "
    "CancelTimer, RecordMarker, ScheduleActivityTask, ContinueAsNewWorkflowExecution, ScheduleLambdaFunction, "
    "FailWorkflowExecution, RequestCancelActivityTask, StartChildWorkflowExecution, CancelWorkflowExecution"
)
"""The decision types, in the order in which the service lists them."""

INCOMPATIBLE_WITH_CLOSE = (d.ScheduleActivityTask, d.StartTimer)


CLOSE_NOT_LAST = "Close must be last decision in list"


class Validator:
    """The rules of every request and decision, under some limits."""

    __slots__ = ("_last", "decisions", "requests")

    def __init__(self, limits: Limits) -> None:
        self._last: dict[type, object] = {}
        self.requests, self.decisions = _make_rules(limits)

    def check(self, request: object) -> None:
        """Raise unless the request is well formed. `check_decisions` checks the decisions of a batch."""
        kind = type(request)
        rule = self.requests[kind]
        try:
            # Requests are frozen, and a poller sends the same one again and again.
            if request is self._last.get(kind):
                return
            if rule.ok(request):
                self._last[kind] = request
                return
            complaints = list(rule.complain(request, ""))
        except (TypeError, AttributeError) as error:
            raise _unserialisable(error) from None
        raise make_invalid(complaints)

    def check_decisions(self, batch: Sequence[d.Decision]) -> None:
        """Raise unless every decision is well formed, and the batch closes at most once, at its end, compatibly."""
        rules = self.decisions
        try:
            for decision in batch:
                rule = rules.get(type(decision))
                if rule is None or not rule.ok(decision):
                    raise make_invalid([text for place in enumerate(batch, 1) for text in self.complain(*place)])
        except (TypeError, AttributeError) as error:
            raise _unserialisable(error) from None
        if len(batch) > 1:
            _check_close(batch)

    def complain(self, position: int, decision: d.Decision) -> list[str]:
        """Return a message for each wrong member of the decision at a position of a batch, counted from 1."""
        path = f"decisions.{position}.member"
        name = type(decision).__name__
        rule = self.decisions.get(type(decision))
        if rule is None:
            return [format_violation(name, f"{path}.decisionType", f"satisfy enum value set: [{DECISION_TYPES}]")]
        return list(rule.complain(decision, f"{path}.{name[0].lower()}{name[1:]}DecisionAttributes"))


def _check_close(batch: Sequence[d.Decision]) -> None:
    if any(isinstance(decision, CLOSE_DECISIONS) for decision in batch[:-1]):
        raise ValidationException(CLOSE_NOT_LAST)
    if isinstance(batch[-1], CLOSE_DECISIONS) and any(
        isinstance(decision, INCOMPATIBLE_WITH_CLOSE) for decision in batch
    ):
        raise ValidationException("Specified decision is incompatible with close decision")


def make_invalid(complaints: list[str]) -> ValidationException:
    """Return SWF's fault with a message per wrong member."""
    errors = "error" if len(complaints) == 1 else "errors"
    return ValidationException(f"{len(complaints)} validation {errors} detected: {'; '.join(complaints)}")


def _unserialisable(error: Exception) -> SerializationException:
    return SerializationException(f"a member does not have the type of the service model: {error}")


@lru_cache(maxsize=64)
def get_validator(limits: Limits) -> Validator:
    """Return the validator of these limits. Services share it: its only state is a cache."""
    return Validator(limits)


def _make_rules(limits: Limits) -> tuple[dict[type, Members], dict[type, Members]]:
    """Return the rules of requests and of decisions. Members of one name obey one rule, with few exceptions."""
    rules, workflow_id = _list_rules(limits), Text(limits.name_chars_max, chars_min=1, pattern=NAME_PATTERN)
    exceptions: dict[type, dict[str, Rule]] = {
        # Only a start's id has the form of names: Amazon's own Flow framework calls a child `runId:n`, slashes and all.
        o.StartWorkflowExecution: {"workflow_id": workflow_id},
        o.RecordActivityTaskHeartbeat: {"details": Text(limits.heartbeat_chars_max)},
        d.ScheduleLambdaFunction: {
            "name": Text(limits.lambda_name_chars_max, chars_min=1),
            "start_to_close_timeout": _make_duration(limits, 1, limits.lambda_seconds_max),
        },
    }

    def make(kind: Any) -> Members:
        members = rules | exceptions.get(kind, {})
        # The order in which missing members are reported was measured by implementers.
        names = sorted(kind.__struct_fields__, key=lambda name: name != "execution")
        return Members(kind, {name: members[name] for name in names if name not in _UNCHECKED})

    return {kind: make(kind) for kind in get_args(o.Operation)}, {kind: make(kind) for kind in get_args(d.Decision)}


_UNCHECKED = {"decisions", "reverse_order", "start_at_previous_started_event"}
"""Flags, and the decisions, which `check_decisions` checks."""


def _make_duration(limits: Limits, least: int, most: int, pattern: str = DURATION_PATTERN) -> Text:
    return Text(limits.duration_chars_max, chars_min=1, pattern=pattern, values=(least, most), cached=True)


def _list_rules(limits: Limits) -> dict[str, Rule]:
    """Return the rule of each member, by its name."""
    data, label = Text(limits.payload_chars_max), Text(limits.name_chars_max, chars_min=1)
    # Names repeat and ids rarely do, so only names are cached.
    name = Text(limits.name_chars_max, chars_min=1, pattern=NAME_PATTERN, cached=True)
    id = Text(limits.name_chars_max, chars_min=1, pattern=NAME_PATTERN)
    version = Text(limits.version_chars_max, chars_min=1, pattern=NAME_PATTERN, cached=True)
    duration = Text(limits.duration_chars_max, chars_min=1, pattern=DURATION_PATTERN, cached=True)
    tag = Text(limits.execution_tag_chars_max)
    role = Text(limits.role_chars_max, chars_min=1)
    policy = Choice(*get_args(ChildPolicy))
    priority = Text(11, chars_min=1, pattern=INTEGER_PATTERN, values=(-(2**31), 2**31 - 1), cached=True)
    lifetime = _make_duration(limits, 0, limits.execution_seconds_max, ORDINAL_PATTERN)
    task_list = Members(TaskList, {"name": name}, cached=True)
    times = Members(o.ExecutionTimeFilter, {"oldest_date": Moment(), "latest_date": Moment()})
    key = Text(limits.resource_tag_key_chars_max, chars_min=1)
    resource_tag = Members(o.ResourceTag, {"key": key, "value": Text(limits.resource_tag_value_chars_max)})
    return {
        **dict.fromkeys(("control", "details", "execution_context", "input", "result"), data),
        **dict.fromkeys(("domain", "name"), name),
        **dict.fromkeys(("activity_id", "id", "timer_id"), id),
        **dict.fromkeys(("version", "workflow_type_version"), version),
        **dict.fromkeys(("marker_name", "signal_name", "workflow_id"), label),
        **dict.fromkeys(("execution_start_to_close_timeout", "default_execution_start_to_close_timeout"), lifetime),
        **dict.fromkeys(_DURATIONS, duration),
        **dict.fromkeys(("task_list", "default_task_list"), task_list),
        **dict.fromkeys(("task_priority", "default_task_priority"), priority),
        **dict.fromkeys(("child_policy", "default_child_policy"), policy),
        **dict.fromkeys(("lambda_role", "default_lambda_role", "resource_arn"), role),
        **dict.fromkeys(("start_time_filter", "close_time_filter"), times),
        "activity_type": Members(ActivityType, {"name": name, "version": version}, cached=True),
        "close_status_filter": Members(o.CloseStatusFilter, {"status": Choice(*get_args(CloseStatus))}),
        "description": Text(limits.description_chars_max),
        "execution": Members(
            WorkflowExecution, {"run_id": Text(limits.run_id_chars_max, chars_min=1), "workflow_id": label}
        ),
        "execution_filter": Members(o.WorkflowExecutionFilter, {"workflow_id": label}),
        "identity": Text(limits.identity_chars_max),
        "maximum_page_size": Number(0, limits.page_items_max),
        "next_page_token": Text(limits.page_token_chars_max),
        "reason": Text(limits.reason_chars_max),
        "registration_status": Choice(*get_args(RegistrationStatus)),
        "run_id": Text(limits.run_id_chars_max),
        "start_to_fire_timeout": Text(limits.duration_chars_max, chars_min=1, pattern=ORDINAL_PATTERN, cached=True),
        "tag_filter": Members(o.TagFilter, {"tag": tag}),
        # Their number is not validated here: SWF has a fault for it.
        "tag_keys": Each(key, 2**31),
        "tag_list": Each(tag, limits.execution_tags_max),
        "tags": Each(resource_tag, 2**31),
        "task_token": Text(limits.task_token_chars_max, chars_min=1),
        "type_filter": Members(o.WorkflowTypeFilter, {"name": label, "version": Text(limits.version_chars_max)}),
        "workflow_execution_retention_period_in_days": _make_duration(limits, 0, limits.retention_days_max),
        "workflow_type": Members(WorkflowType, {"name": name, "version": version}, cached=True),
    }


_DURATIONS = (
    *("heartbeat_timeout", "schedule_to_close_timeout", "schedule_to_start_timeout", "start_to_close_timeout"),
    *("task_start_to_close_timeout", "task_list_schedule_to_start_timeout"),
    *("default_task_heartbeat_timeout", "default_task_start_to_close_timeout"),
    *("default_task_schedule_to_close_timeout", "default_task_schedule_to_start_timeout"),
)
"""The timeouts that may be absent."""
