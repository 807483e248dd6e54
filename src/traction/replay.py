"""Hold a stored history against today's code: would the code that is at hand have made it?

Takes a history, as events or as JSON, and a definition; gives how much of it was read, or raises where the two part.
Calls no backend, runs no activity, and no `side_effect`.
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
    """A history that today's code could have made."""

    workflow_type: WorkflowType
    events: int
    """How many events it has."""
    decision_tasks: int
    """How many of its decision tasks were completed: the flow was held against each."""
    closed: bool
    """Whether it tells how the execution closed."""
    notes: tuple[str, ...] = ()
    """What fails nothing and yet is not as it should be: signals that no longer decode, and are passed over."""


def replay(
    history: StoredHistory | Iterable[Event] | Path | str,
    workflow: Callable[..., Workflow[Any]],
    *,
    execution: WorkflowExecution | None = None,
    codec: Codec = JSON,
) -> Replayed:
    """Replay a history through a definition, to its end: the close, or the news that no decision task has brought yet.

    Args:
        history: events; or JSON, or the path of a file of it, as `traction history --export` and
            `aws swf get-workflow-execution-history` write it.
        workflow: the definition, of the name and version that the history has.
        execution: whose history it is, unless a file says so. `uuid4` and `random` in the flow depend on its run id.
        codec: what reads its payloads.

    Raises:
        NonDeterminismError: the code asks for something else, or the flow would have closed before.
        FlowError: the flow does what no flow may do.
        PayloadError: an input or a result no longer decodes as its definition says.
        HistoryError: it is no history.
        DefinitionError: it is of another workflow.

    Laws:
        `replay(h, W)` returns for each history `h` that `W` made, and for each part of it that ends where it decided.
    """
    stored = load_history(history)
    definition: Any = workflow
    spec = getattr(workflow, "spec", None)
    if spec is None or spec.type != stored.workflow_type:
        theirs, mine = stored.workflow_type, "no workflow" if spec is None else f"{spec.type.name} {spec.type.version}"
        raise DefinitionError(
            f"the history is of {theirs.name} {theirs.version}, and {definition.__qualname__} is {mine}. A history is "
            "held against the definition of its own name and version (Traction)"
        )
    with closing(Decider(definition, execution=execution or stored.execution, codec=codec)) as decider:
        decider.look(stored.events)
        return Replayed(
            stored.workflow_type,
            events=len(stored.events),
            decision_tasks=sum(type(event) is DecisionTaskCompleted for event in stored.events),
            closed=decider.closed,
            notes=tuple(decider.notes),
        )


def load_history(history: StoredHistory | Iterable[Event] | Path | str) -> StoredHistory:
    """Take a history in any form that `replay` takes.

    Raises:
        HistoryError: it is none, or there is no such file.
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
    """Give the workflows that a module has, its own and those that it imports, each once."""
    found = [thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, Workflow)]
    return [thing for thing in dict.fromkeys(found) if "spec" in vars(thing)]
