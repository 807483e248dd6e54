"""Have a type registered as its definition says, or say where the two differ.

Takes a backend and a definition; gives nothing, or what an operator should know. Types never change (SWF): what a type
was registered with is what its executions and tasks get, whatever the code says since. So a difference is an error,
told before any work is asked for.
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

LOOKS_MAX = 8
"""How often a type is looked for that was registered a moment ago: it may be unknown for as long (SWF)."""


class RegistrationError(DefinitionError):
    """A type is registered with other settings than its definition has.

    `definition` is the class, and `differences` are pairs by setting: what is registered, and what the code says.
    """

    def __init__(self, definition: Any, domain: str, differences: dict[str, tuple[Any, Any]]) -> None:
        self.definition, self.domain, self.differences = definition, domain, differences
        type = definition.spec.type
        width = max(map(len, differences))
        table = "\n".join(
            f"  {name.ljust(width)}  registered: {_show(registered)}  code: {_show(said)}"
            for name, (registered, said) in differences.items()
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
    """Register the type of a definition with its defaults, if it is not there; if it is, compare them.

    Args:
        backend: where. An unknown domain is registered as well, if the backend says so by its `retention_days`.
        definition: what.
        pause: lets time pass between looks for a type that was registered a moment ago. Without it, nobody looks.

    Returns:
        What an operator should know of the type, if there is anything.

    Raises:
        RegistrationError: the type is registered with other defaults.
        BackendError: the service refused, or could not be reached.
    """
    detail = _find(backend, definition)
    if detail is None:
        # Somebody else may be quicker; or it was registered a moment ago, and is not seen everywhere yet.
        with suppress(TypeAlreadyExistsFault):
            _register(backend, definition, pause)
        detail = _look(backend, definition, pause)
    if detail is None:
        return None
    if differences := _compare(detail.configuration, _make_request(backend, definition)):
        raise RegistrationError(definition, backend.domain, differences)
    if detail.type_info.status == "DEPRECATED":
        type = definition.spec.type
        what = "tasks" if issubclass(definition, Activity) else "executions"
        return (
            f"{type.name} {type.version} is deprecated in the domain {backend.domain}: {what} that are open go on, and "
            "new ones are refused. Undeprecate it, or give the definition a new version"
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


def _look(backend: Backend, definition: Any, pause: Pause | None) -> o.ActivityTypeDetail | o.WorkflowTypeDetail | None:
    """Look until the type is there: what is asked for by a type that is not seen yet is refused for good."""
    if pause is None:
        return None
    for look in range(LOOKS_MAX):
        if (detail := _find(backend, definition)) is not None:
            return detail
        pause(0.05 * 2**look)
    return None


def _register(backend: Backend, definition: Any, pause: Pause | None) -> None:
    request = _make_request(backend, definition)
    try:
        backend.call(request)
        return
    except UnknownResourceFault as error:
        if backend.retention_days is None:
            raise UnknownResourceFault(
                f"{error}. The domain {backend.domain} is not registered, and {backend.url} does not say to register "
                "it: register it once, or add retention_days=30 to the URL. A domain can never be deleted (SWF)"
            ) from error
    with suppress(DomainAlreadyExistsFault):
        backend.call(
            o.RegisterDomain(
                name=backend.domain, workflow_execution_retention_period_in_days=str(backend.retention_days)
            )
        )
    for look in range(LOOKS_MAX):
        # The domain, too, may be unknown for a moment.
        if pause is None or look == LOOKS_MAX - 1:
            break
        try:
            backend.call(request)
            return
        except UnknownResourceFault:
            pause(0.05 * 2**look)
    backend.call(request)


def _make_request(backend: Backend, definition: Any) -> o.RegisterActivityType | o.RegisterWorkflowType:
    spec = definition.spec
    if issubclass(definition, Activity):
        return o.RegisterActivityType(
            domain=backend.domain,
            name=spec.type.name,
            version=spec.type.version,
            description=spec.description,
            default_task_list=spec.task_list,
            default_task_priority=spec.priority,
            default_task_schedule_to_start_timeout=spec.schedule_to_start,
            default_task_start_to_close_timeout=spec.start_to_close,
            default_task_schedule_to_close_timeout=spec.schedule_to_close,
            default_task_heartbeat_timeout=spec.heartbeat,
        )
    return o.RegisterWorkflowType(
        domain=backend.domain,
        name=spec.type.name,
        version=spec.type.version,
        description=spec.description,
        default_task_list=spec.task_list,
        default_task_priority=spec.priority,
        default_execution_start_to_close_timeout=spec.execution_start_to_close,
        default_task_start_to_close_timeout=spec.task_start_to_close,
        default_child_policy=spec.child_policy,
        default_lambda_role=spec.lambda_role,
    )


def _compare(registered: Any, asked: Any) -> dict[str, tuple[Any, Any]]:
    """Find the settings that differ. A description is none: it changes nothing that happens."""
    told = msgspec.structs.asdict(registered)
    return {name: (value, getattr(asked, name)) for name, value in told.items() if value != getattr(asked, name)}


def _show(value: Any) -> str:
    return "none" if value is None else str(getattr(value, "name", value))
