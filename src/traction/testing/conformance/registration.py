"""Check the registration of domains and types."""

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
from traction.testing.conformance.fixture import Fixture, begin, wait_for


def registering_a_type_again_is_refused_and_changes_nothing(backend: Backend) -> None:
    """The first registration keeps its defaults."""
    fixture = Fixture(backend).register()
    workflow = o.RegisterWorkflowType(
        domain=fixture.domain, name=fixture.tag, version="1", default_child_policy="ABANDON"
    )
    activity = o.RegisterActivityType(domain=fixture.domain, name=fixture.tag, version="1", description="another")
    fixture.expect_fault(TypeAlreadyExistsFault, workflow, "a workflow type registered twice")
    fixture.expect_fault(TypeAlreadyExistsFault, activity, "an activity type registered twice")
    kept = fixture.call(o.DescribeWorkflowType(domain=fixture.domain, workflow_type=fixture.workflow_type))
    expect_equal(kept.type_info.status, "REGISTERED", "the status of a new type")
    expect_equal(kept.type_info.workflow_type, fixture.workflow_type, "the type described")
    expect_equal(kept.configuration.default_child_policy, "TERMINATE", "the child policy registered first")
    expect_equal(kept.configuration.default_task_list, fixture.deciders, "the default task list")
    kept_activity = fixture.call(o.DescribeActivityType(domain=fixture.domain, activity_type=fixture.activity_type))
    expect_equal(kept_activity.type_info.description, None, "a description that was not set")
    expect_equal(kept_activity.configuration.default_task_start_to_close_timeout, "120", "a default timeout")


def descriptions_of_types_contain_all_that_was_registered(backend: Backend) -> None:
    """Every default, the description, and the time of the registration. A default that was not set is `None`."""
    fixture = Fixture(backend)
    timeouts = {"default_task_start_to_close_timeout": "11", "default_task_list": fixture.workers}
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
    for version, full in (("full", True), ("bare", False)):
        named: dict[str, Any] = {"domain": fixture.domain, "name": fixture.tag, "version": version}
        workflow: dict[str, Any] = workflow_defaults if full else dict.fromkeys(workflow_defaults)
        activity: dict[str, Any] = activity_defaults if full else dict.fromkeys(activity_defaults)
        text = "why \u2603" if full else None
        fixture.call(o.RegisterWorkflowType(description=text, **named, **workflow))
        fixture.call(o.RegisterActivityType(description=text, **named, **activity))
        types = WorkflowType(fixture.tag, version), ActivityType(fixture.tag, version)
        details: tuple[Any, ...] = (
            fixture.call(o.DescribeWorkflowType(domain=fixture.domain, workflow_type=types[0])),
            fixture.call(o.DescribeActivityType(domain=fixture.domain, activity_type=types[1])),
        )
        for detail, defaults in zip(details, (workflow, activity), strict=True):
            what = type(detail).__name__
            kept = {name: getattr(detail.configuration, name) for name in defaults}
            expect_equal(kept, defaults, f"the defaults of {what}, {version}")
            info = detail.type_info
            expect_equal((info.status, info.description, info.deprecation_date), ("REGISTERED", text, None), what)
            age = abs(backend.now() - info.creation_date)
            expect(age < timedelta(minutes=10), f"the type of {what} should be registered now, not {age} ago")


def types_of_one_name_are_listed_by_version(backend: Backend) -> None:
    """Each version of a name is a type of its own."""
    fixture = Fixture(backend)
    for version in ("2", "10", "1"):
        fixture.register_workflow_type(version=version)
    fixture.register_workflow_type(name=f"{fixture.tag}-other")
    request = o.ListWorkflowTypes(domain=fixture.domain, registration_status="REGISTERED", name=fixture.tag)
    found = wait_for(lambda: _find_three(fixture, request), "three versions in the list of types")
    expect_equal(found, ["1", "10", "2"], "the versions listed")


def _find_three(fixture: Fixture, request: o.ListWorkflowTypes) -> list[str] | None:
    versions = sorted(info.workflow_type.version for info in fixture.call(request).type_infos)
    return versions if len(versions) == 3 else None


def unregistered_types_are_unknown(backend: Backend) -> None:
    """They cannot be described, deprecated, undeprecated or started."""
    fixture = Fixture(backend)
    type, activity_type = WorkflowType(fixture.tag, "never"), ActivityType(fixture.tag, "never")
    fixture.expect_faults(
        UnknownResourceFault,
        "of an unknown type",
        o.DescribeWorkflowType(domain=fixture.domain, workflow_type=type),
        o.DescribeActivityType(domain=fixture.domain, activity_type=activity_type),
        o.DeprecateWorkflowType(domain=fixture.domain, workflow_type=type),
        o.DeprecateActivityType(domain=fixture.domain, activity_type=activity_type),
        o.UndeprecateWorkflowType(domain=fixture.domain, workflow_type=type),
        o.StartWorkflowExecution(domain=fixture.domain, workflow_id=fixture.tag, workflow_type=type),
    )


