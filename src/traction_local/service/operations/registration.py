"""Register, describe, list, deprecate, undeprecate and delete domains and types; tag domains.

Running executions are not affected.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from traction.errors import (
    DomainAlreadyExistsFault,
    DomainDeprecatedFault,
    LimitExceededFault,
    TooManyTagsFault,
    TypeAlreadyExistsFault,
    TypeDeprecatedFault,
    TypeNotDeprecatedFault,
    UnknownResourceFault,
    ValidationException,
)
from traction.model.names import ActivityType, WorkflowType
from traction.model.operations import (
    ActivityTypeConfiguration,
    ActivityTypeDetail,
    ActivityTypeInfo,
    ActivityTypeInfos,
    DeleteActivityType,
    DeleteWorkflowType,
    DeprecateActivityType,
    DeprecateDomain,
    DeprecateWorkflowType,
    DescribeActivityType,
    DescribeDomain,
    DescribeWorkflowType,
    DomainConfiguration,
    DomainDetail,
    DomainInfo,
    DomainInfos,
    ListActivityTypes,
    ListDomains,
    ListTagsForResource,
    ListTagsForResourceOutput,
    ListWorkflowTypes,
    RegisterActivityType,
    RegisterDomain,
    RegisterWorkflowType,
    ResourceTag,
    TagResource,
    UndeprecateActivityType,
    UndeprecateDomain,
    UndeprecateWorkflowType,
    UntagResource,
    WorkflowTypeConfiguration,
    WorkflowTypeDetail,
    WorkflowTypeInfo,
    WorkflowTypeInfos,
)
from traction_local.service.paging import fit, get_page_size, make_page_token, read_page_token
from traction_local.service.state.domain import ARN_PREFIX, ConfigurationT, Domain, Registered, TypeT
from traction_local.service.state.region import Region

T = TypeVar("T")
InfoT = TypeVar("InfoT", DomainInfo, WorkflowTypeInfo, ActivityTypeInfo)

# Domains.


def register_domain(region: Region, request: RegisterDomain, _now: datetime) -> None:
    """Register a domain under a name that is not taken, not even by a deprecated one."""
    if request.name in region.domains:
        raise DomainAlreadyExistsFault(request.name)
    if len(region.domains) >= region.limits.domains_max:
        raise LimitExceededFault("Limit on domains in the account reached")
    tags = request.tags or ()
    _check_tags(region, {tag.key for tag in tags}, tags)
    region.domains[request.name] = Domain(request, region.ready, region.by_stem)


def describe_domain(region: Region, request: DescribeDomain, _now: datetime) -> DomainDetail:
    """Return a domain's status and retention."""
    domain = region.get_domain(request.name)
    configuration = DomainConfiguration(workflow_execution_retention_period_in_days=domain.retention_days)
    return DomainDetail(domain_info=_to_domain_info(domain), configuration=configuration)


def list_domains(region: Region, request: ListDomains, now: datetime) -> DomainInfos:
    """List domains of one status by name."""
    deprecated = request.registration_status == "DEPRECATED"
    domains = [domain for _, domain in sorted(region.domains.items()) if domain.deprecated == deprecated]
    page, token = _cut(region, request, now, domains, _to_domain_info)
    return DomainInfos(domain_infos=page, next_page_token=token)


def deprecate_domain(region: Region, request: DeprecateDomain, now: datetime) -> None:
    """Deprecate a domain and all its types."""
    domain = region.get_domain(request.name)
    if domain.deprecated:
        raise DomainDeprecatedFault(request.name)
    domain.deprecated = True
    for workflow_type in domain.workflow_types.values():
        workflow_type.deprecated_at = workflow_type.deprecated_at or now
    for activity_type in domain.activity_types.values():
        activity_type.deprecated_at = activity_type.deprecated_at or now


def undeprecate_domain(region: Region, request: UndeprecateDomain, _now: datetime) -> None:
    """Undeprecate a domain. Its types stay deprecated: the documentation does not mention them."""
    domain = region.get_domain(request.name)
    if not domain.deprecated:
        raise DomainAlreadyExistsFault(request.name)
    domain.deprecated = False


def _to_domain_info(domain: Domain) -> DomainInfo:
    return DomainInfo(
        name=domain.name,
        status="DEPRECATED" if domain.deprecated else "REGISTERED",
        description=domain.description,
        arn=ARN_PREFIX + domain.name,
    )


# Types. Workflow types and activity types are separate name spaces with the same rules.


def _name(type: WorkflowType | ActivityType) -> str:
    return f"{type.__class__.__name__}=[name={type.name}, version={type.version}]"


