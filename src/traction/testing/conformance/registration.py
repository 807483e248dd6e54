"""Check the registry: types come and go by name and version; what is unknown, there twice or ill-formed is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

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
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import Fixture, wait_for


def a_type_is_registered_once_and_keeps_its_defaults(backend: Backend) -> None:
    """A second registration is refused, and changes nothing."""
    desk = Fixture(backend)
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


def a_type_is_described_as_it_was_registered(backend: Backend) -> None:
    """With every default, the description, and the time of its registration; a default not given is not there."""
    desk = Fixture(backend)
    timeouts = {"default_task_start_to_close_timeout": "11", "default_task_list": desk.workers}
    workflow_defaults: dict[str, Any] = {
        **timeouts,
        "default_execution_start_to_close_timeout": "12",
        "default_task_priority": "-5",
        "default_child_policy": "REQUEST_CANCEL",
        "default_lambda_role": "arn:aws:iam::000000000000:role/exam",
    }
    activity_defaults: dict[str, Any] = {
        **timeouts,
        "default_task_heartbeat_timeout": "13",
        "default_task_priority": "5",
        "default_task_schedule_to_start_timeout": "14",
        "default_task_schedule_to_close_timeout": "NONE",
    }
    for version, given in (("full", True), ("bare", False)):
        named: dict[str, Any] = {"domain": desk.domain, "name": desk.tag, "version": version}
        workflow: dict[str, Any] = workflow_defaults if given else dict.fromkeys(workflow_defaults)
        activity: dict[str, Any] = activity_defaults if given else dict.fromkeys(activity_defaults)
        text = "why \u2603" if given else None
        desk.call(o.RegisterWorkflowType(description=text, **named, **workflow))
        desk.call(o.RegisterActivityType(description=text, **named, **activity))
        types = WorkflowType(desk.tag, version), ActivityType(desk.tag, version)
        details: tuple[Any, ...] = (
            desk.call(o.DescribeWorkflowType(domain=desk.domain, workflow_type=types[0])),
            desk.call(o.DescribeActivityType(domain=desk.domain, activity_type=types[1])),
        )
        for detail, defaults in zip(details, (workflow, activity), strict=True):
            what = type(detail).__name__
            kept = {name: getattr(detail.configuration, name) for name in defaults}
            expect_equal(kept, defaults, f"the defaults of {what}, {version}")
            info = detail.type_info
            expect_equal((info.status, info.description, info.deprecation_date), ("REGISTERED", text, None), what)
            age = abs(backend.now() - info.creation_date)
            expect(age < timedelta(minutes=10), f"the type of {what} should be registered now, not {age} ago")


def a_name_may_have_many_versions(backend: Backend) -> None:
    """Versions of one name are types of their own."""
    desk = Fixture(backend)
    for version in ("2", "10", "1"):
        desk.register_workflow_type(version=version)
    desk.register_workflow_type(name=f"{desk.tag}-other")
    request = o.ListWorkflowTypes(domain=desk.domain, registration_status="REGISTERED", name=desk.tag)
    found = wait_for(lambda: _find_three(desk, request), "three versions in the list of types")
    expect_equal(found, ["1", "10", "2"], "the versions listed")


def _find_three(desk: Fixture, request: o.ListWorkflowTypes) -> list[str] | None:
    versions = sorted(info.workflow_type.version for info in desk.call(request).type_infos)
    return versions if len(versions) == 3 else None


def a_type_that_nobody_registered_is_unknown(backend: Backend) -> None:
    """It cannot be described, deprecated, deleted or started."""
    desk = Fixture(backend)
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
    desk = Fixture(backend)
    nowhere = f"{desk.tag}-nowhere"
    desk.register()
    execution = desk.start()
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - timedelta(hours=1))
    requests: tuple[o.Request[object], ...] = (
        o.DescribeDomain(name=nowhere),
        o.RegisterWorkflowType(domain=nowhere, name="w", version="1"),
        o.RegisterActivityType(domain=nowhere, name="a", version="1"),
        o.PollForDecisionTask(domain=nowhere, task_list=TaskList("t")),
        o.PollForActivityTask(domain=nowhere, task_list=TaskList("t")),
        o.CountPendingActivityTasks(domain=nowhere, task_list=TaskList("t")),
        o.SignalWorkflowExecution(domain=nowhere, workflow_id="w", signal_name="s"),
        o.TerminateWorkflowExecution(domain=nowhere, workflow_id="w"),
        o.DescribeWorkflowExecution(domain=nowhere, execution=execution),
        o.GetWorkflowExecutionHistory(domain=nowhere, execution=execution),
        o.ListOpenWorkflowExecutions(domain=nowhere, start_time_filter=since),
        o.ListClosedWorkflowExecutions(domain=nowhere, close_time_filter=since),
    )
    for request in requests:
        desk.expect_fault(UnknownResourceFault, request, f"{request.__class__.__name__} in an unknown domain")
    desk.terminate(execution)


def the_domain_exists(backend: Backend) -> None:
    """The domain of the backend is described and listed, keeps its tags, and cannot be registered again."""
    desk = Fixture(backend)
    info = desk.call(o.DescribeDomain(name=desk.domain)).domain_info
    assert info.arn is not None, info
    tag = o.ResourceTag(key=desk.tag, value="\u2603")
    desk.call(o.TagResource(resource_arn=info.arn, tags=(tag,)))
    tags = o.ListTagsForResource(resource_arn=info.arn)
    wait_for(lambda: tag in (desk.call(tags).tags or ()), "a tag of the domain")
    desk.call(o.UntagResource(resource_arn=info.arn, tag_keys=(tag.key,)))
    wait_for(lambda: tag not in (desk.call(tags).tags or ()), "that the tag is gone")
    names: list[str] = []
    token = None
    while not names or token is not None:
        page = desk.call(o.ListDomains(registration_status="REGISTERED", next_page_token=token))
        names += [found.name for found in page.domain_infos]
        token = page.next_page_token
    expect(desk.domain in names, f"{desk.domain} should be among the domains that are registered")
    expect_equal(names, sorted(names), "the order of the domains")
    expect_equal(desk.call(o.DescribeDomain(name=desk.domain)).domain_info.name, desk.domain, "the domain's name")
    again = o.RegisterDomain(name=desk.domain, workflow_execution_retention_period_in_days="1")
    desk.expect_fault(DomainAlreadyExistsFault, again, "a domain registered twice")


def a_deprecated_type_starts_nothing_until_it_is_undeprecated(backend: Backend) -> None:
    """Deprecating twice is refused, as is undeprecating what is registered."""
    desk = Fixture(backend)
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


def a_deprecated_activity_type_schedules_nothing_and_may_be_deleted(backend: Backend) -> None:
    """It is listed by its status; what was deleted is unknown, and may be registered again."""
    desk = Fixture(backend)
    desk.register()
    named: dict[str, Any] = {"domain": desk.domain, "activity_type": desk.activity_type}
    schedule = d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a")
    execution = desk.start()

    def listed(status: Any) -> int:
        listing = o.ListActivityTypes(domain=desk.domain, registration_status=status, name=desk.tag)
        return len(desk.call(listing).type_infos)

    def wait_until_listed(registered: int, deprecated: int) -> None:
        wanted = (registered, deprecated)
        wait_for(lambda: (listed("REGISTERED"), listed("DEPRECATED")) == wanted, f"the type in the lists as {wanted}")

    def try_to_schedule() -> str:
        desk.decide(schedule)
        event = backend.get_history(execution)[-2]
        return str(getattr(event, "cause", "none"))

    desk.expect_fault(TypeNotDeprecatedFault, o.DeleteActivityType(**named), "deleting a registered type")
    desk.call(o.DeprecateActivityType(**named))
    wait_until_listed(0, 1)
    info = desk.call(o.DescribeActivityType(**named)).type_info
    expect(info.deprecation_date is not None, "a deprecated type should have the time of its deprecation")
    wait_for(lambda: try_to_schedule() == "ACTIVITY_TYPE_DEPRECATED", "the refusal of a deprecated type")
    desk.call(o.UndeprecateActivityType(**named))
    wait_until_listed(1, 0)
    info = desk.call(o.DescribeActivityType(**named)).type_info
    expect_equal((info.status, info.deprecation_date), ("REGISTERED", None), "the type that was undeprecated")
    desk.call(o.DeprecateActivityType(**named))
    desk.call(o.DeleteActivityType(**named))
    wait_until_listed(0, 0)
    desk.expect_fault(UnknownResourceFault, o.DescribeActivityType(**named), "describing a deleted type")
    wait_for(lambda: try_to_schedule() == "ACTIVITY_TYPE_DOES_NOT_EXIST", "the refusal of a deleted type")
    desk.register_activity_type()
    wait_until_listed(1, 0)
    workflow: dict[str, Any] = {"domain": desk.domain, "workflow_type": desk.workflow_type}
    desk.call(o.DeprecateWorkflowType(**workflow))
    desk.call(o.DeleteWorkflowType(**workflow))
    desk.expect_fault(UnknownResourceFault, o.DescribeWorkflowType(**workflow), "describing a deleted workflow type")
    desk.terminate(execution)


def a_default_that_nobody_gives_is_missed_at_the_start(backend: Backend) -> None:
    """A start gives what its type does not, or is refused."""
    desk = Fixture(backend)
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
    desk = Fixture(backend)
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
    a_type_is_described_as_it_was_registered,
    a_name_may_have_many_versions,
    a_type_that_nobody_registered_is_unknown,
    an_unknown_domain_is_unknown_to_every_call,
    the_domain_exists,
    a_deprecated_type_starts_nothing_until_it_is_undeprecated,
    a_deprecated_activity_type_schedules_nothing_and_may_be_deleted,
    a_default_that_nobody_gives_is_missed_at_the_start,
    names_and_texts_beyond_their_limits_are_refused,
)
