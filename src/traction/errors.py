"""Exceptions, by who should act: the author, the operator, or the caller.

Each exception carries its facts as attributes, and describes them in its text.

The author acts on `DefinitionError`, `FlowError`, `NonDeterminismError`; the operator on `BackendError` and
`PayloadError`. A failed step is data in the history: a flow receives `StepFailed`, a caller `ExecutionFailed`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Self

from traction.error_texts import describe_exit, explain_cause, explain_divergence, read_lambda_error


class _Fact(Exception):
    """An exception that is pickled as its text and attributes, whatever the arguments of its constructor."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.args), self.__dict__


def _restore(kind: type[_Fact], args: tuple[Any, ...]) -> _Fact:
    return kind.__new__(kind, *args)


class TractionError(_Fact):
    """The base of every error that Traction raises."""


# What the author of a definition should fix.


class DefinitionError(TractionError):
    """A definition is wrong: what, where, and how to fix it."""


class MissingDependencyError(DefinitionError):
    """No dependency is provided for an activity: `activity` and `needs` are their names."""

    def __init__(self, activity: str, needs: Any, rest: str) -> None:
        self.activity, self.needs = activity, getattr(needs, "__qualname__", str(needs))
        super().__init__(f"{activity} needs {self.needs}, and {rest}")


class FlowError(TractionError):
    """A flow broke a rule of flows; its decision task fails, its execution stays open."""


class NonDeterminismError(FlowError):
    """The current code does not make the decisions that the history shows.

    `step` is the id of the first difference, `event_id` and `event` the number and type of the history's event,
    `expected` the decision that the history shows, `actual` that of the current code (either may be "nothing"), and
    `place` the line at which the flow waits then, if it is in a coroutine.
    """

    def __init__(
        self,
        workflow: str,
        *,
        step: str,
        event_id: int,
        expected: str,
        actual: str,
        event: str = "",
        place: str | None = None,
    ) -> None:
        self.workflow, self.step, self.event_id, self.event = workflow, step, event_id, event
        self.expected, self.actual, self.place = expected, actual, place
        super().__init__(explain_divergence(workflow, step, event_id, event, expected, actual, place))


# What the operator should fix.


class MissingExtraError(TractionError, ModuleNotFoundError):
    """A package of an extra is not installed. `package` is its import name; `traction[extra]` installs it."""

    def __init__(self, what: str, *, package: str, extra: str, instead: str = "") -> None:
        self.what, self.package, self.extra = what, package, extra
        text = f'{what} needs {package}, which is not installed: pip install "traction[{extra}]"'
        ModuleNotFoundError.__init__(self, f"{text}. {instead}" if instead else text, name=package)


class HistoryError(TractionError):
    """A sequence of events that no execution can have: a gap, a broken link, an event after the close."""


class PayloadError(TractionError):
    """A payload does not decode as the declared type, or a value cannot be written.

    In a flow, one that depends on the value (too long, `nan`) fails the step. One that a type checker finds (`is_bug`)
    leaves the execution open until the code is fixed.
    """

    is_bug: bool = False
    """Whether a value has another type than the code declares, so that no retry can succeed."""

    def as_bug(self, is_bug: bool = True) -> Self:
        """Set `is_bug`, and return this error."""
        self.is_bug = is_bug
        return self


class PayloadUnavailableError(PayloadError):
    """A payload cannot be read or written in this process: a key, a store or a transform is missing.

    The value is correct, so the task that needs it is retried.
    """


class InvalidPayloadError(PayloadError):
    """A payload that no codec can ever read: not written by Traction, changed since, or larger than allowed.

    It is never retried: the step that reads it fails, whatever its retry policy.
    """


class PayloadStoreError(PayloadUnavailableError):
    """A payload store failed, or `what` is missing or corrupt there: its key is `key`, the URL of the store `store`."""

    def __init__(self, what: str, *, store: str, key: str, problem: str) -> None:
        self.what, self.store, self.key, self.problem = what, store, key, problem
        super().__init__(
            f"{what}, with the key {key} in the payload store {store}, {problem}. The task is retried. Repair the "
            "store, or use the store to which the payload was written"
        )