def _get(types: dict[TypeT, Registered[TypeT, ConfigurationT]], type: TypeT) -> Registered[TypeT, ConfigurationT]:
    registered = types.get(type)
    if registered is None:
        raise UnknownResourceFault(f"Unknown type: {_name(type)}")
    return registered


def _register(
    domain: Domain,
    types: dict[TypeT, Registered[TypeT, ConfigurationT]],
    registered: Registered[TypeT, ConfigurationT],
    types_max: int,
) -> None:
    if registered.type in types:
        raise TypeAlreadyExistsFault(_name(registered.type))
    if domain.deprecated:
        raise DomainDeprecatedFault(domain.name)
    if len(types) >= types_max:
        raise LimitExceededFault("Limit on types in the domain reached")
    types[registered.type] = registered


def _deprecate(types: dict[TypeT, Registered[TypeT, ConfigurationT]], type: TypeT, now: datetime) -> None:
    registered = _get(types, type)
    if registered.deprecated_at is not None:
        raise TypeDeprecatedFault(_name(type))
    registered.deprecated_at = now


def _undeprecate(types: dict[TypeT, Registered[TypeT, ConfigurationT]], type: TypeT) -> None:
    registered = _get(types, type)
    if registered.deprecated_at is None:
        raise TypeAlreadyExistsFault(_name(type))
    registered.deprecated_at = None


def _delete(types: dict[TypeT, Registered[TypeT, ConfigurationT]], type: TypeT) -> None:
    if _get(types, type).deprecated_at is None:
        raise TypeNotDeprecatedFault("The type is currently registered and cannot be deleted in its current state")
    del types[type]


def _select(
    types: dict[TypeT, Registered[TypeT, ConfigurationT]], request: ListWorkflowTypes | ListActivityTypes
) -> list[Registered[TypeT, ConfigurationT]]:
    """Return the types with a status, and the given name if there is one, sorted by name."""
    deprecated = request.registration_status == "DEPRECATED"
    chosen = [
        registered
        for registered in types.values()
        if (registered.deprecated_at is not None) == deprecated and request.name in (None, registered.type.name)
    ]
    return sorted(chosen, key=lambda registered: (registered.type.name, registered.type.version))


def register_workflow_type(region: Region, request: RegisterWorkflowType, now: datetime) -> None:
    """Register a workflow type with the defaults of the request."""
    domain = region.get_domain(request.domain)
    configuration = WorkflowTypeConfiguration(**_take_defaults(request, WorkflowTypeConfiguration))
    registered = Registered(WorkflowType(request.name, request.version), configuration, request.description, now)
    _register(domain, domain.workflow_types, registered, region.limits.workflow_types_max)


def register_activity_type(region: Region, request: RegisterActivityType, now: datetime) -> None:
    """Register an activity type with the defaults of the request."""
    domain = region.get_domain(request.domain)
    configuration = ActivityTypeConfiguration(**_take_defaults(request, ActivityTypeConfiguration))
    registered = Registered(ActivityType(request.name, request.version), configuration, request.description, now)
    _register(domain, domain.activity_types, registered, region.limits.activity_types_max)


