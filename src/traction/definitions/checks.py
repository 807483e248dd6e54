"""Check the calls, definitions and dependencies that are passed to workers and clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from traction.definitions.classes import Activity, Workflow
from traction.errors import DefinitionError, MissingDependencyError
from traction.model.names import ActivityType, WorkflowType


def check_call(workflow: Any) -> None:
    """Check that a value is a call of a workflow.

    Raises:
        DefinitionError: it is a definition, an activity, or something else.
    """
    if not isinstance(workflow, Workflow):
        name = _name(workflow)
        hint = f"; write {name}(...), with its input" if _is_definition(workflow, Workflow) else ""
        raise DefinitionError(f"expected a call of a workflow, got {name}{hint}")


def check_kind(definition: Any, kind: type[Activity[Any, Any] | Workflow[Any]]) -> None:
    """Check that a value is a definition of the worker's kind.

    Raises:
        DefinitionError: it is a call, a plain function, or a definition of the other kind.
    """
    if _is_definition(definition, kind):
        return
    word, words, other = (
        ("activity", "activities", "workflow") if kind is Activity else ("workflow", "workflows", "activity")
    )
    if isinstance(definition, kind):
        hint = f"write {type(definition).__qualname__}"
    elif _is_definition(definition, Workflow if kind is Activity else Activity):
        hint = f"write start_{other}_worker"
    else:
        hint = f"make one with @{word}"
    raise DefinitionError(f"start_{word}_worker accepts only {words}, got {_name(definition)}; {hint}")


def _name(thing: Any) -> str:
    return thing.__qualname__ if isinstance(thing, type) else f"{thing!r:.100}"


def _is_definition(definition: Any, kind: type) -> bool:
    return isinstance(definition, type) and issubclass(definition, kind) and hasattr(definition, "spec")


def index_by_type(workflows: Iterable[type[Workflow[Any]]]) -> dict[WorkflowType, type[Workflow[Any]]]:
    """Index definitions by their types.

    Raises:
        DefinitionError: two have one name and version.
    """
    index: dict[WorkflowType, type[Workflow[Any]]] = {}
    for workflow in workflows:
        check_twins(index.setdefault(workflow.spec.type, workflow), workflow)
    return index


def check_twins(one: Any, other: Any) -> None:
    """Check that two definitions of one type are the same.

    Raises:
        DefinitionError: they are not the same definition.
    """
    type: ActivityType | WorkflowType = one.spec.type
    if one is not other:
        raise DefinitionError(
            f"{one.__module__}.{one.__qualname__} and {other.__module__}.{other.__qualname__} are both named "
            f"{type.name} {type.version}, so histories would be ambiguous. Change the name or version of one"
        )


def check_dependency(activity: Any, dependency: Any) -> None:
    """Check a worker's dependency against its activity.

    Raises:
        DefinitionError: the dependency is missing, or there is one too many.
    """
    needs = activity.spec.needs
    name = activity.__qualname__
    if needs is not None and dependency is None:
        raise MissingDependencyError(
            name,
            needs,
            f"its worker has none. Write start_activity_worker({name}, dependency), or "
            f"run(..., provide={{{name}: dependency}})",
        )
    if needs is None and dependency is not None:
        raise DefinitionError(
            f"{name} declares no dependency, but its worker was started with {dependency!r:.100}; remove it, or "
            "declare it in the definition"
        )
