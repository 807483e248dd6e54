"""Register, describe, list, deprecate, undeprecate and delete domains and types; tag domains.

Running executions are not affected.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

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
from traction.model import operations as o
from traction.model.names import ActivityType, WorkflowType
from traction_local.service.paging import fit, get_page_size, make_page_token, read_page_token
from traction_local.service.state.domain import ARN_PREFIX, Domain, Registered
from traction_local.service.state.region import Region

T = TypeVar("T")
InfoT = TypeVar("InfoT")

# Domains.


def register_domain(region: Region, request: o.RegisterDomain, _now: datetime) -> None:
    """Register a domain under a name that is not taken, not even by a deprecated one."""
    if request.name in region.domains:
        raise DomainAlreadyExistsFault(request.name)
    if len(region.domains) >= region.limits.domains_max:
        raise LimitExceededFault("Limit on domains in the account reached")
    tags = request.tags or ()
    _check_tags(region, {tag.key for tag in tags}, tags)
    region.domains[request.name] = Domain(request, region.ready, region.by_stem)


def describe_domain(region: Region, request: o.DescribeDomain, _now: datetime) -> o.DomainDetail:
    """Return a domain's status and retention."""
    domain = region.get_domain(request.name)
    configuration = o.DomainConfiguration(workflow_execution_retention_period_in_days=domain.retention_days)
    return o.DomainDetail(domain_info=_to_domain_info(domain), configuration=configuration)


def list_domains(region: Region, request: o.ListDomains, now: datetime) -> o.DomainInfos:
    """List domains of one status by name."""
    deprecated = request.registration_status == "DEPRECATED"
    domains = [domain for _, domain in sorted(region.domains.items()) if domain.deprecated == deprecated]
    page, token = _cut(region, request, now, domains, _to_domain_info)
    return o.DomainInfos(domain_infos=page, next_page_token=token)


def deprecate_domain(region: Region, request: o.DeprecateDomain, now: datetime) -> None:
    """Deprecate a domain and all its types."""
    domain = region.get_domain(request.name)
    if domain.deprecated:
        raise DomainDeprecatedFault(request.name)
    domain.deprecated = True
    for workflow_type in domain.workflow_types.values():
        workflow_type.deprecated_at = workflow_type.deprecated_at or now
    for activity_type in domain.activity_types.values():
        activity_type.deprecated_at = activity_type.deprecated_at or now


def undeprecate_domain(region: Region, request: o.UndeprecateDomain, _now: datetime) -> None:
    """Undeprecate a domain. Its types stay deprecated: the documentation does not mention them."""
    domain = region.get_domain(request.name)
    if not domain.deprecated:
        raise DomainAlreadyExistsFault(request.name)
    domain.deprecated = False


def _to_domain_info(domain: Domain) -> o.DomainInfo:
    return o.DomainInfo(
        name=domain.name,
        status="DEPRECATED" if domain.deprecated else "REGISTERED",
        description=domain.description,
        arn=ARN_PREFIX + domain.name,
    )


# Types. Workflow types and activity types are separate name spaces with the same rules.


def register_type(region: Region, request: o.RegisterWorkflowType | o.RegisterActivityType, now: datetime) -> None:
    """Register a type with the defaults of the request."""
    domain, limits = region.get_domain(request.domain), region.limits
    types: Any
    type: WorkflowType | ActivityType
    configuration: Any
    if isinstance(request, o.RegisterActivityType):
        types, types_max = domain.activity_types, limits.activity_types_max
        type, configuration = ActivityType(request.name, request.version), o.ActivityTypeConfiguration
    else:
        types, types_max = domain.workflow_types, limits.workflow_types_max
        type, configuration = WorkflowType(request.name, request.version), o.WorkflowTypeConfiguration
    if type in types:
        raise TypeAlreadyExistsFault(_name(type))
    if domain.deprecated:
        raise DomainDeprecatedFault(domain.name)
    if len(types) >= types_max:
        raise LimitExceededFault("Limit on types in the domain reached")
    defaults = {name: getattr(request, name) for name in configuration.__struct_fields__}
    types[type] = Registered(type, configuration(**defaults), request.description, now)


def describe_type(
    region: Region, request: o.DescribeWorkflowType | o.DescribeActivityType, _now: datetime
) -> o.WorkflowTypeDetail | o.ActivityTypeDetail:
    """Return a type's status and defaults."""
    registered = _get(*_find_types(region, request))
    fields: dict[str, Any] = {"type_info": _to_type_info(registered), "configuration": registered.configuration}
    return (o.ActivityTypeDetail if isinstance(registered.type, ActivityType) else o.WorkflowTypeDetail)(**fields)


