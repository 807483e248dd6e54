"""Validate requests and decisions: the rule of each member. Reads no state.

An invalid request raises SWF's ValidationException, with one message per wrong member.

Sources: the SWF service model for lengths and required members, its documentation strings for the rules of names and
durations, and measured responses for the wording. Lengths count characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import get_args

import msgspec

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
        self.requests: dict[type, Members] = {kind: Members(kind, rules) for kind, rules in _requests(limits).items()}
        self.decisions: dict[type, Members] = {kind: Members(kind, rules) for kind, rules in _decisions(limits).items()}

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
        raise _invalid(complaints)

    def check_decisions(self, batch: Sequence[d.Decision]) -> None:
        """Raise unless every decision is well formed, and the batch closes at most once, at its end, compatibly."""
        rules = self.decisions
        try:
            for decision in batch:
                rule = rules.get(type(decision))
                if rule is None or not rule.ok(decision):
                    raise _invalid([text for place in enumerate(batch, 1) for text in self._complain(*place)])
        except (TypeError, AttributeError) as error:
            raise _unserialisable(error) from None
        if len(batch) > 1:
            _check_close(batch)

    def _complain(self, position: int, decision: d.Decision) -> list[str]:
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


def _invalid(complaints: list[str]) -> ValidationException:
    errors = "error" if len(complaints) == 1 else "errors"
    return ValidationException(f"{len(complaints)} validation {errors} detected: {'; '.join(complaints)}")


def _unserialisable(error: Exception) -> SerializationException:
    return SerializationException(f"a member does not have the type of the service model: {error}")


@lru_cache(maxsize=64)
def get_validator(limits: Limits) -> Validator:
    """Return the validator of these limits. Services share it: its only state is a cache."""
    return Validator(limits)


class _Shared:
    """The rules that members have in common."""

    def __init__(self, limits: Limits) -> None:
        self.data = Text(limits.payload_chars_max)
        self.reason = Text(limits.reason_chars_max)
        self.identity = Text(limits.identity_chars_max)
        self.description = Text(limits.description_chars_max)
        # Names repeat and ids rarely do, so only names are cached.
        self.name = Text(limits.name_chars_max, chars_min=1, pattern=NAME_PATTERN, cached=True)
        self.id = Text(limits.name_chars_max, chars_min=1, pattern=NAME_PATTERN)
        self.version = Text(limits.version_chars_max, chars_min=1, pattern=NAME_PATTERN, cached=True)
        self.label = Text(limits.name_chars_max, chars_min=1)
        self.run_id = Text(limits.run_id_chars_max, chars_min=1)
        self.maybe_run_id = Text(limits.run_id_chars_max)
        self.role = Text(limits.role_chars_max, chars_min=1)
        self.tag = Text(limits.execution_tag_chars_max)
        self.tags = Each(self.tag, limits.execution_tags_max)
        self.task_token = Text(limits.task_token_chars_max, chars_min=1)
        self.page_token = Text(limits.page_token_chars_max)
        self.page_size = Number(0, limits.page_items_max)
        chars_max = limits.duration_chars_max
        self.duration = Text(chars_max, chars_min=1, pattern=DURATION_PATTERN, cached=True)
        self.seconds = Text(chars_max, chars_min=1, pattern=ORDINAL_PATTERN, cached=True)
        self.lifetime = Text(
            chars_max, chars_min=1, pattern=ORDINAL_PATTERN, values=(0, limits.execution_seconds_max), cached=True
        )
        self.lambda_timeout = Text(
            chars_max, chars_min=1, pattern=DURATION_PATTERN, values=(1, limits.lambda_seconds_max), cached=True
        )
        self.retention = Text(
            chars_max, chars_min=1, pattern=DURATION_PATTERN, values=(0, limits.retention_days_max), cached=True
        )
        self.priority = Text(11, chars_min=1, pattern=INTEGER_PATTERN, values=(-(2**31), 2**31 - 1), cached=True)
        self.policy = Choice(*get_args(ChildPolicy))
        self.status = Choice(*get_args(RegistrationStatus))
        self.task_list = Members(TaskList, {"name": self.name}, cached=True)
        self.workflow_type = Members(WorkflowType, {"name": self.name, "version": self.version}, cached=True)
        self.activity_type = Members(ActivityType, {"name": self.name, "version": self.version}, cached=True)
        # Only a start's id has the form of names: Amazon's own Flow framework calls a child `runId:n`, slashes and all.
        self.workflow_id = self.label
        # The order in which missing members are reported was measured by implementers.
        self.execution = Members(WorkflowExecution, {"run_id": self.run_id, "workflow_id": self.workflow_id})
        self.times = Members(o.ExecutionTimeFilter, {"oldest_date": Moment(), "latest_date": Moment()})
        self.execution_filter = Members(o.WorkflowExecutionFilter, {"workflow_id": self.workflow_id})
        self.type_filter = Members(
            o.WorkflowTypeFilter, {"name": self.label, "version": Text(limits.version_chars_max)}
        )
        self.tag_filter = Members(o.TagFilter, {"tag": Text(limits.execution_tag_chars_max)})
        self.close_filter = Members(o.CloseStatusFilter, {"status": Choice(*get_args(CloseStatus))})
        self.resource_tag_key = Text(limits.resource_tag_key_chars_max, chars_min=1)
        resource_tag = {"key": self.resource_tag_key, "value": Text(limits.resource_tag_value_chars_max)}
        # Their number is not validated here: SWF has a fault for it.
        self.resource_tags = Each(Members(o.ResourceTag, resource_tag), 2**31)

    @property
    def paging(self) -> dict[str, Rule]:
        """The members that every paged operation has."""
        return {"next_page_token": self.page_token, "maximum_page_size": self.page_size}

    @property
    def settings(self) -> dict[str, Rule]:
        """The settings of an execution that a start, a child, and a continuation may give."""
        return {
            "input": self.data,
            "execution_start_to_close_timeout": self.lifetime,
            "task_list": self.task_list,
            "task_priority": self.priority,
            "task_start_to_close_timeout": self.duration,
            "child_policy": self.policy,
            "tag_list": self.tags,
            "lambda_role": self.role,
        }


def _decisions(limits: Limits) -> dict[type[msgspec.Struct], dict[str, Rule]]:
    s = _Shared(limits)
    lambda_name = Text(limits.lambda_name_chars_max, chars_min=1)
    return {
        d.ScheduleActivityTask: {
            "activity_type": s.activity_type,
            "activity_id": s.id,
            "control": s.data,
            "input": s.data,
            "schedule_to_close_timeout": s.duration,
            "task_list": s.task_list,
            "task_priority": s.priority,
            "schedule_to_start_timeout": s.duration,
            "start_to_close_timeout": s.duration,
            "heartbeat_timeout": s.duration,
        },
        d.RequestCancelActivityTask: {"activity_id": s.id},
        d.CompleteWorkflowExecution: {"result": s.data},
        d.FailWorkflowExecution: {"reason": s.reason, "details": s.data},
        d.CancelWorkflowExecution: {"details": s.data},
        d.ContinueAsNewWorkflowExecution: {**s.settings, "workflow_type_version": s.version},
        d.RecordMarker: {"marker_name": s.label, "details": s.data},
        d.StartTimer: {"timer_id": s.id, "start_to_fire_timeout": s.seconds, "control": s.data},
        d.CancelTimer: {"timer_id": s.id},
        d.SignalExternalWorkflowExecution: {
            "workflow_id": s.workflow_id,
            "signal_name": s.label,
            "run_id": s.maybe_run_id,
            "input": s.data,
            "control": s.data,
        },
        d.RequestCancelExternalWorkflowExecution: {
            "workflow_id": s.workflow_id,
            "run_id": s.maybe_run_id,
            "control": s.data,
        },
        d.StartChildWorkflowExecution: {
            "workflow_type": s.workflow_type,
            "workflow_id": s.workflow_id,
            "control": s.data,
            **s.settings,
        },
        d.ScheduleLambdaFunction: {
            "id": s.id,
            "name": lambda_name,
            "control": s.data,
            "input": s.data,
            "start_to_close_timeout": s.lambda_timeout,
        },
    }


def _requests(limits: Limits) -> dict[type[msgspec.Struct], dict[str, Rule]]:
    s = _Shared(limits)
    domain: dict[str, Rule] = {"domain": s.name}
    of_workflow_type: dict[str, Rule] = {**domain, "workflow_type": s.workflow_type}
    of_activity_type: dict[str, Rule] = {**domain, "activity_type": s.activity_type}
    of_execution: dict[str, Rule] = {**domain, "workflow_id": s.workflow_id, "run_id": s.maybe_run_id}
    list_types: dict[str, Rule] = {**domain, "registration_status": s.status, "name": s.name, **s.paging}
    poll: dict[str, Rule] = {**domain, "task_list": s.task_list, "identity": s.identity}
    new_type: dict[str, Rule] = {
        **domain,
        "name": s.name,
        "version": s.version,
        "description": s.description,
        "default_task_start_to_close_timeout": s.duration,
        "default_task_list": s.task_list,
        "default_task_priority": s.priority,
    }
    open_filters: dict[str, Rule] = {
        **domain,
        "start_time_filter": s.times,
        "execution_filter": s.execution_filter,
        "type_filter": s.type_filter,
        "tag_filter": s.tag_filter,
    }
    closed_filters = {**open_filters, "close_time_filter": s.times, "close_status_filter": s.close_filter}
    return {
        o.CountClosedWorkflowExecutions: closed_filters,
        o.CountOpenWorkflowExecutions: open_filters,
        o.CountPendingActivityTasks: {**domain, "task_list": s.task_list},
        o.CountPendingDecisionTasks: {**domain, "task_list": s.task_list},
        o.DeleteActivityType: of_activity_type,
        o.DeleteWorkflowType: of_workflow_type,
        o.DeprecateActivityType: of_activity_type,
        o.DeprecateDomain: {"name": s.name},
        o.DeprecateWorkflowType: of_workflow_type,
        o.DescribeActivityType: of_activity_type,
        o.DescribeDomain: {"name": s.name},
        o.DescribeWorkflowExecution: {"execution": s.execution, **domain},
        o.DescribeWorkflowType: of_workflow_type,
        o.GetWorkflowExecutionHistory: {"execution": s.execution, **domain, **s.paging},
        o.ListActivityTypes: list_types,
        o.ListClosedWorkflowExecutions: {**closed_filters, **s.paging},
        o.ListDomains: {"registration_status": s.status, **s.paging},
        o.ListOpenWorkflowExecutions: {**open_filters, **s.paging},
        o.ListTagsForResource: {"resource_arn": s.role},
        o.ListWorkflowTypes: list_types,
        o.PollForActivityTask: poll,
        o.PollForDecisionTask: {**poll, **s.paging},
        o.RecordActivityTaskHeartbeat: {"task_token": s.task_token, "details": Text(limits.heartbeat_chars_max)},
        o.RegisterActivityType: {
            **new_type,
            "default_task_heartbeat_timeout": s.duration,
            "default_task_schedule_to_start_timeout": s.duration,
            "default_task_schedule_to_close_timeout": s.duration,
        },
        o.RegisterDomain: {
            "name": s.name,
            "description": s.description,
            "workflow_execution_retention_period_in_days": s.retention,
            "tags": s.resource_tags,
        },
        o.RegisterWorkflowType: {
            **new_type,
            "default_execution_start_to_close_timeout": s.lifetime,
            "default_child_policy": s.policy,
            "default_lambda_role": s.role,
        },
        o.RequestCancelWorkflowExecution: of_execution,
        o.RespondActivityTaskCanceled: {"task_token": s.task_token, "details": s.data},
        o.RespondActivityTaskCompleted: {"task_token": s.task_token, "result": s.data},
        o.RespondActivityTaskFailed: {"task_token": s.task_token, "reason": s.reason, "details": s.data},
        o.RespondDecisionTaskCompleted: {
            "task_token": s.task_token,
            "execution_context": s.data,
            "task_list": s.task_list,
            "task_list_schedule_to_start_timeout": s.duration,
        },
        o.SignalWorkflowExecution: {**of_execution, "signal_name": s.label, "input": s.data},
        o.StartWorkflowExecution: {**domain, "workflow_id": s.id, "workflow_type": s.workflow_type, **s.settings},
        o.TagResource: {"resource_arn": s.role, "tags": s.resource_tags},
        o.TerminateWorkflowExecution: {
            **of_execution,
            "reason": s.reason,
            "details": s.data,
            "child_policy": s.policy,
        },
        o.UndeprecateActivityType: of_activity_type,
        o.UndeprecateDomain: {"name": s.name},
        o.UndeprecateWorkflowType: of_workflow_type,
        o.UntagResource: {"resource_arn": s.role, "tag_keys": Each(s.resource_tag_key, 2**31)},
    }
