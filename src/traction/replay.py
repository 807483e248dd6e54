"""Replay a stored history with the current code and report the first divergence.

Calls no backend, and runs no activity and no `side_effect`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from traction.decider.decider import Decider
from traction.definitions.classes import Workflow
from traction.errors import DefinitionError, HistoryError
from traction.history.export import StoredHistory, make_stored, read_stored
from traction.model.events import DecisionTaskCompleted, Event
from traction.model.names import WorkflowExecution, WorkflowType
from traction.payloads.codec import JSON, Codec


class Replayed(msgspec.Struct, frozen=True):
    """The result of a replay that found no divergence."""

    workflow_type: WorkflowType
    events: int
    """How many events it has."""
    decision_tasks: int
    """How many completed decision tasks were compared with the flow."""
    closed: bool
    """Whether the history contains the close of the execution."""
    notes: tuple[str, ...] = ()
    """Problems that do not fail the replay: signals that no longer decode, and are ignored."""


def replay(
    history: StoredHistory | Iterable[Event] | Path | str,
    workflow: Callable[..., Workflow[Any]],
    *,
    execution: WorkflowExecution | None = None,
    codec: Codec = JSON,
) -> Replayed:
    """Replay a history through a definition, including events that no decision task has delivered yet.

    Args:
        history: events; or JSON, or the path of a file of it, as `traction history --export` and
            `aws swf get-workflow-execution-history` write it.
        workflow: the definition, of the name and version that the history has.
        execution: whose history it is, unless the file names it. `uuid4` and `random` in the flow depend on its run id.
        codec: what reads its payloads.

    Raises:
        NonDeterminismError: the code makes other decisions, or the flow would have closed earlier.
        FlowError: the flow breaks a rule of flows.
        PayloadError: an input or a result no longer decodes as the declared type.
        HistoryError: it is not a history.
        DefinitionError: it is of another workflow.

    Laws:
        `replay(h, W)` returns for each history `h` that `W` made, and for each part of it that ends where it decided.
    """
    stored = load_history(history)
    definition: Any = workflow
    if mismatch := find_type_mismatch(workflow, stored.workflow_type):
        raise mismatch
    with closing(Decider(definition, execution=execution or stored.execution, codec=codec)) as decider:
        decider.query(stored.events)
        return Replayed(
            stored.workflow_type,
            events=len(stored.events),
            decision_tasks=sum(type(event) is DecisionTaskCompleted for event in stored.events),
            closed=decider.closed,
            notes=tuple(decider.notes),
        )


def find_type_mismatch(workflow: Callable[..., Workflow[Any]], theirs: WorkflowType) -> DefinitionError | None:
    """Return the error for a definition of another type than that of a history, if it is of another."""
    definition: Any = workflow
    spec = getattr(workflow, "spec", None)
    if spec is not None and spec.type == theirs:
        return None
    mine = "no workflow" if spec is None else f"{spec.type.name} {spec.type.version}"
    return DefinitionError(
        f"the history is of {theirs.name} {theirs.version}, and {definition.__qualname__} is {mine}. Replay "
        "it with the definition of its name and version (Traction)"
    )


def load_history(history: StoredHistory | Iterable[Event] | Path | str) -> StoredHistory:
    """Load a history from any form that `replay` accepts.

    Raises:
        HistoryError: it is not a history, or the file does not exist.
    """
    if isinstance(history, StoredHistory):
        return history
    if isinstance(history, str) and history.lstrip().startswith("{"):
        return read_stored(history)
    if not isinstance(history, str | Path):
        return make_stored(history)
    try:
        text = Path(history).read_bytes()
    except OSError as error:
        raise HistoryError(f"{history} cannot be read: {error.strerror}") from error
    return read_stored(text, str(history))


def list_workflows(module: ModuleType) -> list[type[Workflow[Any]]]:
    """Return the workflows that a module defines or imports, without duplicates."""
    found = [thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, Workflow)]
    return [thing for thing in dict.fromkeys(found) if "spec" in vars(thing)]
