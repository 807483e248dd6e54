"""Start runs: by request, as a child, as a continuation.

Settings are not inherited: each is the requested one, else the type's default, else an error.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, TypeAlias

import msgspec

from traction.errors import (
    DefaultUndefinedFault,
    DomainDeprecatedFault,
    LimitExceededFault,
    TypeDeprecatedFault,
    UnknownResourceFault,
    WorkflowExecutionAlreadyStartedFault,
)
from traction.model import events as e
from traction.model import operations as o
from traction.model.decisions import ContinueAsNewWorkflowExecution, StartChildWorkflowExecution
from traction.model.names import WorkflowExecution, WorkflowType
from traction_local.service.state.child import Child
from traction_local.service.state.domain import Domain
from traction_local.service.state.environment import Environment
from traction_local.service.state.execution import Execution
from traction_local.service.state.region import Region

StartCause: TypeAlias = Literal[
    "WORKFLOW_TYPE_DOES_NOT_EXIST",
    "WORKFLOW_TYPE_DEPRECATED",
    "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED",
    "DEFAULT_TASK_LIST_UNDEFINED",
    "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED",
    "DEFAULT_CHILD_POLICY_UNDEFINED",
]
"""The causes for which a decision to start a run may fail before the run exists."""

StartRequest: TypeAlias = o.StartWorkflowExecution | StartChildWorkflowExecution | ContinueAsNewWorkflowExecution

_UNDEFINED: dict[StartCause, str] = {
    "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED": "ExecutionStartToCloseTimeout",
    "DEFAULT_TASK_LIST_UNDEFINED": "TaskList",
    "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED": "TaskStartToCloseTimeout",
    "DEFAULT_CHILD_POLICY_UNDEFINED": "ChildPolicy",
}


def resolve(
    request: StartRequest, defaults: o.WorkflowTypeConfiguration
) -> o.WorkflowExecutionConfiguration | StartCause:
    """Take each setting from the request or the type. Return the cause if neither has it, checked in SWF's order."""
    execution_timeout = request.execution_start_to_close_timeout or defaults.default_execution_start_to_close_timeout
    if execution_timeout is None:
        return "DEFAULT_EXECUTION_START_TO_CLOSE_TIMEOUT_UNDEFINED"
    task_list = request.task_list or defaults.default_task_list
    if task_list is None:
        return "DEFAULT_TASK_LIST_UNDEFINED"
    task_timeout = request.task_start_to_close_timeout or defaults.default_task_start_to_close_timeout
    if task_timeout is None:
        return "DEFAULT_TASK_START_TO_CLOSE_TIMEOUT_UNDEFINED"
    child_policy = request.child_policy or defaults.default_child_policy
    if child_policy is None:
        return "DEFAULT_CHILD_POLICY_UNDEFINED"
    return o.WorkflowExecutionConfiguration(
        execution_start_to_close_timeout=execution_timeout,
        task_list=task_list,
        task_start_to_close_timeout=task_timeout,
        child_policy=child_policy,
        task_priority=request.task_priority or defaults.default_task_priority,
        lambda_role=request.lambda_role or defaults.default_lambda_role,
    )


def find_settings(
    domain: Domain, type: WorkflowType, request: StartRequest
) -> o.WorkflowExecutionConfiguration | StartCause:
    """Return the settings of a run that a decision starts, or the cause for which it fails."""
    registered = domain.workflow_types.get(type)
    if registered is None:
        return "WORKFLOW_TYPE_DOES_NOT_EXIST"
    if registered.deprecated_at is not None:
        return "WORKFLOW_TYPE_DEPRECATED"
    return resolve(request, registered.configuration)


def to_fields(settings: o.WorkflowExecutionConfiguration) -> dict[str, Any]:
    """Return the common members of the events that start a run."""
    return msgspec.structs.asdict(settings)


