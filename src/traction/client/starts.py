"""Start an execution, or find the one that already has its workflow id, by the caller's policy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

from traction.backend import Backend
from traction.client.handle import Handle, start_execution
from traction.client.visibility import walk
from traction.definitions.classes import Workflow
from traction.errors import (
    BackendError,
    DefinitionError,
    PayloadError,
    PayloadUnavailableError,
    UnknownResourceFault,
    WorkflowAlreadyClosed,
    WorkflowAlreadyRunning,
    WorkflowExecutionAlreadyStartedFault,
)
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec

R = TypeVar("R")

IfRunning: TypeAlias = Literal["match", "return", "fail"]
"""What a start does if an open execution has its workflow id.

`match`: return its handle if it was started by the same call, of the same version and with the same input, and else
raise `WorkflowAlreadyRunning`. `return`: return its handle, whatever its version and input. `fail`: raise.
"""

IfClosed: TypeAlias = Literal["start", "match", "return", "fail"]
"""What a start does if a closed execution had its workflow id, and no open one has it.

`start`: start a new run. `match`, `return` and `fail`: as for `IfRunning`, with `WorkflowAlreadyClosed`.
"""

START_TRIES_MAX: Final = 6
"""How often a start is tried if its reply is lost, or if the execution with its id closes meanwhile."""

CHAIN_RUNS_MAX: Final = 100
"""How many continued runs are read to find the one that a call started."""


class Start:
    """One start of a call under a workflow id."""

    def __init__(
        self,
        backend: Backend,
        workflow: Workflow[R],
        workflow_id: str,
        codec: Codec,
        *,
        if_running: IfRunning,
        if_closed: IfClosed,
    ) -> None:
        for name, policy, policies in (("if_running", if_running, IfRunning), ("if_closed", if_closed, IfClosed)):
            if policy not in get_args(policies):
                raise DefinitionError(f"{name}={policy!r:.100} is not one of {', '.join(get_args(policies))}")
        self._backend = backend
        self._call: Workflow[Any] = workflow
        self._id = workflow_id
        self._codec = codec
        self._if_running, self._if_closed = if_running, if_closed

    def run(self, register: Callable[[], None], wait: Callable[[float], object]) -> Handle[Any]:
        """Start the execution, or find it.

        Args:
            register: registers the type of the workflow again, if it is unknown to the service.
            wait: waits for some seconds.

        Raises:
            WorkflowAlreadyRunning, WorkflowAlreadyClosed: the policy does not accept the execution that has the id.
            BackendError: the service rejected the start, or could not be reached.
        """
        # By the service's clock, which may differ from ours. Lists of executions are eventually consistent (SWF).
        began, unsure = self._backend.now(), False
        for tried in range(START_TRIES_MAX):
            wait(0 if tried < 2 else 2.0 ** (tried - 3))
            last = tried == START_TRIES_MAX - 1
            try:
                if (found := self._find_closed(began, unsure)) is not None:
                    return found
                return start_execution(self._backend, self._call, workflow_id=self._id, codec=self._codec)
            except WorkflowExecutionAlreadyStartedFault:
                if (info := self._find_newest(closed=False)) is not None:
                    ours = unsure and info.start_timestamp >= began
                    return self._accept(info, "match" if ours else self._if_running, started=ours)
            except UnknownResourceFault:
                # A newly registered type may be unknown for a moment (SWF), or it was deleted.
                if last:
                    raise
                register()
            except BackendError as error:
                if not error.retryable or last:
                    raise
                unsure = True
        raise WorkflowExecutionAlreadyStartedFault(
            f"an execution {self._id!r} is open, but lists do not show it yet (SWF). Start it again later"
        )

    def _find_closed(self, began: datetime, unsure: bool) -> Handle[Any] | None:
        """Return the handle of the closed execution to use instead of a new one."""
        if not unsure and self._if_closed == "start":
            return None
        info = self._find_newest(closed=True)
        if info is None:
            return None
        if unsure and info.start_timestamp >= began:
            # The execution may have closed before the reply to its start arrived.
            return self._make_handle(info.execution, started=True)
        if self._if_closed == "start" or self._find_newest(closed=False) is not None:
            return None
        return self._accept(info, self._if_closed, started=False)

    def _find_newest(self, *, closed: bool) -> o.WorkflowExecutionInfo | None:
        return next(walk(self._backend, closed=closed, workflow_id=self._id), None)

    def _accept(self, info: o.WorkflowExecutionInfo, policy: str, *, started: bool) -> Handle[Any]:
        """Return the handle of the execution that has the id, if the policy allows it."""
        if info.workflow_type.name != self._call.spec.type.name:
            differs = "it is of another workflow"
        elif policy == "fail":
            differs = f'{"if_running" if info.close_status is None else "if_closed"}="fail" accepts none'
        elif policy == "return":
            differs = ""
        else:
            differs = self._find_difference(info.execution) or ""
        if not differs:
            return self._make_handle(info.execution, started=started)
        type, mine = info.workflow_type, self._call.spec.type
        raised = WorkflowAlreadyRunning if info.close_status is None else WorkflowAlreadyClosed
        raise raised(
            info.execution.workflow_id,
            run_id=info.execution.run_id,
            type=f"{type.name} {type.version}",
            wanted=f"{mine.name} {mine.version}",
            differs=differs,
            **({} if info.close_status is None else {"status": info.close_status}),
        )

    def _make_handle(self, execution: WorkflowExecution, *, started: bool) -> Handle[Any]:
        return Handle(self._backend, execution, type(self._call), codec=self._codec, started=started)

    def _find_difference(self, execution: WorkflowExecution) -> str | None:
        """Return how an execution was started differently, or `None`.

        An execution that continued as new was started by the call of its first run. If that run is no longer stored,
        nothing can be compared, and it counts as the same.
        """
        difference = None
        for _ in range(CHAIN_RUNS_MAX):
            request = o.GetWorkflowExecutionHistory(
                domain=self._backend.domain, execution=execution, maximum_page_size=1
            )
            try:
                begun = self._backend.call(request).events[0]
            except UnknownResourceFault:
                return None
            assert isinstance(begun, e.WorkflowExecutionStarted)
            difference = self._compare(begun)
            if difference is None or not begun.continued_execution_run_id:
                return difference
            execution = WorkflowExecution(execution.workflow_id, begun.continued_execution_run_id)
        return None

    def _compare(self, begun: e.WorkflowExecutionStarted) -> str | None:
        spec = self._call.spec
        if begun.workflow_type != spec.type:
            return f"it is of version {begun.workflow_type.version}"
        if not spec.names_itself and self._id == self._call.workflow_id():
            return None  # the id is a digest of the input
        kind: Any = type(self._call)
        codec = self._codec.defer()
        try:
            theirs = codec.decode(begun.input, kind)
        except PayloadUnavailableError:
            raise
        except PayloadError:
            return "its input cannot be decoded"
        mine = codec.decode(codec.encode(self._call), kind)
        pairs = {name: (getattr(theirs, name), getattr(mine, name)) for name in kind.__struct_fields__}
        # Values of a class without __eq__ are compared by their JSON.
        fields = [name for name, (one, two) in pairs.items() if one != two and codec.write(one) != codec.write(two)]
        return f"its input differs in {', '.join(fields)}" if fields else None