def _take_defaults(request: msgspec.Struct, configuration: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the members that a registration request has in common with a configuration."""
    return {name: getattr(request, name) for name in configuration.__struct_fields__}


def describe_workflow_type(region: Region, request: DescribeWorkflowType, _now: datetime) -> WorkflowTypeDetail:
    """Return a type's status and defaults."""
    registered = _get(region.get_domain(request.domain).workflow_types, request.workflow_type)
    return WorkflowTypeDetail(type_info=_to_workflow_type_info(registered), configuration=registered.configuration)


def describe_activity_type(region: Region, request: DescribeActivityType, _now: datetime) -> ActivityTypeDetail:
    """Return a type's status and defaults."""
    registered = _get(region.get_domain(request.domain).activity_types, request.activity_type)
    return ActivityTypeDetail(type_info=_to_activity_type_info(registered), configuration=registered.configuration)


def list_workflow_types(region: Region, request: ListWorkflowTypes, now: datetime) -> WorkflowTypeInfos:
    """List workflow types of one status by name."""
    types = _select(region.get_domain(request.domain).workflow_types, request)
    page, token = _cut(region, request, now, types, _to_workflow_type_info)
    return WorkflowTypeInfos(type_infos=page, next_page_token=token)


def list_activity_types(region: Region, request: ListActivityTypes, now: datetime) -> ActivityTypeInfos:
    """List activity types of one status by name."""
    types = _select(region.get_domain(request.domain).activity_types, request)
    page, token = _cut(region, request, now, types, _to_activity_type_info)
    return ActivityTypeInfos(type_infos=page, next_page_token=token)


def _to_workflow_type_info(registered: Registered[WorkflowType, WorkflowTypeConfiguration]) -> WorkflowTypeInfo:
    return WorkflowTypeInfo(
        workflow_type=registered.type,
        status="REGISTERED" if registered.deprecated_at is None else "DEPRECATED",
        creation_date=registered.created_at,
        description=registered.description,
        deprecation_date=registered.deprecated_at,
    )


def _to_activity_type_info(registered: Registered[ActivityType, ActivityTypeConfiguration]) -> ActivityTypeInfo:
    return ActivityTypeInfo(
        activity_type=registered.type,
        status="REGISTERED" if registered.deprecated_at is None else "DEPRECATED",
        creation_date=registered.created_at,
        description=registered.description,
        deprecation_date=registered.deprecated_at,
    )


def deprecate_workflow_type(region: Region, request: DeprecateWorkflowType, now: datetime) -> None:
    """Accept no new executions of a type."""
    _deprecate(region.get_domain(request.domain).workflow_types, request.workflow_type, now)


def deprecate_activity_type(region: Region, request: DeprecateActivityType, now: datetime) -> None:
    """Accept no new tasks of a type."""
    _deprecate(region.get_domain(request.domain).activity_types, request.activity_type, now)


def undeprecate_workflow_type(region: Region, request: UndeprecateWorkflowType, _now: datetime) -> None:
    """Undeprecate a type."""
    _undeprecate(region.get_domain(request.domain).workflow_types, request.workflow_type)


def undeprecate_activity_type(region: Region, request: UndeprecateActivityType, _now: datetime) -> None:
    """Undeprecate a type."""
    _undeprecate(region.get_domain(request.domain).activity_types, request.activity_type)


def delete_workflow_type(region: Region, request: DeleteWorkflowType, _now: datetime) -> None:
    """Delete a deprecated type; its name and version may be registered again."""
    _delete(region.get_domain(request.domain).workflow_types, request.workflow_type)


def delete_activity_type(region: Region, request: DeleteActivityType, _now: datetime) -> None:
    """Delete a deprecated type; its name and version may be registered again."""
    _delete(region.get_domain(request.domain).activity_types, request.activity_type)


# Tags of domains.


def tag_resource(region: Region, request: TagResource, _now: datetime) -> None:
    """Add tags to a domain, or change their values."""
    domain = _get_resource(region, request.resource_arn)
    _check_tags(region, {*domain.tags, *(tag.key for tag in request.tags)}, request.tags)
    domain.tags.update((tag.key, tag.value) for tag in request.tags)


def untag_resource(region: Region, request: UntagResource, _now: datetime) -> None:
    """Remove tags from a domain. A missing tag is not an error."""
    domain = _get_resource(region, request.resource_arn)
    for key in request.tag_keys:
        domain.tags.pop(key, None)


def list_tags_for_resource(region: Region, request: ListTagsForResource, _now: datetime) -> ListTagsForResourceOutput:
    """List a domain's tags."""
    tags = _get_resource(region, request.resource_arn).tags
    return ListTagsForResourceOutput(tags=tuple(ResourceTag(key=key, value=value) for key, value in tags.items()))


def _get_resource(region: Region, arn: str) -> Domain:
    domain = region.domains.get(arn.removeprefix(ARN_PREFIX))
    if domain is None or not arn.startswith(ARN_PREFIX):
        raise UnknownResourceFault(f"Unknown resource: {arn}")
    return domain


def _check_tags(region: Region, keys: set[str], tags: tuple[ResourceTag, ...]) -> None:
    if any(tag.key.startswith("aws:") for tag in tags):
        raise ValidationException("Tag keys that begin with aws: are reserved")
    if len(keys) > region.limits.resource_tags_max:
        raise TooManyTagsFault(f"A resource may have at most {region.limits.resource_tags_max} tags")


def _cut(
    region: Region,
    request: ListDomains | ListWorkflowTypes | ListActivityTypes,
    now: datetime,
    items: list[T],
    to_info: Callable[[T], InfoT],
) -> tuple[tuple[InfoT, ...], str | None]:
    """Return a page of a list that is in ascending order, and the token of the next page."""
    if request.reverse_order:
        items.reverse()
    start = 0 if request.next_page_token is None else read_page_token(region, request, now, 1)[0]
    chosen = items[start : start + get_page_size(region, request.maximum_page_size)]
    page = fit(region, list(map(to_info, chosen)))
    stop = start + len(page)
    token = make_page_token(region, request, now, stop) if stop < len(items) else None
    return tuple(page), token
