"""Register the types of definitions, and compare registered types with the code.

A registered type never changes (SWF): its executions and tasks have the settings with which it was registered, whatever
the code declares later. So a difference is an error, raised before any work is scheduled.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from traction.backend import Backend
from traction.definitions.classes import Activity
from traction.errors import DefinitionError, DomainAlreadyExistsFault, TypeAlreadyExistsFault, UnknownResourceFault
from traction.model import operations as o
from traction.worker.backoff import Pause

LOOKUPS_MAX = 8
"""How often a newly registered type is looked up: it may stay unknown for a while (SWF)."""


class RegistrationError(DefinitionError):
    """A type is registered with other settings than its definition has.

    `definition` is the class. `differences` has, by setting, the registered value and that of the code.
    """

    def __init__(self, definition: Any, domain: str, differences: dict[str, tuple[Any, Any]]) -> None:
        self.definition, self.domain, self.differences = definition, domain, differences
        type = definition.spec.type
        width = max(map(len, differences))
        table = "\n".join(
            f"  {name.ljust(width)}  registered: {_show(registered)}  code: {_show(declared)}"
            for name, (registered, declared) in differences.items()
        )
        super().__init__(
            f"{type.name} {type.version} is registered in the domain {domain} with other settings than its definition "
            f"has\n\n{table}\n\n"
            "A registered type never changes (SWF). Give the definition a new version, or the settings that are "
            "registered."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return RegistrationError, (self.definition, self.domain, self.differences)


def register_type(backend: Backend, definition: Any, pause: Pause | None = None) -> str | None:
    """Register the type of a definition with its defaults, or compare them if it is registered.

    Args:
        backend: the backend. An unknown domain is registered as well if the backend has `retention_days`.
        definition: the definition.
        pause: waits for some seconds between lookups of a newly registered type. Without it, there are no lookups.

    Returns:
        A warning for operators, if there is one.

    Raises:
        RegistrationError: the type is registered with other defaults.
        BackendError: the service rejected the request, or could not be reached.
    """
    detail = _find(backend, definition)
    if detail is None:
        # Another process may register it first; or it was just registered and is not visible everywhere yet (SWF).
        with suppress(TypeAlreadyExistsFault):
            _register(backend, definition, pause)
        detail = _await_type(backend, definition, pause)
    if detail is None:
        return None
    if differences := _compare(detail.configuration, _make_request(backend, definition)):
        raise RegistrationError(definition, backend.domain, differences)
    if detail.type_info.status == "DEPRECATED":
        type = definition.spec.type
        what = "tasks" if issubclass(definition, Activity) else "executions"
        return (
            f"{type.name} {type.version} is deprecated in the domain {backend.domain}: open {what} continue, and "
            "new ones are rejected. Undeprecate it, or give the definition a new version"
        )
    return None


def _find(backend: Backend, definition: Any) -> o.ActivityTypeDetail | o.WorkflowTypeDetail | None:
    type = definition.spec.type
    try:
        if issubclass(definition, Activity):
            return backend.call(o.DescribeActivityType(domain=backend.domain, activity_type=type))
        return backend.call(o.DescribeWorkflowType(domain=backend.domain, workflow_type=type))
    except UnknownResourceFault:
        return None


def _await_type(
    backend: Backend, definition: Any, pause: Pause | None
) -> o.ActivityTypeDetail | o.WorkflowTypeDetail | None:
    """Look up a type until it is visible: the service rejects a decision with an unknown type for good."""
    if pause is None:
        return None
    for attempt in range(LOOKUPS_MAX):
        if (detail := _find(backend, definition)) is not None:
            return detail
        pause(0.05 * 2**attempt)
    return None


def _register(backend: Backend, definition: Any, pause: Pause | None) -> None:
    request = _make_request(backend, definition)
    try:
        backend.call(request)
        return
    except UnknownResourceFault as error:
        if backend.retention_days is None:
            raise UnknownResourceFault(
                f"{error}. The domain {backend.domain} is not registered, and {backend.url} does not register "
                "it: register it once, or add retention_days=30 to the URL. A domain can never be deleted (SWF)"
            ) from error
    with suppress(DomainAlreadyExistsFault):
        backend.call(
            o.RegisterDomain(
                name=backend.domain, workflow_execution_retention_period_in_days=str(backend.retention_days)
            )
        )
    if pause is not None:
        # The domain may be unknown for a moment, too.
        for attempt in range(LOOKUPS_MAX - 1):
            with suppress(UnknownResourceFault):
                backend.call(request)
                return
            pause(0.05 * 2**attempt)
    backend.call(request)


def _make_request(backend: Backend, definition: Any) -> o.RegisterActivityType | o.RegisterWorkflowType:
    spec = definition.spec
    common: dict[str, Any] = {
        "domain": backend.domain,
        "name": spec.type.name,
        "version": spec.type.version,
        "description": spec.description,
        "default_task_list": spec.task_list,
        "default_task_priority": spec.priority,
    }
    if issubclass(definition, Activity):
        return o.RegisterActivityType(
            **common,
            default_task_schedule_to_start_timeout=spec.schedule_to_start,
            default_task_start_to_close_timeout=spec.start_to_close,
            default_task_schedule_to_close_timeout=spec.schedule_to_close,
            default_task_heartbeat_timeout=spec.heartbeat,
        )
    return o.RegisterWorkflowType(
        **common,
        default_execution_start_to_close_timeout=spec.execution_start_to_close,
        default_task_start_to_close_timeout=spec.task_start_to_close,
        default_child_policy=spec.child_policy,
        default_lambda_role=spec.lambda_role,
    )


def _compare(registered: Any, request: Any) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, without the description, which has no effect."""
    settings = msgspec.structs.asdict(registered)
    return {
        name: (value, getattr(request, name)) for name, value in settings.items() if value != getattr(request, name)
    }


def _show(value: Any) -> str:
    return "none" if value is None else str(getattr(value, "name", value))