class BackendError(TractionError):
    """A service refused a call, or could not be reached."""

    retryable: ClassVar[bool] = False
    """Whether the same call may succeed later without a change."""


class UnknownSchemeError(BackendError):
    """No installed backend has the scheme of a URL."""


class ServiceFault(BackendError):
    """A fault of SWF's; the class name is SWF's error code."""

    @property
    def code(self) -> str:
        """SWF's name of the fault."""
        return type(self).__name__


class UnknownResourceFault(ServiceFault):
    """The domain, type, execution or task is not known, or no longer open."""


class OperationNotPermittedFault(ServiceFault):
    """The caller may not do this (IAM)."""


class LimitExceededFault(ServiceFault):
    """A quota of the account is exhausted."""


class DomainAlreadyExistsFault(ServiceFault):
    """The domain exists, registered or deprecated."""


class DomainDeprecatedFault(ServiceFault):
    """The domain is deprecated."""


class TypeAlreadyExistsFault(ServiceFault):
    """The type exists, registered or deprecated."""


class TypeDeprecatedFault(ServiceFault):
    """The type is deprecated."""


class TypeNotDeprecatedFault(ServiceFault):
    """The type cannot be deleted before it is deprecated."""


class WorkflowExecutionAlreadyStartedFault(ServiceFault):
    """An execution with this workflow id is open."""


class DefaultUndefinedFault(ServiceFault):
    """Neither the request nor the registered type has a required setting."""


class TooManyTagsFault(ServiceFault):
    """More tags than a resource may have."""


class ValidationException(ServiceFault):
    """The request is not well formed; no part of it was applied."""


class SerializationException(ServiceFault):
    """The body of the request is not JSON of the right types."""


class RequestEntityTooLarge(ServiceFault):
    """The request has more bytes than the service accepts; no part of it was applied."""


class UnknownOperationException(ServiceFault):
    """The operation does not exist."""


class ThrottlingException(ServiceFault):
    """Too many calls; the same call may be repeated later."""

    retryable = True


class InternalFailure(ServiceFault):
    """The service failed; the call may or may not have had an effect."""

    retryable = True


# What reaches a flow: the failure of a step is data of the history.


class StepFailed(_Fact):
    """A step failed; `step` is its id."""

    def __init__(self, step: str, message: str) -> None:
        self.step = step
        super().__init__(f"{step} {message}")


class RemoteTraceback(Exception):
    """The traceback of another process, as text. It is the `__cause__` of a failure, so that Python prints it."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class _Remote(_Fact):
    """The description of an exception of another process in `ActivityFailed`, `ChildFailed` and `WorkflowFailed`."""

    type: str
    """The name of its type: `ValueError`, `shop.errors.CardDeclined`."""
    message: str
    """Its text."""
    traceback: str
    """Its traceback, with the tracebacks of its causes before it, as Python prints them; empty if unknown."""
    bases: tuple[str, ...]
    """The names of the base classes of its type, nearest first, without `Exception`; empty if unknown."""
    cause: Exception | None
    """The failure that the exception was, or was raised from: an `ActivityFailed` or `ChildFailed`, for one."""

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__dict__.update(state or {})
        self.chain()

    def chain(self) -> None:
        """Make the remote traceback the `__cause__`."""
        if self.traceback:
            self.__cause__ = RemoteTraceback(self.traceback)


class ActivityFailed(_Remote, StepFailed):
    """A worker reported a failure: `type`, `message` and `traceback` of the exception.

    `bases` has the names of the base classes of that type, nearest first. `cause` is the failure that the exception
    was raised from, if there is one. `reason` and `details` are SWF's strings, for workers that do not use Traction.
    """

    def __init__(
        self,
        step: str,
        *,
        type: str,
        message: str,
        traceback: str = "",
        reason: str = "",
        details: str = "",
        bases: tuple[str, ...] = (),
        cause: Exception | None = None,
    ) -> None:
        self.type, self.message, self.traceback, self.bases, self.cause = type, message, traceback, bases, cause
        self.reason, self.details = reason, details
        super().__init__(step, f"failed: {type}: {message}" if message else f"failed: {type}")
        self.chain()


class ActivityTimedOut(StepFailed):
    """A timeout of the task ended: `timeout_type` in SWF's words, `details` of the last heartbeat."""

    def __init__(self, step: str, *, timeout_type: str, details: str | None = None) -> None:
        self.timeout_type, self.details = timeout_type, details
        super().__init__(step, f"timed out ({timeout_type})")


