"""Build the decision that closes an execution from the outcome of its flow."""

from __future__ import annotations

from typing import Any

from traction.decider.diagnostics import to_failure
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.errors import FlowError, PayloadError, PayloadUnavailableError
from traction.flow.effects import ContinuedAsNew
from traction.flow.step import Cancelled, WorkflowStep
from traction.model import decisions as d
from traction.model import events as e
from traction.payloads.codec import Codec
from traction.payloads.failures import describe_failure


def make_close_decision(
    workflow: type[WorkflowStep[Any]], begun: e.WorkflowExecutionStarted, codec: Codec, outcome: Outcome
) -> d.Decision:
    """Return the decision that closes an execution whose flow has this outcome.

    An execution whose result, or the input of whose next run, is too long or has no JSON fails with that error.

    Raises:
        FlowError: the flow continues as another workflow.
        PayloadError: its result, or the input of its next run, is of another type than the declared one.
        PayloadUnavailableError: a key or a store is missing that it takes to write it.
    """
    try:
        match outcome:
            case Returned(value):
                return _complete(workflow, codec, value)
            case Raised(Cancelled()):
                return d.CancelWorkflowExecution()
            case Raised(ContinuedAsNew() as continued):
                return _continue_as_new(workflow, begun, codec, continued.call)
            case Raised(error):
                return _fail(error, codec)
    except PayloadError as error:
        return _fail(to_failure(error).error, codec)


def _complete(workflow: type[WorkflowStep[Any]], codec: Codec, value: object) -> d.Decision:
    what = f"the result of {workflow.spec.type.name} {workflow.spec.type.version}"
    try:
        # A waiting parent or client could not read a result of another type than the declared one.
        return d.CompleteWorkflowExecution(result=codec.encode_as(value, workflow.spec.result, what))
    except PayloadUnavailableError:
        raise
    except PayloadError as error:
        failure = PayloadError(str(error) if what in str(error) else f"{what}: {error}")
        raise failure.as_bug(error.is_bug) from error


def _fail(error: BaseException, codec: Codec) -> d.Decision:
    reason, details = describe_failure(error, codec)
    return d.FailWorkflowExecution(reason=reason, details=details)


def _continue_as_new(
    workflow: type[WorkflowStep[Any]], begun: e.WorkflowExecutionStarted, codec: Codec, call: WorkflowStep[Any]
) -> d.Decision:
    mine = workflow.spec.type
    if call.spec.type.name != mine.name:
        raise FlowError(
            f"continue_as_new: {mine.name} cannot continue as {call.spec.type.name}: the next run must be of the same "
            "workflow, in any version (SWF). Start another workflow with start_child, or with Client.start"
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