def open_run(
    region: Environment,
    domain: Domain,
    workflow_id: str,
    type: WorkflowType,
    settings: o.WorkflowExecutionConfiguration,
    now: datetime,
    *,
    input: str | None,
    tag_list: tuple[str, ...] | None,
    as_child: Child | None = None,
    continued: Execution | None = None,
    number: tuple[int, str] | None = None,
) -> Execution:
    """Create a run with WorkflowExecutionStarted and the first decision task, in the same millisecond."""
    order, run_id = number or region.number_run()
    execution = Execution(
        region=region,
        index=domain.index,
        decision_queues=domain.decision_queues,
        number=order,
        execution=WorkflowExecution(workflow_id, run_id),
        type=type,
        settings=settings,
        as_child=as_child,
        started_at=now,
    )
    execution.append(
        e.WorkflowExecutionStarted(
            event_id=1,
            event_timestamp=now,
            workflow_type=type,
            input=input,
            tag_list=tag_list or None,
            continued_execution_run_id=None if continued is None else continued.run_id,
            parent_workflow_execution=None if as_child is None else as_child.parent.execution,
            parent_initiated_event_id=0 if as_child is None else as_child.initiated_event_id,
            **to_fields(settings),
        )
    )
    domain.index.add(execution)
    region.alarms.set(execution, now + timedelta(seconds=int(settings.execution_start_to_close_timeout)))
    execution.schedule_decision(now)
    return execution


def start_workflow_execution(region: Region, request: o.StartWorkflowExecution, now: datetime) -> o.Run:
    """Start a run unless one is open under the same workflow id."""
    domain = region.get_domain(request.domain)
    type = request.workflow_type
    registered = domain.workflow_types.get(type)
    if registered is None:
        raise UnknownResourceFault(f"Unknown type: WorkflowType=[name={type.name}, version={type.version}]")
    if registered.deprecated_at is not None:
        raise TypeDeprecatedFault(f"WorkflowType=[name={type.name}, version={type.version}]")
    if domain.deprecated:
        raise DomainDeprecatedFault(domain.name)
    settings = resolve(request, registered.configuration)
    if not isinstance(settings, o.WorkflowExecutionConfiguration):
        name = _UNDEFINED[settings]
        named = region.knobs.default_undefined_names_default
        raise DefaultUndefinedFault(f"default{name}" if named else f"{name[0].lower()}{name[1:]}")
    if request.workflow_id in domain.index.open:
        # The fault does not contain the id of the open run.
        raise WorkflowExecutionAlreadyStartedFault("")
    if len(domain.index.open) >= region.limits.open_executions_max:
        raise LimitExceededFault("Limit on open executions in the domain reached")
    execution = open_run(
        region,
        domain,
        request.workflow_id,
        type,
        settings,
        now,
        input=request.input,
        tag_list=request.tag_list,
    )
    return o.Run(run_id=execution.run_id)


def follow_child(
    domain: Domain,
    parent: Execution,
    initiated: e.StartChildWorkflowExecutionInitiated,
    settings: o.WorkflowExecutionConfiguration,
    now: datetime,
) -> None:
    """Schedule the start of an accepted child after the batch."""
    child = Child(parent, initiated.event_id, parent.children)
    parent.region.follow(partial(_start_child, domain, child, initiated, settings), now)


def _start_child(
    domain: Domain,
    child: Child,
    initiated: e.StartChildWorkflowExecutionInitiated,
    settings: o.WorkflowExecutionConfiguration,
    now: datetime,
) -> None:
    """Start a child, and record it in the history of the parent if that is open.

    If the parent closed in the same batch, its history has only the Initiated event (recorded history). The child
    starts nevertheless, and the child policy of its parent applies to it.
    """
    parent = child.parent
    if initiated.workflow_id in domain.index.open:
        child.forget()
        if parent.is_open:
            parent.append_trigger(
                e.StartChildWorkflowExecutionFailed(
                    event_id=parent.next_event_id,
                    event_timestamp=now,
                    workflow_type=initiated.workflow_type,
                    cause="WORKFLOW_ALREADY_RUNNING",
                    workflow_id=initiated.workflow_id,
                    initiated_event_id=initiated.event_id,
                    decision_task_completed_event_id=initiated.decision_task_completed_event_id,
                    control=initiated.control,
                )
            )
        return
    child.run = run = open_run(
        parent.region,
        domain,
        initiated.workflow_id,
        initiated.workflow_type,
        settings,
        now,
        input=initiated.input,
        tag_list=initiated.tag_list,
        as_child=child,
    )
    if parent.is_open:
        child.started_event_id = parent.next_event_id
        parent.append_trigger(
            e.ChildWorkflowExecutionStarted(
                event_id=child.started_event_id,
                event_timestamp=now,
                workflow_execution=run.execution,
                workflow_type=run.type,
                initiated_event_id=initiated.event_id,
            )
        )
