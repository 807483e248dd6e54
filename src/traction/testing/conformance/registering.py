"""Check the registry: types come and go by name and version; what is unknown, there twice or ill-formed is refused."""

from __future__ import annotations

from typing import Any

from traction import operations as o
from traction.backend import Backend
from traction.errors import (
    DefaultUndefinedFault,
    DomainAlreadyExistsFault,
    ServiceFault,
    TypeAlreadyExistsFault,
    TypeDeprecatedFault,
    TypeNotDeprecatedFault,
    UnknownResourceFault,
    ValidationException,
)
from traction.names import ActivityType, TaskList, WorkflowType
from traction.testing.conformance.desk import Desk, expect_equal, wait_for


def a_type_is_registered_once_and_keeps_its_defaults(backend: Backend) -> None:
    """A second registration is refused, and changes nothing."""
    desk = Desk(backend)
    desk.register()
    workflow = o.RegisterWorkflowType(domain=desk.domain, name=desk.tag, version="1", default_child_policy="ABANDON")
    activity = o.RegisterActivityType(domain=desk.domain, name=desk.tag, version="1", description="another")
    desk.expect_fault(TypeAlreadyExistsFault, workflow, "a workflow type registered twice")
    desk.expect_fault(TypeAlreadyExistsFault, activity, "an activity type registered twice")
    kept = desk.call(o.DescribeWorkflowType(domain=desk.domain, workflow_type=desk.workflow_type))
    expect_equal(kept.type_info.status, "REGISTERED", "the status of a new type")
    expect_equal(kept.type_info.workflow_type, desk.workflow_type, "the type described")
    expect_equal(kept.configuration.default_child_policy, "TERMINATE", "the child policy registered first")
    expect_equal(kept.configuration.default_task_list, desk.deciders, "the default task list")
    kept_activity = desk.call(o.DescribeActivityType(domain=desk.domain, activity_type=desk.activity_type))
    expect_equal(kept_activity.type_info.description, None, "a description that was not given")
    expect_equal(kept_activity.configuration.default_task_start_to_close_timeout, "120", "a default timeout")


def a_name_may_have_many_versions(backend: Backend) -> None:
    """Versions of one name are types of their own."""
    desk = Desk(backend)
    for version in ("2", "10", "1"):
        desk.register_workflow_type(version=version)
    request = o.ListWorkflowTypes(domain=desk.domain, registration_status="REGISTERED", name=desk.tag)
    found = wait_for(lambda: _find_three(desk, request), "three versions in the list of types")
    expect_equal(found, ["1", "10", "2"], "the versions listed")


def _find_three(desk: Desk, request: o.ListWorkflowTypes) -> list[str] | None:
    versions = sorted(info.workflow_type.version for info in desk.call(request).type_infos)
    return versions if len(versions) == 3 else None


def a_type_that_nobody_registered_is_unknown(backend: Backend) -> None:
    """It cannot be described, deprecated, deleted or started."""
    desk = Desk(backend)
    type, activity_type = WorkflowType(desk.tag, "never"), ActivityType(desk.tag, "never")
    requests: tuple[o.Request[object], ...] = (
        o.DescribeWorkflowType(domain=desk.domain, workflow_type=type),
        o.DescribeActivityType(domain=desk.domain, activity_type=activity_type),
        o.DeprecateWorkflowType(domain=desk.domain, workflow_type=type),
        o.DeprecateActivityType(domain=desk.domain, activity_type=activity_type),
        o.UndeprecateWorkflowType(domain=desk.domain, workflow_type=type),
        o.StartWorkflowExecution(domain=desk.domain, workflow_id=desk.tag, workflow_type=type),
    )
    for request in requests:
        desk.expect_fault(UnknownResourceFault, request, f"{request.__class__.__name__} of an unknown type")


def an_unknown_domain_is_unknown_to_every_call(backend: Backend) -> None:
    """Nothing can be registered, polled or read there."""
    desk = Desk(backend)
    nowhere = f"{desk.tag}-nowhere"
    requests: tuple[o.Request[object], ...] = (
        o.DescribeDomain(name=nowhere),
        o.RegisterWorkflowType(domain=nowhere, name="w", version="1"),
        o.RegisterActivityType(domain=nowhere, name="a", version="1"),
        o.PollForDecisionTask(domain=nowhere, task_list=TaskList("t")),
        o.PollForActivityTask(domain=nowhere, task_list=TaskList("t")),
        o.CountPendingActivityTasks(domain=nowhere, task_list=TaskList("t")),
        o.SignalWorkflowExecution(domain=nowhere, workflow_id="w", signal_name="s"),
        o.TerminateWorkflowExecution(domain=nowhere, workflow_id="w"),
    )
    for request in requests:
        desk.expect_fault(UnknownResourceFault, request, f"{request.__class__.__name__} in an unknown domain")


