"""Section 11 of docs/swf-semantics.md, "Registration"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, MakeSwf, Swf
from traction.model import operations as o
from traction.model.decisions import CompleteWorkflowExecution, ScheduleActivityTask
from traction.model.limits import Limits
from traction.model.names import ActivityType, TaskList, WorkflowType

START = o.StartWorkflowExecution(domain="d", workflow_id="w", workflow_type=WORKFLOW)


def names(swf: Swf, status: Any = "REGISTERED", **given: Any) -> list[str]:
    page = swf.call(o.ListDomains(registration_status=status, **given))
    return [info.name for info in page.domain_infos]


def test_s11_a_domain_is_registered_once_and_described(swf: Swf) -> None:
    swf.call(o.RegisterDomain(name="e", workflow_execution_retention_period_in_days="NONE", description="why"))
    detail = swf.call(o.DescribeDomain(name="e"))
    assert (detail.domain_info.status, detail.domain_info.description) == ("REGISTERED", "why")
    assert detail.configuration.workflow_execution_retention_period_in_days == "NONE"
    again = o.RegisterDomain(name="e", workflow_execution_retention_period_in_days="1")
    assert swf.refuse(again) == ("DomainAlreadyExistsFault", "e")


@pytest.mark.parametrize("days", ["91", "-1", "x", ""])
def test_s11_retention_is_at_most_90_days(swf: Swf, days: str) -> None:
    register = o.RegisterDomain(name="e", workflow_execution_retention_period_in_days=days)
    assert swf.refuse(register)[0] == "ValidationException"


def test_s11_domains_are_listed_by_name(swf: Swf) -> None:
    for name in "cab":
        swf.call(o.RegisterDomain(name=name, workflow_execution_retention_period_in_days="1"))
    assert names(swf) == ["a", "b", "c", "d"]
    assert names(swf, reverse_order=True) == ["d", "c", "b", "a"]
    swf.call(o.DeprecateDomain(name="b"))
    assert (names(swf), names(swf, "DEPRECATED")) == (["a", "c", "d"], ["b"])


def test_s11_a_deprecated_domain_keeps_its_name_and_deprecates_its_types(swf: Swf) -> None:
    execution = swf.start("running")
    swf.call(o.DeprecateDomain(name="d"))
    assert swf.refuse(o.DeprecateDomain(name="d")) == ("DomainDeprecatedFault", "d")
    register = o.RegisterDomain(name="d", workflow_execution_retention_period_in_days="1")
    assert swf.refuse(register) == ("DomainAlreadyExistsFault", "d")
    assert swf.call(o.DescribeDomain(name="d")).domain_info.status == "DEPRECATED"
    assert swf.refuse(START) == ("TypeDeprecatedFault", "WorkflowType=[name=trip, version=1]")
    for new in (
        o.RegisterWorkflowType(domain="d", name="n", version="1"),
        o.RegisterActivityType(domain="d", name="n", version="1"),
    ):
        assert swf.refuse(new) == ("DomainDeprecatedFault", "d")
    # What runs, runs on.
    swf.decide(CompleteWorkflowExecution())
    assert swf.describe(execution).execution_info.close_status == "COMPLETED"


def test_s11_what_was_deprecated_before_its_domain_keeps_its_date(swf: Swf) -> None:
    before = swf.now
    swf.call(o.DeprecateWorkflowType(domain="d", workflow_type=WORKFLOW))
    swf.call(o.DeprecateActivityType(domain="d", activity_type=ACTIVITY))
    swf.advance(5)
    swf.call(o.DeprecateDomain(name="d"))
    described = (
        swf.call(o.DescribeWorkflowType(domain="d", workflow_type=WORKFLOW)),
        swf.call(o.DescribeActivityType(domain="d", activity_type=ACTIVITY)),
    )
    assert [detail.type_info.deprecation_date for detail in described] == [before, before]


def test_s11_what_is_deprecated_counts_until_it_is_deleted(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(domains_max=1, workflow_types_max=1, activity_types_max=1))
    swf.call(o.DeprecateWorkflowType(domain="d", workflow_type=WORKFLOW))
    swf.call(o.DeprecateActivityType(domain="d", activity_type=ACTIVITY))
    more = (
        o.RegisterWorkflowType(domain="d", name="n", version="1"),
        o.RegisterActivityType(domain="d", name="n", version="1"),
    )
    assert [swf.refuse(request)[0] for request in more] == ["LimitExceededFault"] * 2
    swf.call(o.DeleteWorkflowType(domain="d", workflow_type=WORKFLOW))
    swf.call(o.DeleteActivityType(domain="d", activity_type=ACTIVITY))
    for request in more:
        swf.call(request)
    swf.call(o.DeprecateDomain(name="d"))
    another = o.RegisterDomain(name="e", workflow_execution_retention_period_in_days="1")
    assert swf.refuse(another)[0] == "LimitExceededFault"


def test_s11_versions_of_a_type_come_in_the_order_of_their_letters(swf: Swf) -> None:
    for version in ("9", "10", "1.5"):
        swf.register_activity_type(ActivityType("v", version))
    listing = o.ListActivityTypes(domain="d", registration_status="REGISTERED", name="v")
    infos = swf.call(listing).type_infos
    assert [info.activity_type.version for info in infos] == ["1.5", "10", "9"]


def test_s11_a_revived_domain_does_not_revive_its_types(swf: Swf) -> None:
    assert swf.refuse(o.UndeprecateDomain(name="d")) == ("DomainAlreadyExistsFault", "d")
    other = WorkflowType("other", "1")
    swf.register_workflow_type(other)
    swf.call(o.DeprecateDomain(name="d"))
    swf.call(o.UndeprecateWorkflowType(domain="d", workflow_type=WORKFLOW))
    assert swf.refuse(START) == ("DomainDeprecatedFault", "d")
    swf.call(o.UndeprecateDomain(name="d"))
    swf.call(START)
    detail = swf.call(o.DescribeActivityType(domain="d", activity_type=ACTIVITY))
    assert detail.type_info.status == "DEPRECATED"
    assert swf.call(o.DescribeWorkflowType(domain="d", workflow_type=other)).type_info.status == "DEPRECATED"


def test_s11_a_type_has_only_the_defaults_that_were_registered(swf: Swf) -> None:
    swf.call(o.RegisterWorkflowType(domain="d", name="n", version="1", description="why", default_task_priority="4"))
    detail = swf.call(o.DescribeWorkflowType(domain="d", workflow_type=WorkflowType("n", "1")))
    assert detail.configuration == type(detail.configuration)(default_task_priority="4")
    info = detail.type_info
    assert (info.status, info.description, info.creation_date) == ("REGISTERED", "why", swf.now)
    assert info.deprecation_date is None
    swf.call(o.RegisterActivityType(domain="d", name="n", version="1", default_task_list=TaskList("l")))
    of_activity = swf.call(o.DescribeActivityType(domain="d", activity_type=ActivityType("n", "1")))
    assert of_activity.configuration == type(of_activity.configuration)(default_task_list=TaskList("l"))


KINDS: list[tuple[str, type, type, type, type, type]] = [
    (
        "WorkflowType",
        o.RegisterWorkflowType,
        o.DescribeWorkflowType,
        o.DeprecateWorkflowType,
        o.UndeprecateWorkflowType,
        o.DeleteWorkflowType,
    ),
    (
        "ActivityType",
        o.RegisterActivityType,
        o.DescribeActivityType,
        o.DeprecateActivityType,
        o.UndeprecateActivityType,
        o.DeleteActivityType,
    ),
]


@pytest.mark.parametrize(("kind", "register", "describe", "deprecate", "undeprecate", "delete"), KINDS)
def test_s11_the_states_of_a_type(
    swf: Swf, kind: str, register: Any, describe: Any, deprecate: Any, undeprecate: Any, delete: Any
) -> None:
    name = f"{kind}=[name=n, version=1]"
    given: dict[str, Any] = {"domain": "d"}
    if kind == "WorkflowType":
        given["workflow_type"] = WorkflowType("n", "1")
    else:
        given["activity_type"] = ActivityType("n", "1")
    new: o.Request[None] = register(domain="d", name="n", version="1")
    unknown = ("UnknownResourceFault", f"Unknown type: {name}")
    for request in (describe, deprecate, undeprecate, delete):
        assert swf.refuse(request(**given)) == unknown
    swf.call(new)
    assert swf.refuse(new) == ("TypeAlreadyExistsFault", name)
    assert swf.refuse(undeprecate(**given)) == ("TypeAlreadyExistsFault", name)
    assert swf.refuse(delete(**given)) == (
        "TypeNotDeprecatedFault",
        "The type is currently registered and cannot be deleted in its current state",
    )
    swf.advance(5)
    swf.call(deprecate(**given))
    assert swf.refuse(deprecate(**given)) == ("TypeDeprecatedFault", name)
    assert swf.refuse(new) == ("TypeAlreadyExistsFault", name)
    info = swf.call(describe(**given)).type_info
    assert (info.status, info.deprecation_date) == ("DEPRECATED", swf.now)
    swf.call(undeprecate(**given))
    info = swf.call(describe(**given)).type_info
    assert (info.status, info.deprecation_date) == ("REGISTERED", None)
    swf.call(deprecate(**given))
    swf.call(delete(**given))
    assert swf.refuse(describe(**given)) == unknown
    swf.call(new)


def test_s11_a_deprecated_and_deleted_type_leaves_what_runs_alone(swf: Swf) -> None:
    execution = swf.start()
    swf.decide(ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a"))
    for request in (
        o.DeprecateWorkflowType(domain="d", workflow_type=WORKFLOW),
        o.DeprecateActivityType(domain="d", activity_type=ACTIVITY),
        o.DeleteWorkflowType(domain="d", workflow_type=WORKFLOW),
        o.DeleteActivityType(domain="d", activity_type=ACTIVITY),
    ):
        swf.call(request)
    assert swf.work().activity_type == ACTIVITY
    swf.signal(execution)
    swf.decide(CompleteWorkflowExecution())
    assert swf.refuse(START) == ("UnknownResourceFault", "Unknown type: WorkflowType=[name=trip, version=1]")


def test_s3_1_types_are_listed_by_name_of_one_status(swf: Swf) -> None:
    for name, version in (("b", "1"), ("a", "2"), ("a", "1")):
        swf.call(o.RegisterWorkflowType(domain="d", name=name, version=version))
        swf.call(o.RegisterActivityType(domain="d", name=name, version=version))

    def workflows(**given: Any) -> list[tuple[str, str]]:
        query: dict[str, Any] = {"domain": "d", "registration_status": "REGISTERED"} | given
        infos = swf.call(o.ListWorkflowTypes(**query)).type_infos
        return [(info.workflow_type.name, info.workflow_type.version) for info in infos]

    assert workflows() == [("a", "1"), ("a", "2"), ("b", "1"), ("trip", "1")]
    assert workflows(name="a", reverse_order=True) == [("a", "2"), ("a", "1")]
    swf.call(o.DeprecateWorkflowType(domain="d", workflow_type=WorkflowType("a", "1")))
    assert workflows(name="a") == [("a", "2")]
    assert workflows(registration_status="DEPRECATED") == [("a", "1")]
    first = swf.call(o.ListActivityTypes(domain="d", registration_status="REGISTERED", maximum_page_size=3))
    assert [info.activity_type.name for info in first.type_infos] == ["a", "a", "b"]
    rest = o.ListActivityTypes(
        domain="d", registration_status="REGISTERED", maximum_page_size=3, next_page_token=first.next_page_token
    )
    assert [info.activity_type.name for info in swf.call(rest).type_infos] == ["book"]


def test_s3_1_domains_have_tags(make_swf: MakeSwf) -> None:
    swf = make_swf(limits=Limits(resource_tags_max=2))
    arn = swf.call(o.DescribeDomain(name="d")).domain_info.arn
    assert arn is not None

    def tags() -> dict[str, str | None]:
        listed = swf.call(o.ListTagsForResource(resource_arn=arn)).tags
        assert listed is not None
        return {tag.key: tag.value for tag in listed}

    assert tags() == {}
    swf.call(o.TagResource(resource_arn=arn, tags=(o.ResourceTag(key="a", value="1"), o.ResourceTag(key="b"))))
    swf.call(o.TagResource(resource_arn=arn, tags=(o.ResourceTag(key="a", value="2"),)))
    assert tags() == {"a": "2", "b": None}
    assert swf.refuse(o.TagResource(resource_arn=arn, tags=(o.ResourceTag(key="c"),)))[0] == "TooManyTagsFault"
    reserved = o.TagResource(resource_arn=arn, tags=(o.ResourceTag(key="aws:x"),))
    assert swf.refuse(reserved)[0] == "ValidationException"
    swf.call(o.UntagResource(resource_arn=arn, tag_keys=("b", "nothing")))
    assert tags() == {"a": "2"}
    for request in (
        o.ListTagsForResource(resource_arn=arn + "x"),
        o.TagResource(resource_arn="d", tags=()),
        o.UntagResource(resource_arn="arn", tag_keys=()),
    ):
        assert swf.refuse(request)[0] == "UnknownResourceFault"
    three = tuple(o.ResourceTag(key=key) for key in "abc")
    register = o.RegisterDomain(name="e", workflow_execution_retention_period_in_days="1", tags=three)
    assert swf.refuse(register)[0] == "TooManyTagsFault"