class ActivityCancelled(StepFailed):
    """A worker completed the task as cancelled, although the flow had not cancelled it."""

    def __init__(self, step: str, *, details: str | None = None) -> None:
        self.details = details
        super().__init__(step, "was cancelled by its worker")


class StepTimedOut(StepFailed):
    """A step took longer than its `timeout`, or a scope longer than its `fail_after`; `limit` is that span."""

    def __init__(self, limit: timedelta, step: str = "the step") -> None:
        self.limit = limit
        super().__init__(step, f"took longer than {limit}")


class SignalFailed(StepFailed):
    """A signal to another execution was not delivered; `cause` in SWF's words."""

    def __init__(self, step: str, *, workflow_id: str, cause: str) -> None:
        self.workflow_id, self.cause = workflow_id, cause
        super().__init__(step, f"could not signal {workflow_id!r}: {explain_cause(cause)}")


class CancelFailed(StepFailed):
    """A cancel request to another execution was not delivered; `cause` in SWF's words."""

    def __init__(self, step: str, *, workflow_id: str, cause: str) -> None:
        self.workflow_id, self.cause = workflow_id, cause
        super().__init__(step, f"could not cancel {workflow_id!r}: {explain_cause(cause)}")


class LambdaFailed(StepFailed):
    """A Lambda function failed: `reason` in SWF's words, `details` as Lambda sent them.

    `type` and `message` are the `errorType` and `errorMessage` of the details, if they are Lambda's JSON; otherwise the
    reason and the details as they are.
    """

    def __init__(self, step: str, *, name: str, reason: str, details: str | None = None) -> None:
        self.name, self.reason, self.details = name, reason, details
        self.type, self.message = read_lambda_error(reason, details)
        parts = (reason, self.type, f"{self.message:.1000}")
        super().__init__(step, f"{name} failed: {': '.join(dict.fromkeys(filter(None, parts)))}")


class ChildFailed(_Remote, StepFailed):
    """A child execution closed without a result: `status` in SWF's words, with SWF's details.

    If its flow failed, `type`, `message`, `traceback` and `bases` are those of the exception that left the flow, and
    `cause` is the failure that this exception was, or was raised from: the `ActivityFailed` of the child's activity.
    """

    def __init__(
        self,
        step: str,
        *,
        status: str,
        type: str = "",
        message: str = "",
        traceback: str = "",
        details: str | None = None,
        bases: tuple[str, ...] = (),
        cause: Exception | None = None,
    ) -> None:
        self.status, self.details = status, details
        self.type, self.message, self.traceback, self.bases, self.cause = type, message, traceback, bases, cause
        super().__init__(step, f"closed as {status}" + (f": {type}: {message}" if type else ""))
        self.chain()


class UnreadableActivityResult(ActivityFailed, PayloadError):
    """An activity completed with a result that does not decode as the declared type. It is not retried."""


class UnreadableChildResult(ChildFailed, PayloadError):
    """A child completed with a result that does not decode as the declared type."""


class UnreadableLambdaResult(LambdaFailed, PayloadError):
    """A Lambda function returned a result that does not decode as the type of the call."""


class DecisionFailed(StepFailed):
    """SWF refused the decision of a step; `cause` in SWF's words."""

    def __init__(self, step: str, *, decision: str, cause: str) -> None:
        self.decision, self.cause = decision, cause
        super().__init__(step, f"failed: SWF refused {decision} with {cause}")