def list_types(
    region: Region, request: o.ListWorkflowTypes | o.ListActivityTypes, now: datetime
) -> o.WorkflowTypeInfos | o.ActivityTypeInfos:
    """List types of one status, and of the given name if there is one, by name."""
    domain = region.get_domain(request.domain)
    of_activities = isinstance(request, o.ListActivityTypes)
    types: dict[Any, Registered[Any]] = domain.activity_types if of_activities else domain.workflow_types
    deprecated = request.registration_status == "DEPRECATED"
    chosen = [
        registered
        for registered in types.values()
        if (registered.deprecated_at is not None) == deprecated and request.name in (None, registered.type.name)
    ]
    chosen.sort(key=lambda registered: (registered.type.name, registered.type.version))
    page, token = _cut(region, request, now, chosen, _to_type_info)
    fields: dict[str, Any] = {"type_infos": page, "next_page_token": token}
    return (o.ActivityTypeInfos if of_activities else o.WorkflowTypeInfos)(**fields)


def deprecate_type(region: Region, request: o.DeprecateWorkflowType | o.DeprecateActivityType, now: datetime) -> None:
    """Accept no new executions or tasks of a type."""
    registered = _get(*_find_types(region, request))
    if registered.deprecated_at is not None:
        raise TypeDeprecatedFault(_name(registered.type))
    registered.deprecated_at = now


def undeprecate_type(
    region: Region, request: o.UndeprecateWorkflowType | o.UndeprecateActivityType, _now: datetime
) -> None:
    """Undeprecate a type."""
    registered = _get(*_find_types(region, request))
    if registered.deprecated_at is None:
        raise TypeAlreadyExistsFault(_name(registered.type))
    registered.deprecated_at = None


def delete_type(region: Region, request: o.DeleteWorkflowType | o.DeleteActivityType, _now: datetime) -> None:
    """Delete a deprecated type; its name and version may be registered again."""
    types, type = _find_types(region, request)
    if _get(types, type).deprecated_at is None:
        raise TypeNotDeprecatedFault("The type is currently registered and cannot be deleted in its current state")
    del types[type]


def _find_types(region: Region, request: Any) -> tuple[dict[Any, Registered[Any]], WorkflowType | ActivityType]:
    """Return the type that a request names, and the types of its kind."""
    domain = region.get_domain(request.domain)
    if hasattr(request, "activity_type"):
        return domain.activity_types, request.activity_type
    return domain.workflow_types, request.workflow_type


def _get(types: dict[Any, Registered[Any]], type: WorkflowType | ActivityType) -> Registered[Any]:
    registered = types.get(type)
    if registered is None:
        raise UnknownResourceFault(f"Unknown type: {_name(type)}")
    return registered


def _name(type: WorkflowType | ActivityType) -> str:
    return f"{type.__class__.__name__}=[name={type.name}, version={type.version}]"


def _to_type_info(registered: Registered[Any]) -> o.WorkflowTypeInfo | o.ActivityTypeInfo:
    fields: dict[str, Any] = {
        "status": "REGISTERED" if registered.deprecated_at is None else "DEPRECATED",
        "creation_date": registered.created_at,
        "description": registered.description,
        "deprecation_date": registered.deprecated_at,
    }
    if isinstance(registered.type, ActivityType):
        return o.ActivityTypeInfo(activity_type=registered.type, **fields)
    return o.WorkflowTypeInfo(workflow_type=registered.type, **fields)


# Tags of domains.


def tag_resource(region: Region, request: o.TagResource, _now: datetime) -> None:
    """Add tags to a domain, or change their values."""
    domain = _get_resource(region, request.resource_arn)
    _check_tags(region, {*domain.tags, *(tag.key for tag in request.tags)}, request.tags)
    domain.tags.update((tag.key, tag.value) for tag in request.tags)


def untag_resource(region: Region, request: o.UntagResource, _now: datetime) -> None:
    """Remove tags from a domain. A missing tag is not an error."""
    domain = _get_resource(region, request.resource_arn)
    for key in request.tag_keys:
        domain.tags.pop(key, None)


def list_tags_for_resource(
    region: Region, request: o.ListTagsForResource, _now: datetime
) -> o.ListTagsForResourceOutput:
    """List a domain's tags."""
    tags = _get_resource(region, request.resource_arn).tags
    return o.ListTagsForResourceOutput(tags=tuple(o.ResourceTag(key=key, value=value) for key, value in tags.items()))


def _get_resource(region: Region, arn: str) -> Domain:
    domain = region.domains.get(arn.removeprefix(ARN_PREFIX))
    if domain is None or not arn.startswith(ARN_PREFIX):
        raise UnknownResourceFault(f"Unknown resource: {arn}")
    return domain


def _check_tags(region: Region, keys: set[str], tags: tuple[o.ResourceTag, ...]) -> None:
    if any(tag.key.startswith("aws:") for tag in tags):
        raise ValidationException("Tag keys that begin with aws: are reserved")
    if len(keys) > region.limits.resource_tags_max:
        raise TooManyTagsFault(f"A resource may have at most {region.limits.resource_tags_max} tags")


def _cut(
    region: Region,
    request: o.ListDomains | o.ListWorkflowTypes | o.ListActivityTypes,
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
