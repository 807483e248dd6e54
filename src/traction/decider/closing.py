"""Build the decision that closes an execution from the outcome of its flow."""

from __future__ import annotations

from typing import Any

from traction.decider.diagnostics import forget_origin, must_wait
from traction.decider.frames import VALUE
from traction.errors import FlowError, PayloadError, PayloadUnavailableError
from traction.flow.effects import ContinuedAsNew
from traction.flow.step import Cancelled, WorkflowStep
from traction.model import decisions as d
from traction.model import events as e
from traction.payloads.codec import Codec
from traction.payloads.failures import describe_failure


def make_close_decision(
    workflow: type[WorkflowStep[Any]], begun: e.WorkflowExecutionStarted, codec: Codec, mode: int, given: Any
) -> d.Decision:
    """Return the decision that closes an execution whose flow has this outcome.

    An execution whose result, or the input of whose next run, is too long or has no JSON fails with that error.

    Raises:
        FlowError: the flow continues as another workflow.
        PayloadError: its result, or the input of its next run, is of another type than the declared one.
        PayloadUnavailableError: a key or a store is missing that it takes to write it.
    """
    try:
        return _make_close(workflow, begun, codec, mode, given)
    except PayloadError as error:
        if must_wait(error):
            raise
        return _fail(forget_origin(error), codec)


def _fail(error: Exception, codec: Codec) -> d.Decision:
    reason, details = describe_failure(error, codec)
    return d.FailWorkflowExecution(reason=reason, details=details)


def _make_close(
    workflow: type[WorkflowStep[Any]], begun: e.WorkflowExecutionStarted, codec: Codec, mode: int, given: Any
) -> d.Decision:
    if mode == VALUE:
        what = f"the result of {workflow.spec.type.name} {workflow.spec.type.version}"
        try:
            # A waiting parent or client could not read a result of another type than the declared one.
            return d.CompleteWorkflowExecution(result=codec.encode_as(given, workflow.spec.result, what))
        except PayloadUnavailableError:
            raise
        except PayloadError as error:
            failure = PayloadError(str(error) if what in str(error) else f"{what}: {error}")
            raise failure.as_bug(error.is_bug) from error
    if isinstance(given, Cancelled):
        return d.CancelWorkflowExecution()
    if isinstance(given, ContinuedAsNew):
        return _continue_as_new(workflow, begun, codec, given.call)
    return _fail(given, codec)


def send_on(workflow_id: str, event: e.WorkflowExecutionSignaled) -> d.Decision:
    """Return the decision that sends a signal on to the next run.

    It arrives after the batch, at the run that is open under the id then: the next, or this one if that is refused.
    """
    return d.SignalExternalWorkflowExecution(workflow_id=workflow_id, signal_name=event.signal_name, input=event.input)


def _continue_as_new(
    workflow: type[WorkflowStep[Any]], begun: e.WorkflowExecutionStarted, codec: Codec, call: WorkflowStep[Any]
) -> d.Decision:
    mine = workflow.spec.type
    if call.spec.type.name != mine.name:
        raise FlowError(
            f"{mine.name} cannot go on as {call.spec.type.name}: the next run is of the same workflow, in this "
            "version or another (SWF). Start the other one with start_child, or from outside"
        )
    # SWF takes omitted settings from the type's defaults, never from this run.
    return d.ContinueAsNewWorkflowExecution(
        input=codec.encode_call(call),
        execution_start_to_close_timeout=begun.execution_start_to_close_timeout,
        task_list=begun.task_list if call.spec.type == mine else None,
        task_priority=begun.task_priority,
        task_start_to_close_timeout=begun.task_start_to_close_timeout,
        child_policy=begun.child_policy,
        tag_list=begun.tag_list,
        workflow_type_version=call.spec.type.version,
        lambda_role=begun.lambda_role,
    )
