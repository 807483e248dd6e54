"""The state of one domain: its types, task queues and executions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from traction.model.names import ActivityType, WorkflowType
from traction.model.operations import ActivityTypeConfiguration, RegisterDomain, WorkflowTypeConfiguration
from traction_local.service.state.activity import Activity
from traction_local.service.state.execution import Execution
from traction_local.service.state.index import ExecutionIndex
from traction_local.service.state.run import PendingDecision
from traction_local.service.state.task_list import Ready, TaskQueues

ARN_PREFIX = "arn:aws:swf:us-east-1:000000000000:/domain/"

ConfigurationT = TypeVar("ConfigurationT", WorkflowTypeConfiguration, ActivityTypeConfiguration)


class Registered(msgspec.Struct, Generic[ConfigurationT]):
    """A type and the defaults it was registered with. All but `deprecated_at` is fixed."""

    type: WorkflowType | ActivityType
    configuration: ConfigurationT
    description: str | None
    created_at: datetime
    deprecated_at: datetime | None = None


class Domain:
    """A domain with its types, queues and executions."""

    def __init__(self, request: RegisterDomain, ready: list[Ready], by_stem: dict[str, Execution]) -> None:
        self.name = request.name
        self.description = request.description
        self.retention_days = days = request.workflow_execution_retention_period_in_days
        self.deprecated = False
        self.tags: dict[str, str | None] = {tag.key: tag.value for tag in request.tags or ()}
        self.workflow_types: dict[WorkflowType, Registered[WorkflowTypeConfiguration]] = {}
        self.activity_types: dict[ActivityType, Registered[ActivityTypeConfiguration]] = {}
        retention = timedelta(days=0 if days == "NONE" else int(days))
        self.index: ExecutionIndex[Execution] = ExecutionIndex(self.name, retention, by_stem)
        self.decision_queues: TaskQueues[PendingDecision] = TaskQueues("decision", self.name, ready)
        self.activity_queues: TaskQueues[Activity] = TaskQueues("activity", self.name, ready)