class ChildAlreadyRunning(DecisionFailed):
    """The child was not started: an execution that something else started is open under its `workflow_id`."""

    def __init__(self, step: str, *, decision: str, cause: str, workflow_id: str) -> None:
        self.decision, self.cause, self.workflow_id = decision, cause, workflow_id
        StepFailed.__init__(
            self,
            step,
            f"could not be started: an execution with the workflow id {workflow_id!r} is open ({cause}). Set another "
            "id with .options(workflow_id=...), or signal the open execution",
        )


# What reaches a caller: how an execution closed, if not with a result.


class ExecutionFailed(TractionError):
    """An execution closed without a result; `execution` is its workflow id."""

    def __init__(self, execution: str, message: str) -> None:
        self.execution = execution
        super().__init__(f"{execution} {message}")


class WorkflowAlreadyRunning(TractionError):
    """An execution is open under the id of a start, and `if_running` does not accept it.

    `workflow_id` and `run_id` are its ids, `type` is its name and version, `wanted` those of the call; `differs`
    describes the difference.
    """

    _state: ClassVar[str] = "is open"
    _policy: ClassVar[str] = "if_running"

    def __init__(self, workflow_id: str, *, run_id: str, type: str, wanted: str, differs: str) -> None:
        self.workflow_id, self.run_id, self.type, self.wanted, self.differs = workflow_id, run_id, type, wanted, differs
        other = type.rpartition(" ")[0] == wanted.rpartition(" ")[0]
        get = f', or get its handle with {self._policy}="return"' if other else ""
        super().__init__(
            f"{wanted} was not started: an execution of {type} {self._state} under the id {workflow_id!r} (run "
            f"{run_id}), and {differs}. Start it under another id, with workflow_id=...{get}"
        )


class WorkflowAlreadyClosed(WorkflowAlreadyRunning):
    """An execution under the id of a start has closed with `status`, and `if_closed` does not allow a new run."""

    _state: ClassVar[str] = "has closed"
    _policy: ClassVar[str] = "if_closed"

    def __init__(self, workflow_id: str, *, run_id: str, type: str, wanted: str, differs: str, status: str) -> None:
        self.status = status
        super().__init__(workflow_id, run_id=run_id, type=type, wanted=wanted, differs=differs)


class WorkflowFailed(_Remote, ExecutionFailed):
    """The flow failed: `type`, `message`, `traceback` and `bases` of the exception that left it.

    `cause` is the failure that this exception was, or was raised from: an `ActivityFailed` or `ChildFailed`, whose own
    `cause` leads on to what failed first.
    """

    def __init__(
        self,
        execution: str,
        *,
        type: str,
        message: str,
        traceback: str = "",
        bases: tuple[str, ...] = (),
        cause: Exception | None = None,
    ) -> None:
        self.type, self.message, self.traceback, self.bases, self.cause = type, message, traceback, bases, cause
        super().__init__(execution, f"failed: {type}: {message}" if message else f"failed: {type}")
        self.chain()


class WorkflowTimedOut(ExecutionFailed):
    """The execution was open for longer than its `execution_start_to_close`."""

    def __init__(self, execution: str) -> None:
        super().__init__(execution, "timed out")


class WorkflowCancelled(ExecutionFailed):
    """The flow ended because it was cancelled."""

    def __init__(self, execution: str, *, details: str | None = None) -> None:
        self.details = details
        super().__init__(execution, "was cancelled")


class WorkflowTerminated(ExecutionFailed):
    """The execution was terminated; `reason` of the request, `cause` in SWF's words."""

    def __init__(self, execution: str, *, cause: str | None, reason: str | None = None) -> None:
        self.cause, self.reason = cause, reason
        if cause == "EVENT_LIMIT_EXCEEDED" and not reason:
            reason = "its history was full (SWF); use continue_as_new before, when history_length() is high"
        super().__init__(execution, f"was terminated ({cause or 'no cause'})" + (f": {reason}" if reason else ""))


class ProcessDied(TractionError):
    """The process that ran an activity ended before the activity did; `exit_code` as in `multiprocessing`."""

    def __init__(self, activity: str, exit_code: int | None) -> None:
        self.exit_code = exit_code
        super().__init__(
            f"the process that ran {activity} ended before the activity did, {describe_exit(exit_code)}. "
            "The worker continues with a new process"
        )