def the_domain_exists(backend: Backend) -> None:
    """The domain of the backend is described, and cannot be registered again."""
    desk = Desk(backend)
    expect_equal(desk.call(o.DescribeDomain(name=desk.domain)).domain_info.name, desk.domain, "the domain's name")
    again = o.RegisterDomain(name=desk.domain, workflow_execution_retention_period_in_days="1")
    desk.expect_fault(DomainAlreadyExistsFault, again, "a domain registered twice")


def a_deprecated_type_starts_nothing_until_it_is_undeprecated(backend: Backend) -> None:
    """Deprecating twice is refused, as is undeprecating what is registered."""
    desk = Desk(backend)
    desk.register()
    named: dict[str, Any] = {"domain": desk.domain, "workflow_type": desk.workflow_type}
    start = o.StartWorkflowExecution(workflow_id=f"{desk.tag}-w", **named)
    desk.expect_fault(TypeNotDeprecatedFault, o.DeleteWorkflowType(**named), "deleting a registered type")
    desk.call(o.DeprecateWorkflowType(**named))
    desk.expect_fault(TypeDeprecatedFault, o.DeprecateWorkflowType(**named), "deprecating twice")
    described = desk.call(o.DescribeWorkflowType(**named)).type_info
    expect_equal(described.status, "DEPRECATED", "the status of a deprecated type")

    def look() -> ServiceFault | None:
        try:
            run = desk.call(start)
        except ServiceFault as fault:
            return fault
        terminate = o.TerminateWorkflowExecution(domain=desk.domain, workflow_id=start.workflow_id, run_id=run.run_id)
        desk.call(terminate)
        return None

    expect_equal(wait_for(look, "the deprecation").code, "TypeDeprecatedFault", "the fault of a start")
    desk.call(o.UndeprecateWorkflowType(**named))
    desk.expect_fault(TypeAlreadyExistsFault, o.UndeprecateWorkflowType(**named), "undeprecating a registered type")


def a_default_that_nobody_gives_is_missed_at_the_start(backend: Backend) -> None:
    """A start gives what its type does not, or is refused."""
    desk = Desk(backend)
    desk.call(o.RegisterWorkflowType(domain=desk.domain, name=desk.tag, version="1"))
    start = o.StartWorkflowExecution(
        domain=desk.domain, workflow_id=f"{desk.tag}-bare", workflow_type=desk.workflow_type, child_policy="ABANDON"
    )
    desk.expect_fault(DefaultUndefinedFault, start, "a start without a task list and timeouts")
    execution = desk.start(
        task_list=desk.deciders,
        child_policy="ABANDON",
        execution_start_to_close_timeout="60",
        task_start_to_close_timeout="NONE",
    )
    configuration = desk.describe(execution).execution_configuration
    expect_equal(configuration.task_list, desk.deciders, "the task list given at the start")
    expect_equal(configuration.task_start_to_close_timeout, "NONE", "the timeout given at the start")
    desk.terminate(execution)


def names_and_texts_beyond_their_limits_are_refused(backend: Backend) -> None:
    """By a `ValidationException`, and nothing is registered."""
    desk = Desk(backend)
    limits = backend.limits
    for name in ("", "a:b", "a/b", "a|b", " a", "a ", "arn", "a\x07b", "n" * (limits.name_chars_max + 1)):
        named = o.RegisterActivityType(domain=desk.domain, name=name, version="1")
        desk.expect_fault(ValidationException, named, f"the name {name:.20}")
    version, description = "v" * (limits.version_chars_max + 1), "d" * (limits.description_chars_max + 1)
    requests: tuple[o.Request[object], ...] = (
        o.RegisterWorkflowType(domain=desk.domain, name=desk.tag, version=version),
        o.RegisterWorkflowType(domain=desk.domain, name=desk.tag, version="1", description=description),
        o.RegisterWorkflowType(
            domain=desk.domain, name=desk.tag, version="1", default_task_start_to_close_timeout="soon"
        ),
    )
    for request in requests:
        desk.expect_fault(ValidationException, request, "a text beyond its limit")
    desk.register_workflow_type(name="n" * 12 + desk.tag, description="d" * limits.description_chars_max)


CHECKS = (
    a_type_is_registered_once_and_keeps_its_defaults,
    a_name_may_have_many_versions,
    a_type_that_nobody_registered_is_unknown,
    an_unknown_domain_is_unknown_to_every_call,
    the_domain_exists,
    a_deprecated_type_starts_nothing_until_it_is_undeprecated,
    a_default_that_nobody_gives_is_missed_at_the_start,
    names_and_texts_beyond_their_limits_are_refused,
)