def calls_to_an_unknown_domain_are_refused(backend: Backend) -> None:
    """Nothing can be registered, polled or read there."""
    fixture, execution = begin(backend)
    unknown = f"{fixture.tag}-unknown"
    since = o.ExecutionTimeFilter(oldest_date=backend.now() - timedelta(hours=1))
    fixture.expect_faults(
        UnknownResourceFault,
        "in an unknown domain",
        o.DescribeDomain(name=unknown),
        o.RegisterWorkflowType(domain=unknown, name="w", version="1"),
        o.RegisterActivityType(domain=unknown, name="a", version="1"),
        o.PollForDecisionTask(domain=unknown, task_list=TaskList("t")),
        o.PollForActivityTask(domain=unknown, task_list=TaskList("t")),
        o.CountPendingActivityTasks(domain=unknown, task_list=TaskList("t")),
        o.SignalWorkflowExecution(domain=unknown, workflow_id="w", signal_name="s"),
        o.TerminateWorkflowExecution(domain=unknown, workflow_id="w"),
        o.DescribeWorkflowExecution(domain=unknown, execution=execution),
        o.GetWorkflowExecutionHistory(domain=unknown, execution=execution),
        o.ListOpenWorkflowExecutions(domain=unknown, start_time_filter=since),
        o.ListClosedWorkflowExecutions(domain=unknown, close_time_filter=since),
    )
    fixture.terminate(execution)


def the_domain_is_registered(backend: Backend) -> None:
    """It is described and listed, can be tagged, and cannot be registered again."""
    fixture = Fixture(backend)
    info = fixture.call(o.DescribeDomain(name=fixture.domain)).domain_info
    assert info.arn is not None, info
    tag = o.ResourceTag(key=fixture.tag, value="\u2603")
    fixture.call(o.TagResource(resource_arn=info.arn, tags=(tag,)))
    tags = o.ListTagsForResource(resource_arn=info.arn)
    wait_for(lambda: tag in (fixture.call(tags).tags or ()), "a tag of the domain")
    fixture.call(o.UntagResource(resource_arn=info.arn, tag_keys=(tag.key,)))
    wait_for(lambda: tag not in (fixture.call(tags).tags or ()), "the removal of the tag")
    pages = fixture.read_pages(o.ListDomains(registration_status="REGISTERED"))
    names = [found.name for page in pages for found in page.domain_infos]
    expect(fixture.domain in names, f"{fixture.domain} should be a registered domain")
    expect_equal(names, sorted(names), "the order of the domains")
    expect_equal(
        fixture.call(o.DescribeDomain(name=fixture.domain)).domain_info.name, fixture.domain, "the domain's name"
    )
    again = o.RegisterDomain(name=fixture.domain, workflow_execution_retention_period_in_days="1")
    fixture.expect_fault(DomainAlreadyExistsFault, again, "a domain registered twice")


def deprecated_workflow_types_cannot_be_started(backend: Backend) -> None:
    """They can be once they are undeprecated. Deprecating or undeprecating twice is refused."""
    fixture = Fixture(backend).register()
    named: dict[str, Any] = {"domain": fixture.domain, "workflow_type": fixture.workflow_type}
    start = o.StartWorkflowExecution(workflow_id=f"{fixture.tag}-w", **named)
    fixture.expect_fault(TypeNotDeprecatedFault, o.DeleteWorkflowType(**named), "deleting a registered type")
    fixture.call(o.DeprecateWorkflowType(**named))
    fixture.expect_fault(TypeDeprecatedFault, o.DeprecateWorkflowType(**named), "deprecating twice")
    described = fixture.call(o.DescribeWorkflowType(**named)).type_info
    expect_equal(described.status, "DEPRECATED", "the status of a deprecated type")

    def look() -> ServiceFault | None:
        try:
            run = fixture.call(start)
        except ServiceFault as fault:
            return fault
        terminate = o.TerminateWorkflowExecution(
            domain=fixture.domain, workflow_id=start.workflow_id, run_id=run.run_id
        )
        fixture.call(terminate)
        return None

    expect_equal(wait_for(look, "the deprecation").code, "TypeDeprecatedFault", "the fault of a start")
    fixture.call(o.UndeprecateWorkflowType(**named))
    fixture.expect_fault(TypeAlreadyExistsFault, o.UndeprecateWorkflowType(**named), "undeprecating a registered type")


def deprecated_activity_types_cannot_be_scheduled_and_can_be_deleted(backend: Backend) -> None:
    """They are listed as deprecated. A deleted type is unknown and can be registered again."""
    fixture = Fixture(backend).register()
    named: dict[str, Any] = {"domain": fixture.domain, "activity_type": fixture.activity_type}
    schedule = d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a")
    execution = fixture.start()

    def listed(status: Any) -> int:
        listing = o.ListActivityTypes(domain=fixture.domain, registration_status=status, name=fixture.tag)
        return len(fixture.call(listing).type_infos)

    def wait_until_listed(registered: int, deprecated: int) -> None:
        expected = (registered, deprecated)
        wait_for(
            lambda: (listed("REGISTERED"), listed("DEPRECATED")) == expected, f"the type in the lists as {expected}"
        )

    def try_to_schedule() -> str:
        fixture.decide(schedule)
        event = backend.get_history(execution)[-2]
        return str(getattr(event, "cause", "none"))

    fixture.expect_fault(TypeNotDeprecatedFault, o.DeleteActivityType(**named), "deleting a registered type")
    fixture.call(o.DeprecateActivityType(**named))
    wait_until_listed(0, 1)
    info = fixture.call(o.DescribeActivityType(**named)).type_info
    expect(info.deprecation_date is not None, "a deprecated type should have the time of its deprecation")
    wait_for(lambda: try_to_schedule() == "ACTIVITY_TYPE_DEPRECATED", "the failure for a deprecated type")
    fixture.call(o.UndeprecateActivityType(**named))
    wait_until_listed(1, 0)
    info = fixture.call(o.DescribeActivityType(**named)).type_info
    expect_equal((info.status, info.deprecation_date), ("REGISTERED", None), "the undeprecated type")
    fixture.call(o.DeprecateActivityType(**named))
    fixture.call(o.DeleteActivityType(**named))
    wait_until_listed(0, 0)
    fixture.expect_fault(UnknownResourceFault, o.DescribeActivityType(**named), "describing a deleted type")
    wait_for(lambda: try_to_schedule() == "ACTIVITY_TYPE_DOES_NOT_EXIST", "the failure for a deleted type")
    fixture.register_activity_type()
    wait_until_listed(1, 0)
    workflow: dict[str, Any] = {"domain": fixture.domain, "workflow_type": fixture.workflow_type}
    fixture.call(o.DeprecateWorkflowType(**workflow))
    fixture.call(o.DeleteWorkflowType(**workflow))
    fixture.expect_fault(UnknownResourceFault, o.DescribeWorkflowType(**workflow), "describing a deleted workflow type")
    fixture.terminate(execution)


def a_start_without_a_required_setting_is_refused(backend: Backend) -> None:
    """The type has no defaults, so the start must have every setting."""
    fixture = Fixture(backend)
    fixture.call(o.RegisterWorkflowType(domain=fixture.domain, name=fixture.tag, version="1"))
    start = o.StartWorkflowExecution(
        domain=fixture.domain,
        workflow_id=f"{fixture.tag}-bare",
        workflow_type=fixture.workflow_type,
        child_policy="ABANDON",
    )
    fixture.expect_fault(DefaultUndefinedFault, start, "a start without a task list and timeouts")
    execution = fixture.start(
        task_list=fixture.deciders,
        child_policy="ABANDON",
        execution_start_to_close_timeout="60",
        task_start_to_close_timeout="NONE",
    )
    configuration = fixture.describe(execution).execution_configuration
    expect_equal(configuration.task_list, fixture.deciders, "the task list")
    expect_equal(configuration.task_start_to_close_timeout, "NONE", "the timeout")
    fixture.terminate(execution)


def types_with_invalid_names_or_texts_are_refused(backend: Backend) -> None:
    """The fault is `ValidationException`, and nothing is registered."""
    fixture = Fixture(backend)
    limits = backend.limits
    for name in ("", "a:b", "a/b", "a|b", " a", "a ", "arn", "a\x07b", "n" * (limits.name_chars_max + 1)):
        named = o.RegisterActivityType(domain=fixture.domain, name=name, version="1")
        fixture.expect_fault(ValidationException, named, f"the name {name:.20}")
    version, description = "v" * (limits.version_chars_max + 1), "d" * (limits.description_chars_max + 1)
    fixture.expect_faults(
        ValidationException,
        "with a text beyond its limit",
        o.RegisterWorkflowType(domain=fixture.domain, name=fixture.tag, version=version),
        o.RegisterWorkflowType(domain=fixture.domain, name=fixture.tag, version="1", description=description),
        o.RegisterWorkflowType(
            domain=fixture.domain, name=fixture.tag, version="1", default_task_start_to_close_timeout="soon"
        ),
    )
    fixture.register_workflow_type(name="n" * 12 + fixture.tag, description="d" * limits.description_chars_max)
